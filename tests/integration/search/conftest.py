from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.search import TypesenseServer
from include.search.index import bring_up_to_date
from include.search.server import SearchServer
from include.search.service import SearchService
from include.settings import Settings
from tests.support.shop import MakeSettings, catalogue, settings_for, write_shop


@pytest.fixture
def make_settings(typesense_server: TypesenseServer, tmp_path: Path) -> MakeSettings:
    """Makes settings of a search that nobody else uses."""
    return lambda **changes: settings_for(typesense_server, tmp_path / "data", **changes)


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture
def server(settings: Settings) -> Iterator[SearchServer]:
    with SearchServer(settings, indexing=True) as found:
        yield found


@pytest.fixture(scope="module")
def shop(typesense_server: TypesenseServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a search whose index holds the small shop; only read by tests."""
    settings = settings_for(typesense_server, tmp_path_factory.mktemp("shop"))
    write_shop(settings, catalogue())
    assert bring_up_to_date(settings, "first").status == "indexed"
    return settings


@pytest.fixture(scope="module")
def service(shop: Settings) -> Iterator[SearchService]:
    with SearchService(shop) as found:
        yield found
