"""A batch as the relations that rules and profiles are evaluated on, in DuckDB, read from the Delta tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from tempfile import TemporaryDirectory

import duckdb
from deltalake import DeltaTable

from include.quality.rules import COLUMNS, STRUCTURAL, has_code
from include.runs.folder import Manifest, RunFolder
from include.runs.records import STILL_WRITTEN, BronzeRecord, SilverRecord, StagedFile, unreadable
from include.sources.defects import VALUE_LIMIT

REPEATS_LOOKED_UP = 1_000
"""Repeats, from the first on, that are looked up for the report."""

# DuckDB multiplies in 64 bits unless the type of a number has more, as that of the price has.
_RELATIONS = f"""
CREATE TABLE lines (
    sale_id VARCHAR, invoice VARCHAR, stock_code VARCHAR, description VARCHAR, quantity DECIMAL(11, 4),
    invoice_date TIMESTAMP, price DECIMAL(20, 6), customer_id VARCHAR, country VARCHAR, country_as_written VARCHAR,
    amount DECIMAL(18, 6), amount_declared BOOLEAN, currency VARCHAR, kind VARCHAR,
    source_file VARCHAR, source_line BIGINT, batch_id VARCHAR, invoice_day DATE
);
CREATE TABLE broken (
    source_file VARCHAR, source_sha256 VARCHAR, source_page INTEGER, source_line BIGINT, codes VARCHAR[],
    {", ".join(f"{name} VARCHAR" for name in COLUMNS)}, raw VARCHAR, currency VARCHAR,
    amount DECIMAL(38, 6)
);
CREATE VIEW legible AS
    SELECT source_file, source_line, invoice, stock_code, description, customer_id, country FROM lines
    UNION ALL
    SELECT source_file, source_line, invoice, stock_code, description, customer_id, country
    FROM broken WHERE NOT {has_code(*STRUCTURAL)};
CREATE TABLE repeats (
    source_file VARCHAR, source_line BIGINT, invoice VARCHAR, stock_code VARCHAR, twin_file VARCHAR, twin_line BIGINT
);
CREATE TABLE files (source_file VARCHAR, source_line BIGINT, readable BOOLEAN, problem VARCHAR);
CREATE TABLE totals (
    source_file VARCHAR, source_line BIGINT, rows_recorded BIGINT, rows_found BIGINT,
    amount_recorded DECIMAL(38, 6), amount_found DECIMAL(38, 6)
);
"""

_LINES = """
INSERT INTO lines
SELECT sale_id, invoice_no, stock_code, description, quantity, CAST(sold_at AS TIMESTAMP), unit_price, customer_id,
    country, country_as_written, amount, amount_declared, currency, kind, source_file, source_line, batch_id,
    invoice_day
FROM silver WHERE
"""

_BROKEN = f"""
INSERT INTO broken
SELECT source_file, source_sha256, source_page, source_line, codes,
    {", ".join(f"left({name}, {VALUE_LIMIT})" for name in COLUMNS)}, left(raw, {VALUE_LIMIT}), currency, amount
FROM quarantine WHERE
"""


def _whole(value: str) -> str:
    """Return SQL for `value` without the decimals of a whole number, as Silver reads numbers of a spreadsheet."""
    return f"regexp_replace({value}, '^([0-9]+)\\.0+$', '\\1')"


# A repeat and the line it repeats have the same eight values after parsing. Seven of them find it, as dates are written
# in many ways: what differs only in its time of day is a likely enough example.
_REPEATS = f"""
INSERT INTO repeats
WITH others AS (
    SELECT source_file, source_line, {_whole("upper(trim(invoice))")} AS invoice,
        {_whole("upper(trim(stock_code))")} AS stock_code,
        trim(regexp_replace(coalesce(description, ''), '\\s+', ' ', 'g')) AS description,
        TRY_CAST(quantity AS DECIMAL(13, 4)) AS quantity,
        TRY_CAST(price AS DECIMAL(16, 6)) AS price,
        {_whole("trim(coalesce(customer_id, ''))")} AS customer_id,
        coalesce(trim(country), '') AS country
    FROM (SELECT * FROM bronze WHERE ingest_date = $day AND batch_id = $batch) AS arrived
    ANTI JOIN lines USING (source_file, source_line)
    ANTI JOIN broken USING (source_file, source_line)
    ORDER BY source_file, source_line LIMIT {REPEATS_LOOKED_UP}
), firsts AS (
    SELECT invoice, stock_code, coalesce(description, '') AS description, quantity, price,
        coalesce(customer_id, '') AS customer_id, coalesce(country_as_written, '') AS country,
        arg_min(source_file, (source_file, source_line)) AS twin_file,
        arg_min(source_line, (source_file, source_line)) AS twin_line
    FROM lines SEMI JOIN others USING (invoice, stock_code) GROUP BY ALL
)
SELECT source_file, source_line, invoice, stock_code, twin_file, twin_line
FROM others LEFT JOIN firsts USING (invoice, stock_code, description, quantity, price, customer_id, country)
"""

_TOTALS = """
INSERT INTO totals
SELECT $name, NULL, $rows, {count}, $amount, coalesce(sum(amount) FILTER (WHERE currency = $currency), 0)
FROM {relation}
"""


def _quoted(values: list[str]) -> str:
    return ", ".join(repr(value) for value in values)


def _ours(manifest: Manifest, others: list[str]) -> str:
    """Return the SQL condition for the rows of Silver or quarantine that a run accounts for.

    Args:
        manifest: The run.
        others: Batches whose rows a rebuild leaves to their own runs.
    """
    if manifest.kind == "drop":
        return f"batch_id = '{manifest.batch_id}'"
    days = ", ".join(f"DATE '{day}'" for day in manifest.days)
    return f"invoice_day IN ({days})" + (f" AND batch_id NOT IN ({_quoted(others)})" if others else "")


def files_of(manifest: Manifest, bronze: BronzeRecord) -> list[StagedFile]:
    """Return the new files of a drop: those that Bronze read or rejected, and those that the system refused to open."""
    return bronze.files + [unreadable(file) for file in manifest.files if file.status == "unreadable"]


def prepare(connection: duckdb.DuckDBPyConnection, claimed_at: datetime) -> None:
    """Make the relations, empty, and the variable `claimed_at` (UTC)."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET VARIABLE claimed_at = TIMESTAMP '{claimed_at.astimezone(UTC).replace(tzinfo=None)}'")
    connection.execute(_RELATIONS)


@contextmanager
def open_batch(
    run: RunFolder, manifest: Manifest, bronze: BronzeRecord, silver: SilverRecord
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that holds the relations of `rules.Relation`, and the variable `claimed_at` (UTC).

    Read are the versions of the tables that Silver recorded, so that what other runs write meanwhile changes nothing,
    and of those only the partitions and files that may hold the batch.

    Raises:
        deltalake.exceptions.TableNotFoundError: If a table that Silver recorded is not there.
    """
    settings = run.settings
    run.path.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=run.path, prefix=".audit-") as scratch,
        duckdb.connect(config={"temp_directory": scratch}) as connection,
    ):
        prepare(connection, manifest.claimed_at)
        if silver.table_version is not None and silver.months:
            table = DeltaTable(settings.table("silver", "invoice_lines"), version=silver.table_version)
            connection.register("silver", table.to_pyarrow_dataset())
            ours = _ours(manifest, silver.unpublished)
            connection.execute(f"{_LINES} invoice_month IN ({_quoted(silver.months)}) AND {ours}")
        if silver.quarantine_version is not None:
            table = DeltaTable(settings.table("silver", "quarantine"), version=silver.quarantine_version)
            connection.register("quarantine", table.to_pyarrow_dataset())
            connection.execute(f"{_BROKEN} {_ours(manifest, [])}")
        if manifest.kind == "drop" and silver.rows_duplicate + silver.rows_already_seen:
            table = DeltaTable(settings.table("bronze", "invoice_lines"), version=bronze.table_version)
            connection.register("bronze", table.to_pyarrow_dataset())
            connection.execute(_REPEATS, {"day": manifest.claimed_at.date(), "batch": manifest.batch_id})
        files = [
            (file.name, None, file.reading is not None, file.problem)
            for file in files_of(manifest, bronze)
            if file.code != STILL_WRITTEN[0]
        ]
        if files:
            connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", files)
        quarantined = sum(silver.rows_quarantined.values())
        for currency, balance in silver.balances(settings.base_currency).items():
            for relation, name, rows, amount in (
                ("lines", "Silver", silver.rows_loaded, balance.amount_loaded),
                ("broken", "Quarantine", quarantined, balance.amount_quarantined),
            ):
                recorded: dict[str, str | int | Decimal | None] = {"name": name, "rows": rows, "amount": amount}
                recorded["currency"] = currency
                count = "count(*)"
                if currency != settings.base_currency:  # rows are counted once, whatever their currency
                    recorded |= {"name": f"{name}, {currency}", "rows": None}
                    count = "NULL"
                connection.execute(_TOTALS.format(relation=relation, count=count), recorded)
        yield connection
