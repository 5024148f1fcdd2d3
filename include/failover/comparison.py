"""Where one side of the warehouse differs from Gold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import partial

from pydantic import Field
from sqlalchemy import Connection

from include.domain.model import Model
from include.domain.money import number
from include.domain.star import DIMENSION_RULES, Dimension
from include.failover.figures import Figures, Scope, fact_hashes, gold_figures, member_hashes, side_figures
from include.failover.published import assign_owners, owners_on
from include.settings import Settings
from include.warehouse import FACT, GoldStar, PublishReport, recorded_batches

DETAILED_DAYS = 20
"""Of so many differing days the rows themselves are compared."""

EXAMPLES = 5


class Difference(Model):
    """Something that is not as it should be.

    Attributes:
        check: days, members, batches, keys, orphans, duplicates, amounts, dates, balances or file.
        subject: What it was found at.
        expected: What Gold, a receipt or the rule says.
        found: What is there.
        examples: Keys of some of the rows.
        remedy: What to do.
    """

    check: str
    subject: str
    expected: str
    found: str
    examples: list[str] = Field(default_factory=list)
    remedy: str


def repair_command(day: date) -> str:
    """Return the command that makes a day what Gold has."""
    return f"python -m include.operate repair --day {day}"


def compare(
    connection: Connection,
    gold: GoldStar,
    settings: Settings,
    reports: Mapping[str, PublishReport],
    days: Collection[date],
) -> list[Difference]:
    """Hold a side against Gold: rows, units and money of every day, row hashes of `days` and members of their facts.

    Args:
        connection: On the side.
        gold: Opened.
        settings: Names the schema.
        reports: Every published batch; what Gold has of others is left out on both sides.
        days: Invoice days to compare to the row.
    """
    left_out = assign_owners(gold, reports, partial(owners_on, connection))
    by_row = {str(day) for day in days}
    counted = day_differences(connection, gold, settings, Scope(without=left_out), hashed=False)
    return [
        *batch_differences(connection, reports),
        *[found for found in counted if found.subject not in by_row],
        *day_differences(connection, gold, settings, Scope.of(days, left_out)),
        *member_differences(connection, gold, settings, Scope.of(days, left_out)),
    ]


def batch_differences(connection: Connection, reports: Mapping[str, PublishReport]) -> list[Difference]:
    """Return the published batches that a side has no record of."""
    return [
        Difference(
            check="batches",
            subject=batch_id,
            expected=f"published at {reports[batch_id].published_at}",
            found="no record",
            remedy="python -m include.operate catch-up",
        )
        for batch_id in sorted(reports.keys() - recorded_batches(connection).keys())
    ]


def day_differences(
    connection: Connection, gold: GoldStar, settings: Settings, scope: Scope, *, hashed: bool = True
) -> list[Difference]:
    """Return the invoice days of which a side has other facts than Gold."""
    expected = gold_figures(gold, scope, hashed=hashed)
    found = side_figures(connection, settings, scope, hashed=hashed)
    differing = [day for day in sorted(expected.keys() | found.keys()) if expected.get(day) != found.get(day)]
    return [
        Difference(
            check="days",
            subject=str(day),
            expected=_said(expected.get(day)),
            found=_said(found.get(day)),
            examples=_rows(connection, gold, settings, day, scope) if number < DETAILED_DAYS else [],
            remedy=repair_command(day),
        )
        for number, day in enumerate(differing)
    ]


def _said(figures: Figures | None) -> str:
    if figures is None:
        return "no facts"
    rows = f", rows {figures.digest[:12]}" if figures.digest else ""
    return f"{figures.rows} facts, {number(figures.units)} units, amount {figures.amount}{rows}"


def _rows(connection: Connection, gold: GoldStar, settings: Settings, day: date, scope: Scope) -> list[str]:
    of_day = Scope.of([day], scope.without)
    expected = fact_hashes(gold, settings, of_day)
    found = fact_hashes(connection, settings, of_day)
    kinds = {
        "missing": expected.keys() - found.keys(),
        "not in Gold": found.keys() - expected.keys(),
        "other": {key for key in expected.keys() & found.keys() if expected[key] != found[key]},
    }
    return [f"{len(keys)} {kind}: {', '.join(sorted(keys)[:EXAMPLES])}" for kind, keys in kinds.items() if keys]


def member_differences(
    connection: Connection, gold: GoldStar, settings: Settings, scope: Scope
) -> Iterator[Difference]:
    """Return the dimension members of a side that differ from Gold, of those that the facts in scope refer to.

    Members that unpublished facts refer to are passed over: Gold is ahead of both sides there.
    """
    for dimension in DIMENSION_RULES:
        days = _first_days(gold, dimension, scope)
        expected = member_hashes(gold, settings, dimension)
        there = member_hashes(connection, settings, dimension)
        differing = [key for key in days if expected.get(key) != there.get(key)]
        missing = Counter(days[key] for key in differing if key not in there)
        for day in sorted({days[key] for key in differing}):
            keys = sorted(key for key in differing if days[key] == day)
            yield Difference(
                check="members",
                subject=f"{dimension.table}, members first seen {day}",
                expected=f"{len(keys)} as in Gold",
                found=f"{missing[day]} missing, {len(keys) - missing[day]} other",
                examples=[str(key) for key in keys[:EXAMPLES]],
                remedy=repair_command(day),
            )


def _first_days(gold: GoldStar, dimension: Dimension, scope: Scope) -> dict[int, date]:
    """Return the members that the facts in scope refer to, with the first day they do."""
    left_out = f"batch_id || ':' || date_key IN ({', '.join(repr(group) for group in sorted(scope.without))})"
    ahead = f"AND {dimension.key} NOT IN (SELECT {dimension.key} FROM {FACT} WHERE {left_out})" if scope.without else ""
    query = f"""SELECT {dimension.key}, min(sold_at::DATE) FROM {FACT}
        WHERE {scope.months()} AND {scope.condition()} AND {dimension.key} <> 0 {ahead} GROUP BY 1"""
    return dict(gold.connection.execute(query).fetchall())
