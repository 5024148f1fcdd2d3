"""Reads of the star that the command line and the Makefile show."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from include.domain.money import number, printed
from include.warehouse.schema.tables import star_table


def latest_sales(connection: Connection, limit: int = 3) -> list[dict[str, Any]]:
    """Return the newest facts with their dimensions, newest first.

    Args:
        connection: To either side of the warehouse.
        limit: At most so many facts.

    Returns:
        Dictionaries of invoice_no, stock_code, description, quantity, unit_price (GBP), amount (GBP), kind, sold_at
        (shop local time), customer_id and country; an unknown member reads `(unknown)`.

    Raises:
        ValueError: If `limit` is not positive.
    """
    if limit < 1:
        raise ValueError(f"The number of sales to show is {limit}; it has to be 1 or more.")
    fact = star_table("fact_sales")
    product, customer, country, invoice = (
        star_table(f"dim_{name}") for name in ("product", "customer", "country", "invoice")
    )
    query = (
        select(
            invoice.c.invoice_no,
            product.c.stock_code,
            product.c.description,
            fact.c.quantity,
            fact.c.unit_price,
            fact.c.amount,
            fact.c.kind,
            fact.c.sold_at,
            customer.c.customer_id,
            country.c.country,
        )
        .select_from(fact)
        .join(invoice, invoice.c.invoice_key == fact.c.invoice_key)
        .join(product, product.c.product_key == fact.c.product_key)
        .join(customer, customer.c.customer_key == fact.c.customer_key)
        .join(country, country.c.country_key == fact.c.country_key)
        .order_by(fact.c.sold_at.desc(), fact.c.sale_id)
        .limit(limit)
    )
    return [
        {**row, "quantity": number(row["quantity"]), **{name: printed(row[name]) for name in ("unit_price", "amount")}}
        for row in connection.execute(query).mappings()
    ]


def totals(connection: Connection) -> dict[str, Any]:
    """Return what the fact table holds.

    Returns:
        `{"rows": int, "amount": Decimal, "by_kind": {kind: {"rows": int, "amount": Decimal}}}`, amounts in GBP.
    """
    fact = star_table("fact_sales")
    query = (
        select(fact.c.kind, func.count().label("rows"), func.sum(fact.c.amount).label("amount"))
        .group_by(fact.c.kind)
        .order_by(fact.c.kind)
    )
    kinds = {row.kind: {"rows": row.rows, "amount": printed(row.amount)} for row in connection.execute(query)}
    return {
        "rows": sum(kind["rows"] for kind in kinds.values()),
        "amount": sum((kind["amount"] for kind in kinds.values()), Decimal(0)),
        "by_kind": kinds,
    }
