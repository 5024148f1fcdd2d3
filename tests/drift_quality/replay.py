"""Replay of a file day by day: how often each drift statistic raises a false alarm, and how often it finds a fault."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from include.domain.classify import ADJUSTMENT_INVOICE, CANCELLATION_INVOICE
from include.domain.model import Model
from include.quality.drift import STATISTICS, compare
from include.quality.profiles import DayProfile, added_up, profiles_of
from include.sources.staging import stage_file

FAULTS = {
    "half of the lines lost, here and there": "SELECT * FROM clean WHERE hash(number) % 2 = 0",
    "cut off after half of the lines": """
        SELECT * FROM clean
        QUALIFY row_number() OVER (PARTITION BY invoice_day ORDER BY invoice_date, number)
            <= count(*) OVER (PARTITION BY invoice_day) / 2""",
    "half of the invoices lost": "SELECT * FROM clean WHERE hash(invoice) % 2 = 0",
    "lines twice": "SELECT * FROM clean UNION ALL SELECT * FROM clean",
    "lines three times": "SELECT clean.* FROM clean, range(3)",
    "invoices twice, under other numbers": """
        SELECT clean.* REPLACE (invoice || '-' || copy.range AS invoice) FROM clean, range(2) AS copy""",
    "invoices three times, under other numbers": """
        SELECT clean.* REPLACE (invoice || '-' || copy.range AS invoice) FROM clean, range(3) AS copy""",
    "customer ids lost": "SELECT * REPLACE (NULL AS customer_id) FROM clean",
    "descriptions lost": "SELECT * REPLACE (NULL AS description) FROM clean",
    "prices x 100 (in pence)": "SELECT * REPLACE (price * 100 AS price) FROM clean",
    "prices / 100": "SELECT * REPLACE (price / 100 AS price) FROM clean",
    "quantities zero": "SELECT * REPLACE (0 AS quantity) FROM clean",
    "quantities x 10": "SELECT * REPLACE (quantity * 10 AS quantity) FROM clean",
}
"""Fault -> query that does it to every day of table `clean`."""

_CLEAN = """
CREATE TABLE clean AS
SELECT row_number() OVER (ORDER BY invoice_date, invoice, stock_code, quantity, price, description) AS number, *
FROM (
    SELECT DISTINCT upper(trim(invoice)) AS invoice, upper(trim(stock_code)) AS stock_code,
        nullif(trim(description), '') AS description,
        TRY_CAST(quantity AS DECIMAL(11, 4)) AS quantity,
        try_strptime(replace(invoice_date, 'T', ' '), $formats) AS invoice_date,
        TRY_CAST(price AS DECIMAL(14, 6)) AS price,
        nullif(trim(customer_id), '') AS customer_id, country, '' AS batch_id,
        CAST(try_strptime(replace(invoice_date, 'T', ' '), $formats) AS DATE) AS invoice_day
    FROM read_parquet($path) WHERE defect IS NULL
) WHERE quantity IS NOT NULL AND price IS NOT NULL AND invoice_date IS NOT NULL
"""

_LINES = f"""
CREATE OR REPLACE TEMP VIEW lines AS
SELECT *, CASE
    WHEN regexp_matches(invoice, '{CANCELLATION_INVOICE}|{ADJUSTMENT_INVOICE}') THEN 'other'
    WHEN quantity > 0 AND price > 0 THEN 'sale' ELSE 'other' END AS kind
FROM ({{query}})
"""

_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")


class Rates(Model):
    """Share of the compared days on which each statistic is beyond its bound, and on which any of them is."""

    of: str
    by_statistic: dict[str, float]
    any: float


class Replay(Model):
    """Outcome of a replay.

    Attributes:
        days: Invoice days of the file.
        compared: Those with enough earlier days of their weekday.
        false_alarms: Of the days as they are.
        faults: Of the days with a fault injected, compared with earlier days as they are.
    """

    days: int
    compared: int
    false_alarms: Rates
    faults: list[Rates]


def replay(path: Path) -> Replay:
    """Compare each day of a source file with the days before it, as it is and with each fault injected.

    Raises:
        include.sources.model.SourceRejected: If the file cannot be read.
    """
    with TemporaryDirectory() as scratch, duckdb.connect() as connection:
        staged = Path(scratch) / "lines.parquet"
        stage_file(path, path.name, staged)
        connection.execute(_CLEAN, {"path": str(staged), "formats": list(_FORMATS)})
        connection.execute(_LINES.format(query="SELECT * FROM clean"))
        days = added_up(profiles_of(connection))
        ordinary, compared = _rates("ordinary days", days, days)
        faults = []
        for name, query in FAULTS.items():
            connection.execute(_LINES.format(query=query))
            faults.append(_rates(name, added_up(profiles_of(connection)), days)[0])
    return Replay(days=len(days), compared=compared, false_alarms=ordinary, faults=faults)


def _rates(name: str, judged: Mapping[date, DayProfile], days: Mapping[date, DayProfile]) -> tuple[Rates, int]:
    found = [alerts for profile in judged.values() if (alerts := compare(profile, days)) is not None]
    total = max(1, len(found))
    by_statistic = {
        statistic: sum(any(alert.statistic == statistic for alert in alerts) for alerts in found) / total
        for statistic in STATISTICS
    }
    return Rates(of=name, by_statistic=by_statistic, any=sum(map(bool, found)) / total), len(found)
