from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
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


def on(victim: Victim, database: str, data_dir: Path) -> Settings:
    """Return settings of a warehouse on that server."""
    url = SecretStr(victim.server.url(database))
    return Settings(_env_file=None, data_dir=data_dir, database_url=url, primary_patience_seconds=2.0)


@pytest.fixture(scope="session")
def empty_warehouse(victim: Victim, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database of an empty warehouse, of which copies are made, as they take less time than a new one."""
    victim.server.create_database("empty")
    upgrade(on(victim, "empty", tmp_path_factory.mktemp("empty")))
    return "empty"


@pytest.fixture
def make(victim: Victim, empty_warehouse: str, tmp_path: Path) -> Callable[[str], Lake]:
    """Return a function that makes a lake and an empty warehouse of some name."""

    def made(name: str) -> Lake:
        database = f"{name}_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(victim.server.url("postgres", "postgresql"), autocommit=True) as connection:
            copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(copy.format(sql.Identifier(database), sql.Identifier(empty_warehouse)))
        return Lake(on(victim, database, tmp_path / name))

    return made


@pytest.fixture
def lake(make: Callable[[str], Lake]) -> Lake:
    """The lake and warehouse under test."""
    return make("tested")


@pytest.fixture
def undisturbed(make: Callable[[str], Lake]) -> Lake:
    """A lake and warehouse that get the same runs and to which nothing happens."""
    return make("undisturbed")
