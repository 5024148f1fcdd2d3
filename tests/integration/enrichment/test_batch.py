"""The step as a run takes it: Silver lines in, reference tables out, with every service well, ill and away."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from include.enrichment.batch import enrich
from include.enrichment.fx import ecb_history
from include.enrichment.reference import COUNTRIES, FX_RATES, PRODUCTS
from include.enrichment.service import REASONS
from include.runs.folder import Manifest
from include.runs.records import EnrichRecord, SilverRecord
from include.settings import Settings
from tests.support.services import (
    Behaviour,
    FakeServer,
    MakeSettings,
    cut_off,
    drip_body,
    hang,
    rates_error,
    raw,
    status,
)

LAST_QUOTED = max(ecb_history("GBP"))
AFTER = LAST_QUOTED + timedelta(days=30)

BROKEN: dict[str, Behaviour] = {
    "500": status(500),
    "hangs": hang(),
    "drips": drip_body(),
    "garbage": raw(b"\x00\xff garbage"),
    "truncated": cut_off(),
    "asks to wait": status(429, headers={"Retry-After": "3600"}),
    "expired key": status(403, json.dumps(rates_error("inactive-account")).encode()),
    "200 with an error": status(200, json.dumps(rates_error("quota-reached")).encode()),
}


def lines(settings: Settings, run_id: str, rows: list[dict[str, Any]]) -> tuple[Manifest, SilverRecord]:
    """Append Silver lines of a batch; return what its run would hand to the step."""
    claimed = datetime(2026, 11, 24, tzinfo=UTC)
    manifest = Manifest(run_id=run_id, batch_id=run_id, kind="drop", claimed_at=claimed)
    defaults = {"country": "EIRE", "stock_code": "22086", "description": "PAPER CHAIN KIT", "is_product": True}
    defaults |= {"currency": "GBP"}
    table = [
        defaults
        | {"unit_price": Decimal("2.55"), "batch_id": run_id}
        | row
        | {
            "sold_at": datetime.combine(row["invoice_day"], datetime.min.time(), UTC) + timedelta(hours=9),
            "invoice_month": f"{row['invoice_day']:%Y-%m}",
        }
        for row in rows
    ]
    found = pa.Table.from_pylist(table)
    write_deltalake(settings.table("silver", "invoice_lines"), found, mode="append", partition_by=["invoice_month"])
    return manifest, SilverRecord(months=sorted({row["invoice_month"] for row in table}))


def run(settings: Settings, run_id: str, rows: list[dict[str, Any]]) -> EnrichRecord:
    return enrich(settings, *lines(settings, run_id, rows))


ODD = [
    {"invoice_day": AFTER, "country": "Germany", "description": "ZORB QUIXEL FLANGE", "stock_code": "99999"},
    {"invoice_day": date(2010, 12, 1), "country": "Atlantis"},
]


def test_offline_every_answer_comes_from_the_bundled_data(make_settings: MakeSettings) -> None:
    settings = make_settings(enable_external_enrichment=False)
    found = run(settings, "batch-1", [{"invoice_day": date(2010, 12, 5)}, *ODD])
    rate = FX_RATES.rows(settings)[date(2010, 12, 5)]
    assert (rate["rate_date"], rate["source"]) == (date(2010, 12, 3), "ecb")
    assert FX_RATES.rows(settings)[AFTER]["missing"] == "disabled"
    facts = COUNTRIES.rows(settings)["EIRE"]
    assert (facts["iso2"], facts["continent"], facts["facts_source"]) == ("IE", "Europe", "countryinfo")
    product = PRODUCTS.rows(settings)["22086"]
    assert (product["category"], product["description"]) == ("gift_wrap_and_party", "PAPER CHAIN KIT")
    assert found.looked_up == {"fx_rates": 3, "countries": 3, "products": 2}
    assert found.missing["countries"] == {"unknown_country": 1}
    assert found.missing["fx_rates"] == {"disabled": 1}
    assert all(metrics.requests == 0 for metrics in found.services.values())


@pytest.mark.parametrize("name", BROKEN)
def test_a_service_that_fails_costs_a_run_nothing_once_the_breaker_is_open(
    make_settings: MakeSettings, fake: FakeServer, name: str
) -> None:
    settings = make_settings(breaker_threshold=1)
    fake.behaviour = BROKEN[name]
    first = run(settings, "batch-1", [row | {"country": "Narnia"} for row in ODD])
    asked = len(fake.requests)
    second = run(settings, "batch-2", [row | {"country": "Mordor"} for row in ODD])
    assert {metrics.breaker for metrics in first.services.values()} == {"open"}
    assert asked
    assert len(fake.requests) == asked
    for record in (first, second):
        (reason,) = record.missing["fx_rates"]
        assert reason in REASONS or reason.startswith("http_5")
        assert record.missing["countries"] == {"unknown_country": 1}
    assert FX_RATES.rows(settings)[date(2010, 12, 1)]["source"] == "ecb"


def test_what_was_missing_is_found_by_a_later_run(make_settings: MakeSettings) -> None:
    settings = make_settings(enable_external_enrichment=False)
    run(settings, "batch-1", ODD)
    gold: list[tuple[str, list[dict[str, Any]]]] = [
        ("fact_sales", [{"date_key": int(f"{AFTER:%Y%m%d}"), "fx_date": None, "fx_source": None}]),
        ("dim_country", [{"country": "EIRE", "enriched_at": None}]),
        ("dim_product", [{"stock_code": "99999", "enriched_at": None}]),
    ]
    schemas = {
        "fact_sales": pa.schema([("date_key", pa.int32()), ("fx_date", pa.date32()), ("fx_source", pa.string())]),
        "dim_country": pa.schema([("country", pa.string()), ("enriched_at", pa.timestamp("us", "UTC"))]),
        "dim_product": pa.schema([("stock_code", pa.string()), ("enriched_at", pa.timestamp("us", "UTC"))]),
    }
    for name, rows in gold:
        write_deltalake(settings.table("gold", name), pa.Table.from_pylist(rows, schema=schemas[name]))
    known = FX_RATES.rows(settings)[AFTER]
    FX_RATES.upsert(settings, [known | {"rate_date": AFTER, "source": "exchangerate-api", "missing": None}])
    later = run(settings, "batch-2", [{"invoice_day": date(2010, 12, 1), "country": "France"}])
    assert later.stale_days == [AFTER]
    assert later.stale_products == ["99999"]


def test_an_answer_for_a_day_is_not_replaced_by_a_worse_one(make_settings: MakeSettings) -> None:
    settings = make_settings(enable_external_enrichment=False)
    run(settings, "batch-1", [{"invoice_day": AFTER}])
    known = FX_RATES.rows(settings)[AFTER] | {"rate_date": AFTER - timedelta(days=1), "source": "exchangerate-api"}
    FX_RATES.upsert(settings, [known | {"missing": None}])
    run(settings, "batch-2", [{"invoice_day": AFTER}])
    assert FX_RATES.rows(settings)[AFTER]["source"] == "exchangerate-api"


def test_the_latest_priced_description_is_judged_whatever_the_order_of_batches(make_settings: MakeSettings) -> None:
    settings = make_settings(enable_external_enrichment=False)
    newer = {"invoice_day": date(2011, 5, 2), "description": "GLASS T-LIGHT HOLDER"}
    older = {"invoice_day": date(2011, 5, 1), "description": "PAPER CHAIN KIT"}
    note = {"invoice_day": date(2011, 5, 9), "description": "DAMAGED", "unit_price": Decimal("0.00")}
    run(settings, "batch-1", [newer, note])
    first = PRODUCTS.rows(settings)["22086"]
    run(settings, "batch-2", [older])
    assert PRODUCTS.rows(settings)["22086"] == first
    assert (first["description"], first["category"]) == ("GLASS T-LIGHT HOLDER", "candles_and_lighting")
