from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from deploy.embedded.search import TypesenseServer
from include.search.index import bring_up_to_date
from include.search.server import SearchServer
from include.search.service import SearchService
from include.settings import Settings
from tests.conftest import TYPESENSE_KEY
from tests.support.shop import catalogue, write_shop

MakeSettings = Callable[..., Settings]


def settings_for(server: TypesenseServer, folder: Path, **changes: Any) -> Settings:
    """Settings of a search of its own on a server that others use too."""
    values: dict[str, Any] = {
        "data_dir": folder,
        "typesense_nodes": server.node,
        "typesense_api_key": SecretStr(TYPESENSE_KEY),
        "search_alias": f"p{uuid.uuid4().hex[:12]}",
    }
    return Settings(_env_file=None, **(values | changes))


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
