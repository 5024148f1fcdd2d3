r"""Rows, units, money and row hashes of the star, made alike in PostgreSQL, SQLite and Gold to be compared.

The hash of a row is SHA-256 over its columns as SQLite stores them (decimals scaled to whole numbers, moments with six
decimals, `\N` for null), separated by the character 31. The hash of a day is SHA-256 over those of its facts in order
of `sale_id`. `batch_id` is left out: which of two batches that bring the same line owns it may depend on their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from pydantic import ConfigDict
from sqlalchemy import Boolean, Column, Connection, Date, DateTime, Uuid

from include.domain.model import Model
from include.domain.money import MONEY_PLACES, QUANTITY_PLACES, Money, Quantity
from include.domain.star import Dimension
from include.settings import Settings
from include.warehouse import FACT, SQLITE, GoldStar, loaded_columns, places, set_local, star_table, stored

_NULL = r"'\N'"


class Figures(Model):
    """What a side has of one invoice day.

    Attributes:
        amount: GBP.
        digest: Hash of the rows; empty if it was not asked for.
    """

    model_config = ConfigDict(frozen=True)

    rows: int = 0
    units: Quantity = Decimal(0)
    amount: Money = Decimal(0)
    digest: str = ""


@dataclass(frozen=True)
class Scope:
    """Invoice days to look at.

    Attributes:
        first: None for no limit.
        last: None for no limit.
        days: Only these; None for all from `first` to `last`.
        without: Facts to leave out, as `batch_id:date_key`.
    """

    first: date | None = None
    last: date | None = None
    days: frozenset[date] | None = None
    without: frozenset[str] = frozenset()

    @classmethod
    def of(cls, days: Iterable[date], without: Iterable[str] = ()) -> Scope:
        """Return the scope of some days."""
        chosen = frozenset(days)
        return cls(min(chosen, default=None), max(chosen, default=None), chosen, frozenset(without))

    def condition(self) -> str:
        """Return the SQL condition on facts, the same in all three engines."""
        found = ["1 = 1"]
        if self.first:
            found.append(f"sold_at >= '{self.first} 00:00:00'")
        if self.last:
            found.append(f"sold_at <= '{self.last} 23:59:59.999999'")
        if self.days is not None:
            keys = ", ".join(f"{day:%Y%m%d}" for day in sorted(self.days)) or "NULL"
            found.append(f"date_key IN ({keys})")
        if self.without:
            left_out = ", ".join(f"'{group}'" for group in sorted(self.without))
            found.append(f"batch_id || ':' || CAST(date_key AS VARCHAR) NOT IN ({left_out})")
        return " AND ".join(found)

    def months(self) -> str:
        """Return the condition on invoice months by which Gold need not be read whole."""
        found = ["1 = 1"]
        if self.first:
            found.append(f"invoice_month >= '{self.first:%Y-%m}'")
        if self.last:
            found.append(f"invoice_month <= '{self.last:%Y-%m}'")
        return " AND ".join(found)


def gold_figures(gold: GoldStar, scope: Scope, *, hashed: bool = True) -> dict[date, Figures]:
    """Return what Gold has of each invoice day."""
    digest = "sha256(string_agg(hash, '' ORDER BY sale_id))" if hashed else "''"
    query = f"""
        SELECT day, count(*), sum(quantity), sum(amount)::DECIMAL(38, 6), {digest}
        FROM (SELECT sold_at::DATE AS day, sale_id, quantity, amount, {_gold_hash(FACT) if hashed else "''"} AS hash
            FROM {FACT} WHERE {scope.months()} AND {scope.condition()})
        GROUP BY day ORDER BY day"""
    return {row[0]: _figures(row[1:]) for row in gold.connection.execute(query).fetchall()}


def side_figures(
    connection: Connection, settings: Settings, scope: Scope, *, hashed: bool = True
) -> dict[date, Figures]:
    """Return what the primary or the replica has of each invoice day."""
    if connection.dialect.name == SQLITE:
        return _replica_figures(connection, scope, hashed)
    set_local(connection, "work_mem", "128MB")
    set_local(connection, "jit", "off")
    digest = "encode(sha256(convert_to(string_agg(hash, '' ORDER BY sale_id), 'UTF8')), 'hex')" if hashed else "''"
    query = f"""
        SELECT day, count(*), sum(quantity), sum(amount), {digest}
        FROM (SELECT sold_at::date AS day, sale_id, quantity, amount, {_primary_hash(FACT) if hashed else "''"} AS hash
            FROM {settings.warehouse_schema}.{FACT} WHERE {scope.condition()}) AS facts
        GROUP BY day ORDER BY day"""
    return {row[0]: _figures(tuple(row[1:])) for row in connection.exec_driver_sql(query)}


def _figures(row: tuple[Any, ...]) -> Figures:
    rows, units, amount, digest = row
    return Figures(rows=rows, units=units, amount=amount, digest=digest)


def _replica_figures(connection: Connection, scope: Scope, hashed: bool) -> dict[date, Figures]:
    raw: Any = connection.connection.driver_connection
    if not hashed:
        query = f"""SELECT substr(sold_at, 1, 10) AS day, count(*), sum(quantity), sum(amount) FROM {FACT}
            WHERE {scope.condition()} GROUP BY day"""
        return {
            date.fromisoformat(day): _scaled(rows, units, amount, "") for day, rows, units, amount in raw.execute(query)
        }
    query = f"""SELECT substr(sold_at, 1, 10), sale_id, quantity, amount, {_replica_text(FACT)} FROM {FACT}
        WHERE {scope.condition()} ORDER BY sold_at"""
    found = {}
    for day, facts in groupby(raw.execute(query), key=lambda row: row[0]):
        rows = sorted((row[1], row[2], row[3], _hash(row[4])) for row in facts)
        digest = hashlib.sha256("".join(row[3] for row in rows).encode()).hexdigest()
        units, amount = sum(row[1] for row in rows), sum(row[2] for row in rows)
        found[date.fromisoformat(day)] = _scaled(len(rows), units, amount, digest)
    return found


def _scaled(rows: int, units: int, amount: int, digest: str) -> Figures:
    """Return figures from sums of columns as SQLite stores them."""
    return _figures((rows, Decimal(units).scaleb(-QUANTITY_PLACES), Decimal(amount).scaleb(-MONEY_PLACES), digest))


def fact_hashes(source: Connection | GoldStar, settings: Settings, scope: Scope) -> dict[str, str]:
    """Return the row hash of each fact by `sale_id` (hex), of one of the three."""
    if isinstance(source, GoldStar):
        query = f"SELECT sale_id, {_gold_hash(FACT)} FROM {FACT} WHERE {scope.months()} AND {scope.condition()}"
        return dict(source.connection.execute(query).fetchall())
    return dict(_hashes(source, settings, FACT, scope.condition()))


def member_hashes(source: Connection | GoldStar, settings: Settings, dimension: Dimension) -> dict[int, str]:
    """Return the row hash of each member of a dimension by its key, of one of the three."""
    if isinstance(source, GoldStar):
        query = f"SELECT {dimension.key}, {_gold_hash(dimension.table)} FROM {dimension.table}"
        return dict(source.connection.execute(query).fetchall())
    return dict(_hashes(source, settings, dimension.table, "1 = 1"))


def _hashes(connection: Connection, settings: Settings, table: str, condition: str) -> Iterator[tuple[Any, str]]:
    key = star_table(table).primary_key.columns.keys()[0]
    if connection.dialect.name == SQLITE:
        raw: Any = connection.connection.driver_connection
        rows = raw.execute(f"SELECT {key}, {_replica_text(table)} FROM {table} WHERE {condition}")
        yield from ((row[0], _hash(row[1])) for row in rows)
        return
    query = f"SELECT {key}, {_primary_hash(table)} FROM {settings.warehouse_schema}.{table} WHERE {condition}"
    for found, digest in connection.exec_driver_sql(query):
        yield (found if isinstance(found, int) else found.hex), digest


def _hash(row: str) -> str:
    return hashlib.sha256(row.encode()).hexdigest()


def _hashed_columns(table: str) -> list[Column[Any]]:
    columns = star_table(table).columns if table == FACT else loaded_columns(table)
    return [column for column in columns if column.name != "batch_id"]


def _gold_hash(table: str) -> str:
    parts = [f"coalesce({stored(column)}::VARCHAR, {_NULL})" for column in _hashed_columns(table)]
    return f"sha256(concat_ws(chr(31), {', '.join(parts)}))"


def _replica_text(table: str) -> str:
    parts = [
        f"coalesce({column.name}, {_NULL})" if column.nullable else column.name for column in _hashed_columns(table)
    ]
    return " || char(31) || ".join(parts)


def _primary_hash(table: str) -> str:
    parts = [f"coalesce(({_as_stored(column)})::text, {_NULL})" for column in _hashed_columns(table)]
    return f"encode(sha256(convert_to(concat_ws(chr(31), {', '.join(parts)}), 'UTF8')), 'hex')"


def _as_stored(column: Column[Any]) -> str:
    """Return PostgreSQL's expression for a column as SQLite stores it."""
    scale = places(column.type)
    if scale is not None:
        return f"({column.name} * {10**scale})::bigint"
    if isinstance(column.type, Uuid):
        return f"replace({column.name}::text, '-', '')"
    if isinstance(column.type, DateTime):
        return f"to_char({column.name}, 'YYYY-MM-DD HH24:MI:SS.US')"
    if isinstance(column.type, Date):
        return f"to_char({column.name}, 'YYYY-MM-DD')"
    if isinstance(column.type, Boolean):
        return f"{column.name}::integer"
    return column.name
