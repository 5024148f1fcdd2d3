"""The warehouse's tables as SQLite has them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import CheckConstraint, MetaData, Table, text
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite as sqlite_dialect
from sqlalchemy.schema import CreateTable

from include.domain.star import DIMENSION_RULES, UNKNOWN_KEY
from include.warehouse import (
    NAMING,
    ORIGINAL,
    PRODUCT,
    SCALED,
    STAR,
    UNKNOWN,
    places,
    rounded,
    rounded_product,
    star_table,
)

REPLICA_TABLES = (*STAR, "etl_batch", "etl_receipt", "etl_quality")


def replica_metadata() -> MetaData:
    """Return the warehouse's tables as SQLite has them: same names, keys and checks, decimals scaled.

    Computed columns are left out of their CREATE TABLE; `_computed_columns` adds them.

    Raises:
        ValueError: If a check compares decimals in a way that has no scaled counterpart here.
    """
    metadata = MetaData(naming_convention=NAMING)
    for name in REPLICA_TABLES:
        table = star_table(name).to_metadata(metadata, schema=cast("Any", None))
        for column in table.columns:
            if column.computed is not None:
                factor, rate = (table.c[of] for of in column.info[PRODUCT])
                digits = [places(of.type) or 0 for of in (factor, rate, column)]
                converted = rounded_product(factor.name, rate.name, digits[0] + digits[1] - digits[2])
                original, currency = column.info[ORIGINAL]
                own = rounded(original, (places(table.c[original].type) or 0) - digits[2])
                column.computed.sqltext = text(f"CASE WHEN currency = '{currency}' THEN {own} ELSE {converted} END")
                column.system = True
        for check in table.constraints:
            if isinstance(check, CheckConstraint):
                check.sqltext = text(check.info.get(SCALED) or _scaled_check(table, str(check.sqltext)))
    return metadata


def _scaled_check(table: Table, check: str) -> str:
    decimals = {column.name: scale for column in table.columns if (scale := places(column.type)) is not None}
    words = set(check.replace("(", " ").replace(")", " ").split())
    used = decimals.keys() & words
    if not used:
        return check
    column, *rest = check.split(" ")
    if rest[:1] == ["BETWEEN"] and column in decimals:
        low, _, high = rest[1:]
        return f"{column} BETWEEN {int(low) * 10 ** decimals[column]} AND {int(high) * 10 ** decimals[column]}"
    if len({decimals[name] for name in used}) == 1 and not any(word.lstrip("-").isdigit() for word in words):
        return check  # sums of decimals with equally many places
    raise ValueError(f"Check {check!r} of {table.name} cannot be carried over to scaled decimals.")


def computed_columns(metadata: MetaData) -> list[str]:
    """Return the statements that add the computed columns: computed when read, so that a load does not pay for them."""
    return [
        f"ALTER TABLE {table.name} ADD COLUMN {column.name} BIGINT "
        f"GENERATED ALWAYS AS ({column.computed.sqltext}) VIRTUAL"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.computed is not None
    ]


@lru_cache(maxsize=1)
def schema_version() -> str:
    """Return the version of the replica's tables: 64 bits of a hash of their definitions."""
    metadata = replica_metadata()
    made = "\n".join(str(CreateTable(table).compile(dialect=sqlite_dialect())) for table in metadata.sorted_tables)
    # The order of constraints within a table is that of a set.
    lines = sorted(line.strip(" \t,") for line in [*made.splitlines(), *computed_columns(metadata)])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def unknown_member(table: str) -> dict[str, Any]:
    """Return the row that stands for what is not known, as the migrations make it."""
    row: dict[str, Any] = {}
    key, natural = next((rule.key, rule.natural) for rule in DIMENSION_RULES if rule.table == table)
    for column in star_table(table).columns:
        if column.name == key or (not column.nullable and column.type.python_type is int):
            row[column.name] = UNKNOWN_KEY
        elif column.name == natural and column.nullable:
            row[column.name] = None
        elif not column.nullable:
            row[column.name] = False if column.type.python_type is bool else UNKNOWN
    return row
