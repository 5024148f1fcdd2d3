from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, text

from include.domain.classify import KINDS
from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.schema.marts import COUNTRY_SALES, CUSTOMER_RFM, DAILY_SALES, PRODUCT_SALES, Mart
from tests.support.batches import Line, batch, key, lines_of, stage


def published(engine: Engine, settings: Settings, lines: Iterable[Line], number: int = 1) -> None:
    stage(engine, settings, batch(number), lines)
    publish(engine, settings, batch(number), "run", "drop", f"gold {number}")


def rows_of(engine: Engine, settings: Settings, mart: Mart, key_column: str) -> dict[Any, dict[str, Any]]:
    query = text(f"SELECT * FROM {settings.warehouse_schema}.{mart.name}")
    with transaction(engine) as connection:
        return {row[key_column]: dict(row) for row in connection.execute(query).mappings()}


def sums(lines: Iterable[Line], group: Callable[[Line], Any]) -> dict[Any, dict[str, Any]]:
    """Return revenue and gross sales as `include.lake.aggregates` defines them: of all lines, and of sales."""
    groups: dict[Any, list[Line]] = defaultdict(list)
    for line in lines:
        groups[group(line)].append(line)
    return {
        name: {
            "lines": len(found),
            "invoices": len({line.invoice for line in found}),
            "units": sum(line.quantity for line in found),
            "revenue": sum(line.amount for line in found),
            "gross_sales": sum((line.amount for line in found if line.kind == "sale"), Decimal(0)),
        }
        for name, found in groups.items()
    }


def of_every_kind() -> list[Line]:
    lines = lines_of(60)
    others = [
        Line(
            kind=kind,
            quantity=-number - 1,
            code=f"P{number}",
            sold_at=datetime(2010, 12, 1 + number, 9),
            country="EIRE",
        )
        for number, kind in enumerate(KINDS)
    ]
    return [*lines, *others]


def test_sales_by_day_country_and_product_agree_with_the_lines(engine: Engine, settings: Settings) -> None:
    lines = of_every_kind()
    published(engine, settings, lines)
    for mart, natural, group in (
        (DAILY_SALES, "invoice_day", lambda line: line.sold_at.date()),
        (COUNTRY_SALES, "country", lambda line: line.country),
        (PRODUCT_SALES, "stock_code", lambda line: line.code),
    ):
        found = rows_of(engine, settings, mart, natural)
        expected = sums(lines, group)
        assert {name: {measure: row.get(measure) for measure in expected[name]} for name, row in found.items()} == {
            name: row | ({"invoices": None} if mart is PRODUCT_SALES else {}) for name, row in expected.items()
        }


def test_a_publish_is_in_the_mart_at_once_and_days_without_lines_are_not(engine: Engine, settings: Settings) -> None:
    published(engine, settings, [Line()])
    published(engine, settings, [Line(sold_at=datetime(2010, 12, 3), invoice="536400")], 2)
    found = rows_of(engine, settings, DAILY_SALES, "invoice_day")
    assert sorted(found) == [date(2010, 12, 1), date(2010, 12, 3)]
    assert found[date(2010, 12, 3)]["date_key"] == 20101203


def test_an_empty_warehouse_has_empty_marts(engine: Engine, settings: Settings) -> None:
    for mart in (DAILY_SALES, COUNTRY_SALES, PRODUCT_SALES, CUSTOMER_RFM):
        assert rows_of(engine, settings, mart, next(iter(mart.columns))) == {}


def test_recency_frequency_and_money_of_customers(engine: Engine, settings: Settings) -> None:
    def sale(customer: str | None, day: int, invoice: str, price: str, **others: Any) -> Line:
        sold_at = datetime(2010, 12, day, 10)
        return Line(customer=customer, sold_at=sold_at, invoice=invoice, price=Decimal(price), quantity=1, **others)

    published(
        engine,
        settings,
        [
            sale("1", 1, "A1", "10"),
            sale("1", 1, "A1", "5", code="OTHER"),
            sale("1", 4, "A2", "1", country="France"),
            sale("2", 9, "A3", "2.5"),
            sale("2", 20, "C4", "-2.5", kind="cancellation"),
            sale(None, 10, "A5", "99"),
            sale("3", 10, "A6", "4", kind="return"),
        ],
    )
    found = rows_of(engine, settings, CUSTOMER_RFM, "customer_id")
    assert found == {
        "1": {
            "customer_key": key("1"),
            "customer_id": "1",
            "country": "France",
            "last_sale_day": date(2010, 12, 4),
            "recency_days": 16,
            "frequency": 2,
            "monetary": Decimal(16),
            "recency_score": 1,
            "frequency_score": 3,
            "monetary_score": 3,
        },
        "2": {
            "customer_key": key("2"),
            "customer_id": "2",
            "country": "United Kingdom",
            "last_sale_day": date(2010, 12, 9),
            "recency_days": 11,
            "frequency": 1,
            "monetary": Decimal("2.5"),
            "recency_score": 3,
            "frequency_score": 1,
            "monetary_score": 1,
        },
    }


def test_scores_are_quintiles_and_equal_customers_score_the_same(engine: Engine, settings: Settings) -> None:
    lines = [
        Line(
            customer=str(100 + number),
            invoice=f"I{number}",
            sold_at=datetime(2010, 12, 1 + number, 9),
            quantity=1,
            price=Decimal(1 if number < 8 else number),
        )
        for number in range(10)
    ]
    published(engine, settings, lines)
    found = [row for _, row in sorted(rows_of(engine, settings, CUSTOMER_RFM, "customer_id").items())]
    assert [row["recency_score"] for row in found] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [row["monetary_score"] for row in found] == [1] * 8 + [5, 5]
    assert [row["frequency_score"] for row in found] == [1] * 10
