from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import write_deltalake
from fastapi.testclient import TestClient
from pydantic import SecretStr

from deploy.embedded.postgres import PostgresServer
from include.failover import record_receipt
from include.settings import Settings
from include.warehouse import upgrade
from retail_api.app import create_app
from tests.support.lake import Lake
from tests.support.sales import FIRST, LINES, RECEIPT, SCORES, Side, believed, quarantine_rows
from tests.support.steps import publish


@pytest.fixture(scope="package")
def settings(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a warehouse whose two sides have LINES, in two batches."""
    database = f"api_{uuid.uuid4().hex[:12]}"
    postgres_server.create_database(database)
    made = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("api"),
        database_url=SecretStr(postgres_server.url(database)),
        api_upload_bytes=65_536,
    )
    upgrade(made)
    lake = Lake(made)
    publish(made, lake.drop(1, FIRST))
    publish(made, lake.drop(2, LINES[400:]))
    record_receipt(made, RECEIPT, SCORES)
    write_deltalake(made.table("silver", "quarantine"), quarantine_rows())
    return made


@pytest.fixture(scope="package")
def sides(settings: Settings) -> Iterator[dict[str, Side]]:
    """The API over both sides."""
    alone = settings.model_copy(update={"database_type": "sqlite", "database_url": SecretStr("")})
    opened = {}
    for name, of_side in {"primary": settings, "replica": alone}.items():
        app = create_app(of_side, believed)
        opened[name] = Side(name, of_side, app, TestClient(app))
    for side in opened.values():
        side.client.__enter__()
    yield opened
    for side in opened.values():
        side.client.__exit__(None, None, None)


@pytest.fixture(params=["primary", "replica"])
def side(request: pytest.FixtureRequest, sides: dict[str, Side]) -> Side:
    """The API over each side in turn."""
    return sides[request.param]


@pytest.fixture
def primary(sides: dict[str, Side]) -> Side:
    """The API over PostgreSQL."""
    return sides["primary"]


@pytest.fixture
def landing(settings: Settings) -> Path:
    """The landing folder, empty."""
    folder = settings.data_dir / "landing"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder
