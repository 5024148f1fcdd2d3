from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from include.failover import Warehouse
from include.warehouse import open_engine, transaction
from tests.support.batches import Line, batch
from tests.support.sales import LINES, LOADED, Side


def summed(lines: list[Line], invoices: bool = True) -> dict[str, Any]:
    money = Decimal("0.0001")
    gross = sum((line.amount for line in lines if line.kind == "sale"), Decimal(0))
    found: dict[str, Any] = {
        "lines": len(lines),
        "units": sum(line.quantity for line in lines),
        "revenue": sum((line.amount for line in lines), Decimal(0)).quantize(money),
        "gross_sales": gross.quantize(money),
    }
    return found | ({"invoices": len({line.invoice for line in lines})} if invoices else {})


def grouped(name: str, lines: list[Line]) -> dict[Any, list[Line]]:
    found = defaultdict(list)
    for line in lines:
        found[line.sold_at.date() if name == "day" else getattr(line, name)].append(line)
    return found


def as_told(item: dict[str, Any]) -> dict[str, Any]:
    names = ("lines", "units", "revenue", "gross_sales", "invoices")
    return {name: Decimal(item[name]) if isinstance(item[name], str) else item[name] for name in names if name in item}


def test_days(side: Side) -> None:
    days = grouped("day", LINES)
    found = side.get("/aggregates/daily", size=500)
    assert [date.fromisoformat(item["invoice_day"]) for item in found["items"]] == sorted(days)
    for item in found["items"]:
        assert as_told(item) == summed(days[date.fromisoformat(item["invoice_day"])])
    some = side.get("/aggregates/daily", country="france", date_from="2010-12-05", date_to="2010-12-09")
    expected = grouped("day", [line for line in LINES if line.country == "France"])
    for item in some["items"]:
        assert as_told(item) == summed(expected[date.fromisoformat(item["invoice_day"])])
    assert side.get("/aggregates/daily", country="Nowhere")["total"] == 0


def test_countries(side: Side) -> None:
    countries = grouped("country", LINES)
    found = side.get("/aggregates/countries")
    assert {item["country"] for item in found["items"]} == set(countries)
    revenues = [Decimal(item["revenue"]) for item in found["items"]]
    assert revenues == sorted(revenues, reverse=True)
    for item in found["items"]:
        assert as_told(item) == summed(countries[item["country"]])


def test_products(side: Side) -> None:
    lines = [line for line in LINES if line.sold_at.date() >= date(2010, 12, 20)]
    products = grouped("code", lines)
    found = side.get("/aggregates/products", date_from="2010-12-20", size=3, page=2)
    assert (found["total"], found["pages"], len(found["items"])) == (len(products), 3, 3)
    for item in found["items"]:
        assert as_told(item) == summed(products[item["stock_code"]], invoices=False)


def test_batches(side: Side) -> None:
    found = side.get("/batches", size=1)
    assert (found["total"], found["items"][0]["batch_id"]) == (2, batch(2))
    one = side.get(f"/batches/{batch(1)}")
    assert (one["facts_loaded"], Decimal(one["amount_loaded"])) == (400, LOADED)
    assert side.client.get(f"/api/v1/batches/{batch(9)}").status_code == 404
    assert side.client.get("/api/v1/batches/latest").status_code == 422


def test_receipts(side: Side) -> None:
    found = side.get("/receipts", status="loaded")
    assert found["items"][0]["rows_quarantined"] == 1
    assert side.get("/receipts", status="rejected")["total"] == 0
    assert side.get("/receipts/run_1")["rows_quarantined"] == {"malformed_quantity": 1}
    assert side.client.get("/api/v1/receipts/run_9").status_code == 404
    assert side.client.get("/api/v1/receipts/run%20'--").status_code == 422


def test_quality(side: Side) -> None:
    [overall] = side.get("/quality")["items"]
    assert (overall["level"], overall["score"], overall["status"]) == ("overall", 0.975, "passed")
    assert [item["level"] for item in side.get("/quality", batch=batch(1))["items"]] == ["dimension", "overall"]


def test_quarantined_rows(side: Side) -> None:
    found = side.get("/quarantine/rows", size=2)
    assert [item["line"] for item in found["items"]] == [2, 3]
    assert (found["total"], found["pages"]) == (3, 2)
    [both] = side.get("/quarantine/rows", code="missing_price")["items"]
    assert [reason["code"] for reason in both["reasons"]] == ["malformed_quantity", "missing_price"]
    assert all(reason["problem"] and reason["remedy"] for reason in both["reasons"])
    assert (both["amount"], len(both["raw"]) < 500) == (None, True)
    assert side.get("/quarantine/rows", batch=batch(2))["total"] == 0
    assert side.get("/quarantine/rows", file="a.csv' OR ''='")["total"] == 0


def test_the_warehouse_tells_of_itself(side: Side) -> None:
    for prefix in ("/supabase", "/warehouse"):
        assert side.get(f"{prefix}/health")["serves"] == side.name
        statistics = side.get(f"{prefix}/statistics")
        assert statistics["side"] == side.name
        assert {table["name"]: table["rows"] for table in statistics["tables"]}["fact_sales"] == len(LINES)
        assert statistics["newest_batch"]["batch_id"] == batch(2)
        shown = side.client.get(f"/api/v1{prefix}/config").text
        assert side.get(f"{prefix}/connection")["status"] == ("up" if side.name == "primary" else "down")
        url = side.settings.database_url.get_secret_value()
        if url:
            password = url.split(":")[2].split("@")[0]
            assert password not in shown
            assert "***" in shown


def test_making_what_is_there_changes_nothing(primary: Side) -> None:
    for _ in range(2):
        made = primary.client.post("/api/v1/supabase/schema/create")
        assert made.json() == {"schemas": ["retail_dwh", "retail_staging"], "created": []}
        tables = primary.client.post("/api/v1/warehouse/tables/create").json()
        assert (tables["changed"], tables["revision"]) == (False, tables["revision_before"])
    assert primary.get("/sales")["total"] == len(LINES)


def test_nothing_waits_for_a_server_that_does_not_answer(primary: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Warehouse, "primary_answers", lambda _: False)
    for path in ("schema/create", "tables/create", "integrity/validate"):
        answer = primary.client.post(f"/api/v1/supabase/{path}")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert primary.get("/supabase/connection")["status"] == "down"


def test_a_role_that_may_not_make_schemas_is_told(primary: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_engine(primary.settings) as engine, transaction(engine) as connection:
        connection.execute(text("CREATE ROLE api_guest LOGIN PASSWORD 'guest'"))
    url = make_url(primary.settings.database_url.get_secret_value()).set(username="api_guest", password="guest")
    update = {"database_url": SecretStr(url.render_as_string(hide_password=False)), "warehouse_schema": "elsewhere"}
    monkeypatch.setattr(primary.app.state.retail, "settings", primary.settings.model_copy(update=update))
    for path in ("schema/create", "tables/create"):
        answer = primary.client.post(f"/api/v1/supabase/{path}")
        assert answer.status_code == 409, answer.text
        assert "permission denied" in answer.json()["detail"]


def test_there_is_no_schema_to_make_in_a_file(sides: dict[str, Side]) -> None:
    for path in ("schema/create", "tables/create"):
        assert sides["replica"].client.post(f"/api/v1/supabase/{path}").status_code == 409


@pytest.mark.parametrize("wanted", [None, {"date_from": "2010-12-01", "date_to": "2010-12-02"}])
def test_validation(side: Side, wanted: dict[str, str] | None) -> None:
    answer = side.client.post("/api/v1/supabase/integrity/validate", json=wanted)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["whole"], found["differences"], found["side"]) == (True, [], side.name)
    assert found["rows"] == (
        len(LINES) if wanted is None else sum(line.sold_at.day < 3 and line.sold_at.month == 12 for line in LINES)
    )
