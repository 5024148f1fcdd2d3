from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.embedded.postgres import PostgresServer
from include.settings import Settings
from include.warehouse.schema.migrations import upgrade
from tests.integration.failover.lake import Lake
from tests.integration.failover.servers import Victim
from tests.ports import free_port

PATIENCE = 2.0


@pytest.fixture(scope="package")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server of these tests' own, which they may kill."""
    server = PostgresServer(tmp_path_factory.mktemp("victim") / "cluster", free_port(), secrets.token_urlsafe(16))
    server.initialise()
    server.start()
    yield Victim(server)
    server.stop()


@pytest.fixture
def make(victim: Victim, tmp_path: Path) -> Callable[[str], Lake]:
    """Return a function that makes a lake and an empty warehouse of some name."""

    def made(name: str) -> Lake:
        database = f"{name}_{uuid.uuid4().hex[:12]}"
        victim.server.create_database(database)
        settings = Settings(
            _env_file=None,
            data_dir=tmp_path / name,
            database_url=SecretStr(victim.server.url(database)),
            primary_patience_seconds=PATIENCE,
        )
        upgrade(settings)
        return Lake(settings)

    return made


@pytest.fixture
def lake(make: Callable[[str], Lake]) -> Lake:
    """The lake and warehouse under test."""
    return make("tested")


@pytest.fixture
def undisturbed(make: Callable[[str], Lake]) -> Lake:
    """A lake and warehouse that get the same runs and to which nothing happens."""
    return make("undisturbed")


@pytest.fixture
def settings(lake: Lake) -> Settings:
    """Settings of the lake under test."""
    return lake.settings
