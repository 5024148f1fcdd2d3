"""The key reaches the service and nothing else."""

from __future__ import annotations

import logging
import traceback
from datetime import date
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from include.enrichment import fx
from include.enrichment.client import ServiceClient
from include.enrichment.service import ServiceUnavailable
from include.lake.connect_server import free_port
from tests.support.services import (
    KEY,
    Behaviour,
    FakeServer,
    MakeClient,
    as_json,
    cut_off,
    drip_body,
    hang,
    play,
    rates_error,
    status,
)

PATH = "v6/latest/GBP"
HEADER = f"Bearer {KEY}"
ECHO = f"<html>Cannot GET /v6/latest/GBP with {HEADER}</html>".encode()


def everything_about(error: BaseException) -> str:
    """Return all that can be printed of an exception and of those it is chained to, suppressed ones included."""
    texts, seen, waiting = [], set(), [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        texts += [str(current), repr(current), repr(current.args), repr(vars(current))]
        request = getattr(current, "request", None)
        texts += [str(getattr(request, "url", "")), str(getattr(request, "headers", ""))]
        waiting += [chained for chained in (current.__cause__, current.__context__) if chained is not None]
        waiting += [argument for argument in current.args if isinstance(argument, BaseException)]
    texts += traceback.format_exception(error)
    return "\n".join(texts)


@pytest.fixture
def client(make_client: MakeClient) -> ServiceClient:
    return make_client(fx.exchange_rate_service, currency_api_key=KEY, http_timeout_seconds=0.6)


def test_the_key_is_in_the_header_that_is_sent(fake: FakeServer, client: ServiceClient) -> None:
    (rate,) = fx.rates([date(2026, 11, 20)], client, "GBP")
    assert (fake.requests, fake.keys) == (["/v6/latest/GBP"], [HEADER])
    assert rate.source == "exchangerate-api"


def test_without_a_key_no_header_is_sent(fake: FakeServer, make_client: MakeClient) -> None:
    fx.rates([date(2026, 11, 20)], make_client(fx.exchange_rate_service), "GBP")
    assert fake.keys == [None]


def test_every_attempt_has_the_header(fake: FakeServer, client: ServiceClient) -> None:
    fake.script = [status(500)]
    (rate,) = fx.rates([date(2026, 11, 20)], client, "GBP")
    assert (fake.keys, rate.source) == ([HEADER] * 2, "exchangerate-api")


@pytest.mark.parametrize(
    "behaviour",
    [
        play,
        status(500, ECHO),
        status(404, ECHO),
        status(200, ECHO),
        status(301, ECHO, {"Location": f"/v6/latest/GBP/?key={KEY}"}),
        status(429, ECHO, {"Retry-After": KEY}),
        as_json(rates_error(KEY)),
        as_json({**rates_error("invalid-key"), "url": KEY}, 403),
        as_json({"result": KEY, "base_code": KEY}),
        cut_off(),
        hang(),
        drip_body(),
        None,
    ],
)
def test_no_log_exception_or_file_holds_the_key(
    fake: FakeServer,
    make_client: MakeClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour | None,
) -> None:
    changes = {} if behaviour else {"exchange_rate_url": f"http://127.0.0.1:{free_port()}"}
    client = make_client(fx.exchange_rate_service, currency_api_key=KEY, http_timeout_seconds=0.6, **changes)
    fake.behaviour = behaviour or play
    printed = ""
    with caplog.at_level(logging.DEBUG):
        for _ in range(4):
            try:
                client.get(PATH, fx._latest_in("GBP"))
            except ServiceUnavailable as unavailable:
                printed += everything_about(unavailable)
    assert behaviour is None or fake.requests
    printed += (
        client.metrics().model_dump_json() + repr(client.service) + repr(vars(client)) + repr(vars(client._opened()))
    )
    logged = "\n".join(f"{record.getMessage()} {vars(record)} {record.exc_text}" for record in caplog.records)
    assert any(record.name.startswith("urllib3") for record in caplog.records)
    assert KEY not in printed
    assert KEY not in logged
    for path in (tmp_path / "data").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_the_key_passes_through_a_proxy(
    fake: FakeServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("HTTP_PROXY", fake.url)
    monkeypatch.setenv("http_proxy", fake.url)
    client = make_client(fx.exchange_rate_service, currency_api_key=KEY, exchange_rate_url="http://127.0.0.1:9")
    fake.behaviour = as_json({"key": "none"})
    assert client.get(PATH, TypeAdapter(dict[str, str])) == {"key": "none"}
    assert (fake.requests, fake.keys) == (["http://127.0.0.1:9/v6/latest/GBP"], [HEADER])


def test_an_answer_that_repeats_the_key_is_used_and_not_kept(fake: FakeServer, client: ServiceClient) -> None:
    fake.behaviour = as_json({"key": KEY})
    for _ in range(2):
        assert client.get(PATH, TypeAdapter(dict[str, str])) == {"key": KEY}
    assert len(fake.requests) == 2


@pytest.mark.parametrize("key", ["two\nlines", "k\xe9y", "\u043a\u043b\u044e\u0447", "nul\0"])
def test_a_key_that_no_header_can_carry_is_a_bad_key(
    fake: FakeServer, make_client: MakeClient, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    client = make_client(fx.exchange_rate_service, currency_api_key=key)
    with pytest.raises(ServiceUnavailable) as caught, caplog.at_level(logging.DEBUG):
        client.get(PATH, fx._latest_in("GBP"))
    assert caught.value.reason == "bad_key"
    assert fake.requests == []
    assert key not in everything_about(caught.value) + caplog.text


def test_a_key_with_other_characters_is_sent_as_it_is(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(fx.exchange_rate_service, currency_api_key="a/../b?c#d e")
    with pytest.raises(ServiceUnavailable) as caught:
        client.get(PATH, fx._latest_in("GBP"))
    assert caught.value.reason == "bad_key"
    assert (fake.requests, fake.keys) == (["/v6/latest/GBP"], ["Bearer a/../b?c#d e"])
