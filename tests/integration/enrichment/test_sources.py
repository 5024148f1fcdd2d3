"""Rates, countries and words as the services give them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from include.enrichment import fx
from include.enrichment.__main__ import app
from include.enrichment.country import facts, rest_countries_service
from include.enrichment.datamuse import datamuse_service, related_words
from include.settings import get_settings
from tests.support.services import (
    COUNTRIES,
    KEY,
    FakeServer,
    MakeClient,
    as_json,
    hang,
    latest_rates,
    rates_error,
    status,
)

SAMPLES = os.environ.get("RETAIL_API_SAMPLES", "")
needs_samples = pytest.mark.skipif(not SAMPLES, reason="RETAIL_API_SAMPLES does not name a folder of recorded answers")


def sample(name: str) -> Any:
    return json.loads((Path(SAMPLES) / name).read_text(encoding="utf-8"))


@pytest.fixture
def after_history(fake: FakeServer) -> date:
    """A day that the offline history cannot serve, which is also that of the service's rates."""
    fake.rates_day = max(fx.ecb_history("GBP")) + timedelta(days=30)
    return fake.rates_day


@pytest.mark.parametrize("key", ["", KEY])
def test_days_after_the_history_are_asked_with_and_without_a_key(
    fake: FakeServer, make_client: MakeClient, after_history: date, key: str
) -> None:
    client = make_client(fx.exchange_rate_service, currency_api_key=key)
    last = max(fx.ecb_history("GBP"))
    days = [
        date(2010, 12, 1),
        last,
        after_history - timedelta(days=8),
        after_history - timedelta(days=7),
        after_history,
        after_history + timedelta(days=7),
        after_history + timedelta(days=8),
    ]
    found = fx.rates(days, client, "GBP")
    assert [rate.source for rate in found] == ["ecb", "ecb", None, *["exchangerate-api"] * 3, None]
    assert found[4].base_rates["EUR"] == (1 / Decimal("1.1862")).quantize(Decimal("1e-12"))
    assert found[4].model_copy(update={"base_rates": {}}) == fx.FxRate(
        day=after_history,
        rate_date=after_history,
        source="exchangerate-api",
        usd=Decimal("1.31380000"),
        eur=Decimal("1.18620000"),
        cad=Decimal("1.77620000"),
        aud=Decimal("1.95560000"),
        jpy=Decimal("189.34900000"),
    )
    assert {rate.rate_date for rate in found[3:6]} == {after_history}
    assert found[2].missing_reason == found[6].missing_reason == "no_rate_near_day"
    assert (fake.requests, fake.keys) == (["/v6/latest/GBP"], [f"Bearer {key}" if key else None])


def test_days_that_the_history_serves_are_not_asked(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(fx.exchange_rate_service)
    last = max(fx.ecb_history("GBP"))
    weekend = [last + timedelta(days=ahead) for ahead in (1, 2)] if last.weekday() == 4 else []
    assert all(rate.source == "ecb" for rate in fx.rates([date(2010, 12, 4), last, *weekend], client, "GBP"))
    assert fake.requests == []


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (rates_error("invalid-key"), 403, "bad_key"),
        (rates_error("invalid-key"), 401, "bad_key"),
        (rates_error("invalid-key"), 200, "bad_key"),
        (rates_error("inactive-account"), 403, "bad_key"),
        (rates_error("quota-reached"), 403, "quota_reached"),
        (rates_error("quota-reached"), 200, "quota_reached"),
        (rates_error("unsupported-code"), 404, "service_error"),
        (rates_error("malformed-request"), 200, "service_error"),
        (latest_rates(date(2026, 11, 20), True, base_code="USD"), 200, "invalid_answer"),
        (latest_rates(date(2026, 11, 20), True, conversion_rates={"USD": 1.3}), 200, "invalid_answer"),
        (latest_rates(date(2026, 11, 20), True, time_last_update_unix=10**18), 200, "invalid_answer"),
        (
            latest_rates(date(2026, 11, 20), True, conversion_rates={"USD": 0, "EUR": 1, "CAD": 1, "AUD": 1, "JPY": 1}),
            200,
            "invalid_answer",
        ),
    ],
)
def test_errors_of_the_rate_service_have_reasons_and_count_for_the_breaker(
    fake: FakeServer, make_client: MakeClient, after_history: date, answer: dict[str, Any], code: int, reason: str
) -> None:
    fake.behaviour = as_json(answer, code)
    client = make_client(fx.exchange_rate_service, currency_api_key=KEY, breaker_threshold=1, http_timeout_seconds=3)
    assert fx.rates([after_history], client, "GBP") == [fx.FxRate(day=after_history, missing_reason=reason)]
    assert client.metrics().breaker == "open"
    assert client.metrics().failures == {reason: 1}


def test_a_dead_rate_service_costs_one_call_and_leaves_offline_rates(
    fake: FakeServer, make_client: MakeClient, after_history: date
) -> None:
    fake.behaviour = hang()
    client = make_client(fx.exchange_rate_service)
    last = max(fx.ecb_history("GBP"))
    days = [date(2010, 12, 1), last + timedelta(days=4), *(after_history + timedelta(days=n) for n in range(50))]
    found = fx.rates(days, client, "GBP")
    assert [rate.source for rate in found[:2]] == ["ecb", "ecb"]
    assert {rate.missing_reason for rate in found[2:]} == {"timeout"}
    assert client.metrics().questions == 1


@needs_samples
def test_the_recorded_rates_are_understood(fake: FakeServer, make_client: MakeClient) -> None:
    recorded = sample("exchangerate/open_latest_GBP_2024-09-05.subset.json")["body"]
    fake.behaviour = as_json(recorded)
    client = make_client(fx.exchange_rate_service)
    latest = client.get("v6/latest/GBP", fx._latest_in("GBP"))
    assert fx._day_of(latest) == date(2024, 9, 5)
    assert Decimal("1.313797") == latest.quotes["USD"]
    reasons = {"invalid-key": "bad_key", "inactive-account": "bad_key", "quota-reached": "quota_reached"}
    for kind, answer in sample("exchangerate/errors.json")["responses"].items():
        assert fx._error_in(json.dumps(answer["body"]).encode()) == reasons.get(kind, "service_error")


def test_facts_come_from_the_service_by_code(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(rest_countries_service)
    eire, britain, turkey, unspecified = facts(["EIRE", "UK", "Turkey", "Unspecified"], client)
    assert (eire.name, eire.iso2, eire.population, eire.source) == ("EIRE", "IE", 5_380_300, "restcountries")
    assert (eire.region, eire.subregion, eire.continent) == ("Europe", "Northern Europe", "Europe")
    assert britain.iso3 == "GBR"
    assert (turkey.continent, turkey.subregion) == ("Asia", None)
    assert unspecified.missing_reason == "not_stated"
    assert fake.requests == ["/v3.1/alpha/IE", "/v3.1/alpha/GB", "/v3.1/alpha/TR"]


def test_the_channel_islands_are_two_questions(fake: FakeServer, make_client: MakeClient) -> None:
    (islands,) = facts(["Channel Islands"], make_client(rest_countries_service))
    assert fake.requests == ["/v3.1/alpha/GG", "/v3.1/alpha/JE"]
    assert (islands.iso2, islands.population, islands.source) == (None, 167_000, "restcountries")
    assert islands.latitude == pytest.approx(49.355)


def test_a_name_the_table_does_not_know_is_asked_as_a_whole(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(rest_countries_service)
    utopia, shouted, atlantis, path = facts(["Utopia", " UTOPIA", "Atlantis", "../../x?y"], client)
    assert (utopia.iso2, utopia.is_country, shouted.iso2) == ("QU", True, "QU")
    assert atlantis.missing_reason == path.missing_reason == "unknown_country"
    assert fake.requests == [
        "/v3.1/name/utopia?fullText=true",
        "/v3.1/name/atlantis?fullText=true",
        "/v3.1/name/..%2F..%2Fx%3Fy?fullText=true",
    ]


def test_an_answer_about_another_country_is_not_taken(fake: FakeServer, make_client: MakeClient) -> None:
    fake.behaviour = as_json(COUNTRIES)
    client = make_client(rest_countries_service)
    lookalike, korea = facts(["Uto", "Korea"], client)
    assert lookalike.missing_reason == "unknown_country"
    assert (korea.iso2, korea.source) == ("KR", "countryinfo")


@pytest.mark.parametrize(
    "answer",
    [as_json([]), status(404), status(500), as_json([{"cca2": "IE"}]), status(301, headers={"Location": "/v5"})],
)
def test_without_an_answer_the_offline_facts_are_taken(fake: FakeServer, make_client: MakeClient, answer: Any) -> None:
    fake.behaviour = answer
    (eire,) = facts(["EIRE"], make_client(rest_countries_service))
    assert (eire.iso2, eire.source) == ("IE", "countryinfo")


def test_a_dead_country_service_costs_a_few_calls(fake: FakeServer, make_client: MakeClient) -> None:
    fake.behaviour = hang()
    client = make_client(rest_countries_service, http_timeout_seconds=0.5)
    names = ["France", "Germany", "Spain", "Portugal", "Italy", "Greece", "Norway", "Sweden", "Denmark", "Poland"] * 4
    found = facts([f"{name}{' ' * (number // 10)}" for number, name in enumerate(names)], client)
    assert {known.source for known in found} == {"countryinfo"}
    assert client.metrics().failures == {"timeout": 3, "breaker_open": 37}


def test_facts_are_asked_up_to_the_batch_size(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(rest_countries_service, enrichment_batch_size=2)
    sources = [known.source for known in facts(["UK", "EIRE", "Jersey"], client)]
    assert sources == ["restcountries", "restcountries", "countryinfo"]


@needs_samples
def test_the_recorded_countries_are_understood(fake: FakeServer, make_client: MakeClient) -> None:
    recorded = {known["cca2"]: known for known in sample("restcountries/countriesV3.1.json")}
    fake.behaviour = lambda handler: as_json([recorded[handler.path.rsplit("/", 1)[1]]])(handler)
    client = make_client(
        lambda settings: replace(rest_countries_service(settings), per_second=1000), enrichment_batch_size=1000
    )
    names = {code: known["name"]["common"] for code, known in recorded.items()}
    found = facts(names.values(), client)
    assert [known.iso2 for known in found] == list(names)
    assert {known.source for known in found} == {"restcountries"}
    assert all(known.continent in recorded[str(known.iso2)]["continents"] for known in found)


def test_related_words(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(datamuse_service)
    assert related_words(["Hot", "hot ", "", "sea side"], client) == {
        "hot": ["hoter", "hotest"],
        "sea side": ["sea sideer", "sea sideest"],
    }
    assert fake.requests == ["/words?ml=hot&max=20", "/words?ml=sea+side&max=20"]


def test_words_without_an_answer_are_left_out(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(datamuse_service)
    fake.script = [status(403), as_json([])]
    assert related_words(["a", "b", "c"], client) == {"b": [], "c": ["cer", "cest"]}
    assert client.metrics().failures == {"http_403": 1}


@needs_samples
def test_the_recorded_words_are_understood(fake: FakeServer, make_client: MakeClient) -> None:
    fake.behaviour = as_json(sample("datamuse/ml_white.json")["body"])
    found = related_words(["white"], make_client(datamuse_service))
    assert found["white"][:3] == ["lily-white", "whiteness", "whiten"]


def test_the_command_line_prints_answers_and_metrics(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETAIL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ENABLE_EXTERNAL_ENRICHMENT", "true")
    monkeypatch.setenv("RETAIL_DATAMUSE_URL", fake.url)
    get_settings.cache_clear()
    try:
        done = CliRunner().invoke(app, ["related", "hot"])
    finally:
        get_settings.cache_clear()
    assert done.exit_code == 0
    account = json.loads(done.stdout)
    assert account["answers"] == {"hot": ["hoter", "hotest"]}
    assert account["service"]["requests"] == 1
