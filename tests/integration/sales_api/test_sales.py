from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from starlette.types import Message

from include.failover import Breaker, StateFile, Warehouse
from include.warehouse import WarehouseUnavailable
from retail_api.data.sales import SalesRepository
from retail_api.domain.paging import MAX_SIZE
from retail_api.domain.sales import SORT_FIELDS
from tests.support.batches import Line
from tests.support.lake import RATES
from tests.support.sales import COUNTRIES, DESCRIPTIONS, LINES, Side

FIELDS: dict[str, Callable[[Line], Any]] = {
    "invoice_date": lambda line: line.sold_at,
    "invoice_no": lambda line: line.invoice,
    "stock_code": lambda line: line.code,
    "description": lambda line: DESCRIPTIONS[line.code],
    "quantity": lambda line: line.quantity,
    "unit_price": lambda line: line.price,
    "total": lambda line: line.amount,
    "customer_id": lambda line: line.customer or "(unknown)",
    "country": lambda line: line.country,
    "kind": lambda line: line.kind,
}


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT max(i) FROM n"


def in_order(lines: list[Line], sort: list[tuple[str, bool]]) -> list[str]:
    """Return the ids of lines, sorted by fields (name, descending), then time and id like the last of them."""
    last = sort[-1][1]
    ordered = sorted(lines, key=lambda line: line.sale_id.hex, reverse=last)
    if "invoice_date" not in [name for name, _ in sort]:
        ordered.sort(key=lambda line: line.sold_at, reverse=last)
    for name, descending in reversed(sort):
        value = FIELDS[name]
        filled = [line for line in ordered if value(line) is not None]
        ordered = sorted(filled, key=value, reverse=descending) + [line for line in ordered if value(line) is None]
    return [str(line.sale_id) for line in ordered]


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_a_line_is_told_exactly(side: Side) -> None:
    for line in LINES[:30]:
        found = side.get(f"/sales/{line.sale_id}")
        assert found["total"] == str(line.amount.quantize(Decimal("0.0001")))
        assert found["unit_price"] == str(line.price.quantize(Decimal("0.0001")))
        assert found["invoice_date"] == line.sold_at.isoformat()
        assert found["customer_id"] == line.customer
        assert (found["invoice_no"], found["stock_code"]) == (line.invoice, line.code)
        assert (found["quantity"], found["country"], found["kind"]) == (line.quantity, line.country, line.kind)
        if line.sold_at.minute % 10:
            converted = (line.amount * Decimal(RATES["USD"])).quantize(Decimal("0.01"), ROUND_HALF_UP)
            assert Decimal(found["total_usd"]) == converted
            assert found["fx_missing"] is None
        else:
            assert found["total_usd"] is None
            assert found["fx_missing"] == "no_rate_near_day"


@given(
    sort=st.lists(
        st.tuples(st.sampled_from(SORT_FIELDS), st.booleans()), min_size=1, max_size=4, unique_by=lambda f: f[0]
    ),
    wanted=st.fixed_dictionaries(
        {},
        optional={
            "country": st.sampled_from([*COUNTRIES, "Nowhere"]),
            "product": st.sampled_from(["P0", "p6", "P7", "P99"]),
            "customer": st.sampled_from(["17850", "17853", "(unknown)", "1"]),
            "kind": st.sampled_from(["sale", "return", "fee"]),
            "date_from": st.sampled_from(["2010-12-03", "2010-12-20", "2011-02-01"]),
            "date_to": st.sampled_from(["2010-12-20", "2011-01-05"]),
        },
    ),
    size=st.sampled_from([1, 7, 100]),
    page=st.sampled_from([1, 2, 3, 9]),
)
@hypothesis_settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_pages_are_those_of_a_list_in_memory(
    sides: dict[str, Side], sort: list[tuple[str, bool]], wanted: dict[str, str], size: int, page: int
) -> None:
    if wanted.get("date_from", "") > wanted.get("date_to", "9"):
        return
    lines = [
        line
        for line in LINES
        if wanted.get("country", line.country) == line.country
        and wanted.get("product", line.code).upper() == line.code
        and wanted.get("customer", line.customer or "(unknown)") == (line.customer or "(unknown)")
        and wanted.get("kind", line.kind) == line.kind
        and wanted.get("date_from", "") <= str(line.sold_at.date()) <= wanted.get("date_to", "9")
    ]
    order = ",".join(f"{name}:{'desc' if descending else 'asc'}" for name, descending in sort)
    expected = in_order(lines, sort)
    for side in sides.values():
        found = side.get("/sales", sort=order, size=size, page=page, **wanted)
        assert ids(found) == expected[(page - 1) * size : page * size]
        assert (found["total"], found["page"], found["size"]) == (len(lines), page, size)
        assert found["pages"] == -(-len(lines) // size)


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("wanted", [{}, {"country": "France"}, {"customer": "(unknown)"}])
def test_a_cursor_reads_the_whole_list_once(side: Side, direction: str, wanted: dict[str, str]) -> None:
    seen: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = side.get("/sales", sort=f"invoice_date:{direction}", size=37, **wanted, **more)
        seen += ids(page)
        if page["next_cursor"] is None:
            break
        more = {"cursor": page["next_cursor"]}
    lines = [
        line
        for line in LINES
        if all(FIELDS["country" if "country" in wanted else "customer_id"](line) == value for value in wanted.values())
    ]
    assert seen == in_order(lines, [("invoice_date", direction == "desc")])
    assert page["total"] == len(lines)
    assert page["page"] is None


@pytest.mark.parametrize("path", ["/sales", "/aggregates/daily", "/aggregates/countries", "/aggregates/products"])
def test_the_days_may_be_the_first_and_the_last_there_are(side: Side, path: str) -> None:
    days = {"date_from": "0001-01-01", "date_to": "9999-12-31"}
    assert side.get(path, **days) == side.get(path)


def test_an_invoice_and_a_country_in_any_case(side: Side) -> None:
    of_invoice = [line for line in LINES if line.invoice == "536010"]
    assert sorted(ids(side.get("/sales", invoice="536010"))) == sorted(str(line.sale_id) for line in of_invoice)
    assert side.get("/sales", invoice="nothing")["items"] == []
    assert side.get("/sales", country="france")["total"] == side.get("/sales", country="France")["total"] > 0


def test_answers_say_who_gave_them_and_are_not_sent_twice(side: Side) -> None:
    first = side.client.get("/api/v1/sales")
    assert first.headers["X-Warehouse"] == side.name
    tag = first.headers["ETag"]
    again = side.client.get("/api/v1/sales", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert side.client.get("/api/v1/sales?page=2", headers={"If-None-Match": tag}).status_code == 200


def test_both_sides_give_the_same_bytes(sides: dict[str, Side]) -> None:
    for path in (
        "/sales?size=500",
        "/aggregates/daily",
        "/aggregates/countries",
        "/aggregates/products",
        "/batches",
        "/receipts",
        "/quality",
    ):
        answers = [side.client.get(f"/api/v1{path}") for side in sides.values()]
        assert answers[0].status_code == 200
        assert answers[0].content == answers[1].content
        assert answers[0].headers["ETag"] == answers[1].headers["ETag"]


@pytest.mark.parametrize(
    "query",
    [
        "size=0", f"size={MAX_SIZE + 1}", "page=0", "page=1e3", "page=1&page=2", "sort=", "sort=id", "sort=total:up",
        "sort=total;drop table", "sort=total,total", "sort=total:desc:asc", "sort=" + ",".join(SORT_FIELDS),
        "date_from=2010-13-01", "date_from=1291161600", "date_from=2010-12-01T00:00:00",
        "date_from=2010-12-02&date_to=2010-12-01", "kind=sale'--", "country=", "country=%00", "customer=%0a",
        "country=" + "x" * 61, "cursor=!!!", "cursor=e30", "unknown=1", "Country=France",
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused(side: Side, query: str) -> None:
    answer = side.client.get(f"/api/v1/sales?{query}")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_cursor_of_another_list_is_refused(side: Side) -> None:
    cursor = side.get("/sales", size=1)["next_cursor"]
    for other in ({"sort": "invoice_date:asc"}, {"sort": "total:desc"}, {"page": 2}):
        assert side.client.get("/api/v1/sales", params={"cursor": cursor, **other}).status_code == 422


@pytest.mark.parametrize("field", ["country", "product", "customer", "invoice"])
@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "'; DROP TABLE fact_sales; --", '" OR 1=1 --', "%", "_", "\\", "$1", ":x"]
)
def test_values_are_never_statements(side: Side, field: str, text: str) -> None:
    assert side.get("/sales", **{field: text})["total"] == 0
    assert side.get("/sales")["total"] == len(LINES)


def test_a_quote_in_a_name_is_found(side: Side) -> None:
    assert side.get("/sales", country=COUNTRIES[3])["total"] == sum(line.country == COUNTRIES[3] for line in LINES)


def test_one_that_is_not_there(side: Side) -> None:
    assert side.client.get("/api/v1/sales/00000000-0000-0000-0000-000000000000").status_code == 404
    assert side.client.get("/api/v1/sales/1").status_code == 422


def test_a_csv_export_is_whole_and_harmless(side: Side) -> None:
    answer = side.client.get("/api/v1/sales/export", params={"format": "csv"})
    assert answer.headers["X-Warehouse"] == side.name
    assert answer.headers["Content-Disposition"] == 'attachment; filename="sales.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["id"] for row in rows] == in_order(LINES, [("invoice_date", False)])
    assert sum(Decimal(row["total"]) for row in rows) == sum(line.amount for line in LINES)
    assert {row["description"] for row in rows if row["stock_code"] == "P6"} == {"'=CMD()|'X'!A1"}
    assert not [value for row in rows for value in row.values() if value.startswith(("=", "+", "@"))]
    assert {row["customer_id"] for row in rows} == {line.customer or "" for line in LINES}


def test_a_parquet_export_keeps_types_and_filters(side: Side) -> None:
    parameters = {"format": "parquet", "country": "France", "date_to": "2010-12-20"}
    answer = side.client.get("/api/v1/sales/export", params=parameters)
    table = pq.read_table(io.BytesIO(answer.content))
    lines = [line for line in LINES if line.country == "France" and str(line.sold_at.date()) <= "2010-12-20"]
    assert table.schema.field("total").type == pa.decimal128(18, 6)
    assert table.schema.field("invoice_date").type == pa.timestamp("us")
    assert table["id"].to_pylist() == in_order(lines, [("invoice_date", False)])
    assert sum(table["total"].to_pylist()) == sum(line.amount for line in lines)
    empty = side.client.get("/api/v1/sales/export", params={"format": "parquet", "country": "Nowhere"})
    assert pq.read_table(io.BytesIO(empty.content)).num_rows == 0


def test_heavy_sorts_at_a_time_are_limited_and_others_go_on(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retail_api.services.sales.SORTED_LINES", len(LINES) - 1)
    sorts = side.app.state.retail.sorts
    for _ in range(3):
        assert side.client.get("/api/v1/sales?sort=quantity:desc").status_code == 200
    while sorts.acquire(blocking=False):
        pass
    try:
        answer = side.client.get("/api/v1/sales?sort=quantity:desc")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
        for light in ("", "?sort=invoice_date:asc,total:desc", "?sort=total:desc&country=France"):
            assert side.client.get(f"/api/v1/sales{light}").status_code == 200
    finally:
        sorts.release(2)


def test_a_sort_that_takes_too_long_is_no_failure_of_the_primary(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(repository: SalesRepository, *_: Any) -> None:
        repository._connection.execute(text(ENDLESS))

    read = Warehouse.read
    monkeypatch.setattr(Warehouse, "read", lambda warehouse, work: read(warehouse, work, timeout_seconds=0.3))
    monkeypatch.setattr(SalesRepository, "page", slow)
    monkeypatch.setattr("retail_api.services.sales.SORTED_LINES", 10)
    answer = side.client.get("/api/v1/sales?sort=quantity:desc")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Narrow the filters" in answer.json()["detail"]
    assert StateFile(side.settings).read().breaker == Breaker()


def test_the_replica_is_not_waited_for_without_end(sides: dict[str, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse: Warehouse = sides["replica"].app.state.retail.warehouse
    with pytest.raises(WarehouseUnavailable, match=r"within 0\.2 seconds"):
        warehouse.read(lambda connection: connection.execute(text(ENDLESS)).all(), timeout_seconds=0.2)


def test_exports_at_a_time_are_limited_and_give_back_their_place(primary: Side) -> None:
    places = primary.app.state.retail.exports
    for others in (["tester"], ["ann", "bob"]):
        assert all(places.take(name) for name in others)
        try:
            answer = primary.client.get("/api/v1/sales/export")
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
        finally:
            for name in others:
                places.give_back(name)
    for _ in range(4):
        assert primary.client.get("/api/v1/sales/export").status_code == 200


def test_a_client_that_takes_nothing_holds_no_export_for_ever(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retail_api.routes.sales.EXPORT_SECONDS", 0.3)

    async def scenario() -> None:
        async def receive() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.sleep(60)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/sales/export",
            "query_string": b"",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "scheme": "http",
            "http_version": "1.1",
        }
        with pytest.raises(TimeoutError):
            await side.app(scope, receive, send)

    asyncio.run(scenario())
    assert side.client.get("/api/v1/sales/export").status_code == 200
