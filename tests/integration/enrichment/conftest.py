from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.client import ServiceClient
from include.enrichment.service import Service
from include.settings import Settings
from tests.support.services import FakeServer, MakeClient, MakeSettings


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """The fake services."""
    with FakeServer() as server:
        yield server


@pytest.fixture
def make_settings(tmp_path: Path, fake: FakeServer) -> MakeSettings:
    """Makes settings with which the fake services are asked."""

    def make(**changes: Any) -> Settings:
        defaults = {
            "data_dir": tmp_path / "data",
            "enable_external_enrichment": True,
            "exchange_rate_url": fake.url,
            "exchange_rate_open_url": fake.url,
            "rest_countries_url": fake.url,
            "datamuse_url": fake.url,
            "http_timeout_seconds": 1.5,
            "breaker_reset_seconds": 60,
        }
        return Settings(_env_file=None, **{**defaults, **changes})

    return make


@pytest.fixture
def make_client(make_settings: MakeSettings) -> Iterator[MakeClient]:
    """Makes clients; each stands for a process, as they share nothing but files."""
    clients: list[ServiceClient] = []

    def make(service: Callable[[Settings], Service], **changes: Any) -> ServiceClient:
        settings = make_settings(**changes)
        clients.append(ServiceClient(settings, service(settings)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
