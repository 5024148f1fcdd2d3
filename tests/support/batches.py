"""Batches made by hand: the star of a few lines, written to staging with COPY as the Gold job would leave it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Engine, select, text

from include.domain.star import COUNTRY_FACTS, PRODUCT_FACTS
from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.staging import create_staging, staging_table
from include.warehouse.schema.tables import FACT, STAR, loaded_columns, star_table

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Line:
    """One invoice line; the same values are the same line."""

    invoice: str = "536365"
    code: str = "85123A"
    description: str | None = "LANTERN"
    quantity: int | Decimal = 6
    sold_at: datetime = datetime(2010, 12, 1, 8, 26)
    price: Decimal = Decimal("2.55")
    customer: str | None = "17850"
    country: str = "United Kingdom"
    kind: str = "sale"
    declared: Decimal | None = None

    @cached_property
    def sale_id(self) -> UUID:
        identity = repr(asdict(replace(self, kind="")))
        return UUID(hashlib.sha256(identity.encode()).hexdigest()[:32])

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.price if self.declared is None else self.declared


def key(natural: str | None) -> int:
    return 0 if natural is None else int(hashlib.sha256(natural.encode()).hexdigest()[:15], 16)


def _grouped(lines: Iterable[Line], name: str) -> dict[Any, list[Line]]:
    found: dict[Any, list[Line]] = {}
    for line in lines:
        found.setdefault(getattr(line, name), []).append(line)
    return found


def star_of(lines: Iterable[Line], batch_id: str) -> Rows:
    """Return the rows of each table of the star, as the Gold job makes them of a batch."""
    lines = sorted(set(lines), key=lambda line: (line.sold_at, line.sale_id))
    codes, customers, invoices = (_grouped(lines, name) for name in ("code", "customer", "invoice"))
    rows: dict[str, dict[Any, tuple[Any, ...]]] = {table: {} for table in STAR}
    for line in lines:
        day = line.sold_at.date()
        date_key = day.year * 10000 + day.month * 100 + day.day
        iso = day.isocalendar()
        names = (day.strftime("%B"), day.day, iso.weekday, day.strftime("%A"), iso.week, iso.weekday > 5)
        rows["dim_date"][date_key] = (date_key, day, day.year, (day.month + 2) // 3, day.month, *names)
        rows["dim_country"][line.country] = (key(line.country), line.country)
        of_code = codes[line.code]
        described = [other for other in of_code if other.description is not None]
        rows["dim_product"][line.code] = (
            key(line.code),
            line.code,
            described[-1].description if described else None,
            "product",
            True,
            described[-1].sold_at if described else None,
            of_code[0].sold_at,
            of_code[-1].sold_at,
        )
        if line.customer is not None:
            of_customer = customers[line.customer]
            rows["dim_customer"][line.customer] = (
                key(line.customer),
                line.customer,
                key(of_customer[-1].country),
                of_customer[0].sold_at,
                of_customer[-1].sold_at,
            )
        of_invoice = invoices[line.invoice]
        invoice_kind = "cancellation" if line.invoice.startswith("C") else "sale"
        rows["dim_invoice"][line.invoice] = (
            key(line.invoice),
            line.invoice,
            invoice_kind,
            of_invoice[0].sold_at,
            of_invoice[-1].sold_at,
        )
        rows["fact_sales"][line.sale_id] = (
            line.sale_id.hex,
            date_key,
            key(line.code),
            key(line.customer),
            key(line.country),
            key(line.invoice),
            line.sold_at,
            line.quantity,
            line.price,
            line.amount,
            line.kind,
            batch_id,
        )
    return {table: list(found.values()) for table, found in rows.items()}


def whole_fact(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row of `star_of` for the facts with the columns that a load fills besides."""
    width = len(loaded_columns(FACT))
    quantity, price, amount = row[7:10]
    if len(row) == width:
        return row
    own = (amount != quantity * price, "GBP", price, amount, 1)
    return (*row, *[None] * (width - len(own) - len(row)), *own)


def stage_rows(engine: Engine, settings: Settings, batch_id: str, rows: Rows) -> dict[str, int]:
    """Fill fresh staging tables; return the rows staged by table."""
    create_staging(engine, settings, batch_id)
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        for table in STAR:
            name = sql.Identifier(settings.staging_schema, staging_table(table, batch_id))
            names = [column.name for column in loaded_columns(table)]
            width = len(names) if table == FACT else max((len(row) for row in rows[table]), default=1)
            columns = sql.SQL(", ").join(sql.Identifier(name) for name in names[:width])
            with connection.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)) as copy:
                for row in rows[table]:
                    copy.write_row(whole_fact(row) if table == FACT else row)
    return {table: len(rows[table]) for table in STAR}


def stage(engine: Engine, settings: Settings, batch_id: str, lines: Iterable[Line]) -> dict[str, int]:
    """Stage the star of `lines`; return the rows staged by table."""
    return stage_rows(engine, settings, batch_id, star_of(lines, batch_id))


ENRICHED = {
    *(*COUNTRY_FACTS, *PRODUCT_FACTS, "enriched_at"),
    *("amount_declared", "currency", "original_unit_price", "original_amount", "base_rate"),
}


def table_rows(engine: Engine, table: str) -> list[tuple[Any, ...]]:
    """Return the rows of a live table without its unknown member and what enrichment adds, sorted by key."""
    live = star_table(table)
    own = [
        column
        for column in loaded_columns(table)
        if column.name not in ENRICHED and not column.name.startswith(("fx_", "rate_"))
    ]
    query = select(*own).order_by(*live.primary_key.columns)
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(query) if row[0] != 0]


def star_rows(engine: Engine) -> Rows:
    """Return the rows of every table of the star."""
    return {table: table_rows(engine, table) for table in STAR}


def staging_tables(engine: Engine, settings: Settings) -> list[str]:
    """Return the names of the tables in the staging schema."""
    query = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY 1")
    with transaction(engine) as connection:
        return list(connection.execute(query, {"schema": settings.staging_schema}).scalars())


def batch(number: int) -> str:
    """Return the id of the batch claimed as the `number`-th."""
    return f"20261124T{number // 3600:02}{number // 60 % 60:02}{number % 60:02}-{number:08x}"


def lines_of(count: int, *, start: int = 0, invoices: Sequence[str] = ("536365", "536366", "C536367")) -> list[Line]:
    """Return `count` different lines over a few days, products, customers and countries."""
    return [
        Line(
            invoice=invoices[number % len(invoices)],
            code=f"P{number % 7}",
            description=f"PRODUCT {number % 7}",
            quantity=number + 1,
            sold_at=datetime(2010, 12, 1 + number % 5, 8 + number % 9, number % 60),
            price=Decimal(number % 11) / 4,
            customer=None if number % 4 == 0 else str(17850 + number % 3),
            country=("United Kingdom", "France", "EIRE")[number % 3],
        )
        for number in range(start, start + count)
    ]
