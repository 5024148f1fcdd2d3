"""Profiles of invoice days: the counts that drift compares, kept in the Delta table `quality/profiles`.

A profile is what one batch brought of one day. All of it are counts, so the profiles of several batches add up to that
of the day. A retried audit replaces the profiles of its batch, a rebuild those of its days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, timedelta
from operator import add
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from include.quality.store import existing_table, replace_rows
from include.runs.folder import Manifest
from include.settings import Settings

LINES_CAP = 50
"""Lines that an invoice counts at most: a wholesale order of 500 lines is no change of volume."""

BINS_PER_DOUBLING = 3
DOUBLINGS = 20
BINS = 2 + BINS_PER_DOUBLING * DOUBLINGS
"""Bins of a histogram: negative, zero, and from one unit on three to each doubling; the first of these takes what is
less than a unit, the last what is more than 2^20 units. A factor of 1.26 moves a value into the next bin."""

PRICE_UNIT = 0.01
QUANTITY_UNIT = 1.0
HOURS = 24

WEEKS_BACK = 26
"""How far back a day of the same weekday may be to be compared with."""


@dataclass(frozen=True, slots=True)
class DayProfile:
    """Counts of the lines of one invoice day, of one batch or of several added up.

    Attributes:
        batch_id: Batch that loaded the lines; empty for a sum.
        lines: Lines.
        capped_lines: Lines, at most `LINES_CAP` counted of an invoice.
        squared_lines: Sum over invoices of the square of their lines: how far lines come in clusters.
        sales: Invoices with at least two lines of kind sale.
        sale_lines: Lines of kind sale on those, at most `LINES_CAP` counted of an invoice.
        customer_missing: Lines without customer id.
        description_missing: Lines without description.
        hours: Lines by hour of the day.
        prices: Lines by bin of the price in GBP, from 0.01.
        quantities: Lines by bin of the quantity, from 1.
    """

    invoice_day: date
    batch_id: str
    lines: int
    capped_lines: int
    squared_lines: int
    sales: int
    sale_lines: int
    customer_missing: int
    description_missing: int
    hours: tuple[int, ...]
    prices: tuple[int, ...]
    quantities: tuple[int, ...]

    def __add__(self, other: DayProfile) -> DayProfile:
        """Return the sum of the counts, of the day of this profile."""
        sums: dict[str, Any] = {}
        for field in fields(self)[2:]:
            one, two = getattr(self, field.name), getattr(other, field.name)
            both = tuple(map(add, one, two)) if field.name in HISTOGRAMS else one + two
            sums[field.name] = both
        return replace(self, batch_id="", **sums)


HISTOGRAMS = {"hours": HOURS, "prices": BINS, "quantities": BINS}

_SCHEMA = pa.schema(
    [
        pa.field("invoice_day", pa.date32()),
        pa.field("batch_id", pa.string()),
        *[
            pa.field(field.name, pa.list_(pa.int64()) if field.name in HISTOGRAMS else pa.int64())
            for field in fields(DayProfile)[2:]
        ],
    ]
)


def _bin(value: str, unit: float) -> str:
    """Return the SQL expression of the histogram bin of a number."""
    doublings = f"log2(CAST({value} AS DOUBLE) / {unit})"
    position = f"CAST(floor({doublings} * {BINS_PER_DOUBLING} + 1e-9) AS INTEGER)"
    return (
        f"CASE WHEN {value} < 0 THEN 0 WHEN {value} = 0 THEN 1 ELSE 2 + greatest(0, least({BINS - 3}, {position})) END"
    )


_COUNTS = f"""
WITH invoices AS (
    SELECT invoice_day, batch_id, invoice, count(*) AS size, count(*) FILTER (WHERE kind = 'sale') AS sale_size,
        count(*) FILTER (WHERE customer_id IS NULL) AS customer_missing,
        count(*) FILTER (WHERE description IS NULL) AS description_missing
    FROM lines GROUP BY ALL
)
SELECT invoice_day, batch_id, sum(size), sum(least(size, {LINES_CAP})), sum(size * size),
    count(*) FILTER (WHERE sale_size > 1), coalesce(sum(least(sale_size, {LINES_CAP})) FILTER (WHERE sale_size > 1), 0),
    sum(customer_missing), sum(description_missing)
FROM invoices GROUP BY ALL ORDER BY ALL
"""

_BINNED = {
    "hours": "hour(invoice_date)",
    "prices": _bin("price", PRICE_UNIT),
    "quantities": _bin("quantity", QUANTITY_UNIT),
}


def profiles_of(connection: duckdb.DuckDBPyConnection) -> list[DayProfile]:
    """Return the profiles of relation `lines`, by day and batch.

    Args:
        connection: Holds `lines` with columns invoice, description, quantity, invoice_date (timestamp), price (GBP),
            customer_id, kind, batch_id and invoice_day.
    """
    histograms: dict[str, dict[tuple[date, str], list[int]]] = {name: {} for name in HISTOGRAMS}
    for name, size in HISTOGRAMS.items():
        query = f"SELECT invoice_day, batch_id, {_BINNED[name]}, count(*) FROM lines GROUP BY ALL"
        for day, batch_id, position, count in connection.execute(query).fetchall():
            histograms[name].setdefault((day, batch_id), [0] * size)[position] = count
    profiles = []
    for day, batch_id, *counts in connection.execute(_COUNTS).fetchall():
        binned: dict[str, Any] = {name: tuple(found[day, batch_id]) for name, found in histograms.items()}
        profiles.append(DayProfile(day, batch_id, *counts, **binned))
    return profiles


def added_up(profiles: Iterable[DayProfile]) -> dict[date, DayProfile]:
    """Return the profile of each day: the sum over its batches."""
    days: dict[date, DayProfile] = {}
    for profile in profiles:
        known = days.get(profile.invoice_day)
        days[profile.invoice_day] = replace(profile, batch_id="") if known is None else known + profile
    return days


def _uri(settings: Settings) -> str:
    return settings.table("quality", "profiles")


def known_profiles(settings: Settings, days: Sequence[date]) -> list[DayProfile]:
    """Return the profiles kept of `days` and of the `WEEKS_BACK` weeks before the first."""
    table = existing_table(_uri(settings))
    if table is None or not days:
        return []
    first, last = min(days) - timedelta(weeks=WEEKS_BACK), max(days)
    day = pc.field("invoice_day")
    rows = table.to_pyarrow_dataset().to_table(filter=(day >= first) & (day <= last)).to_pylist()
    return [DayProfile(**{**row, **{name: tuple(row[name]) for name in HISTOGRAMS}}) for row in rows]


def save_profiles(settings: Settings, manifest: Manifest, profiles: Sequence[DayProfile]) -> None:
    """Keep the profiles of a run, instead of what was kept of its batch, or for a rebuild of its days."""
    if not profiles and manifest.kind == "drop":
        return
    rows = pa.Table.from_pylist([asdict(profile) for profile in profiles], schema=_SCHEMA)
    if manifest.kind == "drop":
        predicate = f"batch_id = '{manifest.batch_id}'"
    else:
        days = ", ".join(f"'{day}'" for day in manifest.days)
        predicate = f"invoice_day IN ({days})"
    replace_rows(_uri(settings), rows, predicate)
