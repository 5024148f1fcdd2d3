"""A real Spark Connect server with Delta, one for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from include.lake.connect_server import ConnectServer
from include.lake.submitting import session_conf
from include.settings import Settings, get_settings
from spark_jobs.session import connected


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConnectServer]:
    """Return a server that answers."""
    scratch: Path = tmp_path_factory.mktemp("spark")
    started = ConnectServer(Settings(data_dir=scratch, spark_jars_dir=get_settings().jars))
    started.wait()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def spark(server: ConnectServer) -> Iterator[SparkSession]:
    """Return a session configured as that of a small run."""
    session = connected(server.address().url)
    for key, value in session_conf(input_bytes=0).items():
        session.conf.set(key, value)
    yield session
    session.stop()
