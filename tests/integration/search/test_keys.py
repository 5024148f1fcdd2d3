"""Searches have a key of their own, which may do nothing else."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from include.search.entities import SearchMisconfigured, SearchRequest
from include.search.index import bring_up_to_date, index_status
from include.search.server import SearchServer
from include.search.service import SearchService
from include.settings import Settings
from tests.support.shop import MakeSettings, catalogue, write_shop

FRENCH = SearchRequest(country="France", q="candle")


@pytest.fixture
def keyed(make_settings: MakeSettings) -> Settings:
    """Settings with a search key, of an index that was made."""
    settings = make_settings(typesense_search_key=SecretStr(secrets.token_urlsafe(16)))
    write_shop(settings, catalogue())
    assert bring_up_to_date(settings, "r1").status == "indexed"
    return settings


def test_the_status_is_told_although_the_search_key_may_not_ask_for_it(keyed: Settings) -> None:
    assert index_status(keyed).collection


def test_the_search_key_searches(keyed: Settings) -> None:
    alone = keyed.model_copy(update={"typesense_api_key": SecretStr("not the key")})
    with SearchService(alone) as service:
        assert service.search(FRENCH).found
    assert bring_up_to_date(keyed, "r2", rebuild=True).rebuilt
    with SearchService(alone) as service:
        assert service.search(FRENCH).found


@pytest.mark.parametrize(
    "call",
    [
        lambda server, alias: server.collections(),
        lambda server, alias: server.drop(server.current(alias)),
        lambda server, alias: server.switch(alias, "other"),
        lambda server, alias: server.create({"name": "other", "fields": [{"name": "a", "type": "string"}]}),
        lambda server, alias: server.export(alias, ["id"]),
        lambda server, alias: server.upsert(alias, "{}"),
        lambda server, alias: server.delete(alias, ["00"]),
        lambda server, alias: server.document(alias, "00"),
        lambda server, alias: server.add_search_key("another", alias),
        lambda server, alias: server.search([{"collection": "somebody_elses", "q": "*"}]),
    ],
)
def test_the_search_key_does_nothing_else(keyed: Settings, call: Callable[[SearchServer, str], Any]) -> None:
    with SearchServer(keyed) as server, pytest.raises(SearchMisconfigured, match="refuses the key"):
        call(server, keyed.search_alias)


def test_a_key_that_is_new_is_registered_by_the_warm_up(keyed: Settings) -> None:
    changed = keyed.model_copy(update={"typesense_search_key": SecretStr(secrets.token_urlsafe(16))})
    with SearchService(changed) as service:
        with pytest.raises(SearchMisconfigured):
            service.search(FRENCH)
        service.warm_up()
        service.warm_up()
        assert service.search(FRENCH).found


def test_keys_travel_in_a_header_alone(
    keyed: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[httpx.Request] = []
    send = httpx.Client.send

    def noted(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        sent.append(request)
        return send(client, request, **options)

    monkeypatch.setattr(httpx.Client, "send", noted)
    caplog.set_level(logging.DEBUG)
    bring_up_to_date(keyed, "r2", rebuild=True)
    with SearchService(keyed) as service:
        service.search(FRENCH)
    search_key = keyed.typesense_search_key.get_secret_value()
    keys = {keyed.typesense_api_key.get_secret_value(), search_key}
    assert {request.headers["X-TYPESENSE-API-KEY"] for request in sent} == keys
    assert {r.headers["X-TYPESENSE-API-KEY"] for r in sent if r.url.path == "/multi_search"} >= {search_key}
    assert not [request.url for request in sent if any(key in str(request.url) for key in keys)]
    assert not [key for key in keys if key in caplog.text]
