"""Real engines for every test: one PostgreSQL and one Typesense a session, a fresh database a test module."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "False")

import pytest

from deploy.embedded.postgres import PostgresServer
from deploy.embedded.search import TypesenseServer
from include.lake.connect_server import free_port
from include.settings import get_settings
from tests.support.servers import running_postgres
from tests.support.shop import TYPESENSE_KEY

TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="run the long forms too, which docs/testing.md lists")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with the folder it is in, and skip the long ones unless they are asked for."""
    long = pytest.mark.skipif(not config.getoption("--thorough"), reason="--thorough runs it")
    for item in items:
        item.add_marker(item.path.relative_to(TESTS).parts[0])
        if "thorough" in item.keywords:
            item.add_marker(long)


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether the long forms are to run."""
    return bool(pytestconfig.getoption("--thorough"))


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the data of this checkout, of which they only read the Spark jars."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RETAIL_SPARK_JARS_DIR", str(get_settings().jars))
        environment.setenv("RETAIL_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        get_settings.cache_clear()
        yield
        get_settings.cache_clear()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Return a running embedded PostgreSQL."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def postgres_url(postgres_server: PostgresServer) -> str:
    """Return the SQLAlchemy URL of a fresh database."""
    name = f"warehouse_{uuid.uuid4().hex[:12]}"
    postgres_server.create_database(name)
    return postgres_server.url(name)


@pytest.fixture(scope="session")
def typesense_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TypesenseServer]:
    """Return a running embedded Typesense."""
    folder = tmp_path_factory.mktemp("typesense")
    server = TypesenseServer(folder / "search", free_port(), free_port(), TYPESENSE_KEY)
    server.start()
    yield server
    server.stop()
