"""A real local Spark with Delta, one for the session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from include.lake.submitting import submit_conf, submit_environment
from include.settings import get_settings


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Return a session configured as spark-submit configures a small run."""
    os.environ |= submit_environment()
    scratch: Path = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for key, value in submit_conf(get_settings(), input_bytes=0, master="local[2]").items():
        builder = builder.config(key, value)
    session = builder.config("spark.local.dir", str(scratch)).getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    yield session
    session.stop()
