from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from include.settings import Settings
from include.warehouse.schema.migrations import upgrade
from tests.support.lake import Lake
from tests.support.servers import Victim, running_postgres


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server apart from that of other tests, which may be killed."""
    with running_postgres(tmp_path_factory.mktemp("victim")) as server:
        yield Victim(server)


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
            primary_patience_seconds=2.0,
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
