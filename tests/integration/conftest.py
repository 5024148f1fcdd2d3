from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import make_url

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


def copied(victim: Victim, database: str, name: str, folder: Path) -> Settings:
    """Return settings of a copy of a database, which nobody may be connected to."""
    copy = f"{name}_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(victim.server.url("postgres", "postgresql"), autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(copy), sql.Identifier(database)))
    return on(victim, copy, folder / name)


@pytest.fixture
def make(victim: Victim, empty_warehouse: str, tmp_path: Path) -> Callable[[str], Lake]:
    """Return a function that makes a lake and an empty warehouse of some name."""
    return lambda name: Lake(copied(victim, empty_warehouse, name, tmp_path))


@pytest.fixture(scope="session")
def fill(
    victim: Victim, empty_warehouse: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Callable[[Lake], None]], Lake]:
    """Return a function that gives a lake and warehouse to a function that fills them, which is done once."""

    @cache
    def filled(act: Callable[[Lake], None]) -> Lake:
        lake = Lake(copied(victim, empty_warehouse, act.__name__, tmp_path_factory.mktemp("filled")))
        act(lake)
        return lake

    return filled


@pytest.fixture
def copy_of(
    fill: Callable[[Callable[[Lake], None]], Lake], victim: Victim, tmp_path: Path
) -> Callable[[Callable[[Lake], None]], Lake]:
    """Return a function that gives a copy of a lake and warehouse as another function fills them."""

    def copy(act: Callable[[Lake], None]) -> Lake:
        source = fill(act)
        database = make_url(source.settings.database_url.get_secret_value()).database
        assert database
        lake = Lake(copied(victim, database, "tested", tmp_path))
        shutil.copytree(source.settings.data_dir, lake.settings.data_dir, symlinks=True)
        lake.lines = dict(source.lines)
        return lake

    return copy


@pytest.fixture
def lake(make: Callable[[str], Lake]) -> Lake:
    """The lake and warehouse under test."""
    return make("tested")


@pytest.fixture
def undisturbed(make: Callable[[str], Lake]) -> Lake:
    """A lake and warehouse that get the same runs and to which nothing happens."""
    return make("undisturbed")
