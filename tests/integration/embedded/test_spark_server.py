"""A real Spark Connect server, kept by a keeper whose steps the test takes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyspark.errors import PySparkException

from deploy.embedded import spark_server
from deploy.embedded.spark_server import Keeper
from include.lake import connect_server
from include.lake.connect_server import (
    ServerAddress,
    SparkServerUnavailable,
    address_path,
    ask_for_server,
    running_server,
    server_in_use,
)
from include.settings import EMBEDDED, Settings, get_settings
from spark_jobs.session import spark_session


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.model_validate(
        {"data_dir": tmp_path_factory.mktemp("data"), "spark_jars_dir": get_settings().jars, "spark_remote": EMBEDDED}
    )


@pytest.fixture(scope="module")
def keeper(settings: Settings) -> Iterator[Keeper]:
    kept = Keeper(settings)
    yield kept
    kept.stop("the tests are over")


@pytest.fixture
def server(keeper: Keeper, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> ServerAddress:
    """Return the running server, started if none runs."""
    monkeypatch.setattr(connect_server, "is_kept", lambda _: True)
    ask_for_server(settings)
    keeper.step()
    address = running_server(settings)
    assert address is not None
    return address


def until(keeper: Keeper, done: Callable[[], bool]) -> None:
    """Let the keeper look until something is done."""
    while not done():
        keeper.step()
        time.sleep(0.05)


def test_stages_share_the_server_without_seeing_each_other(server: ServerAddress, settings: Settings) -> None:
    with spark_session(settings, "one", 0) as one, spark_session(settings, "two", 10**9) as two:
        one.range(3).createTempView("mine")
        assert one.table("mine").count() == 3
        assert not two.catalog.tableExists("mine")
        partitions = [spark.conf.get("spark.sql.shuffle.partitions") for spark in (one, two)]
        assert partitions == ["1", "64"]
    assert running_server(settings) == server


def test_only_the_owner_may_read_where_it_answers(server: ServerAddress, settings: Settings) -> None:
    assert address_path(settings).stat().st_mode & 0o077 == 0
    assert server.token not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_it_is_stopped_when_idle_but_never_under_a_stage(
    server: ServerAddress, keeper: Keeper, settings: Settings
) -> None:
    keeper.settings = settings.model_copy(update={"spark_idle_seconds": 0.001})
    with spark_session(settings, "stage", 0) as spark:
        for _ in range(3):
            keeper.step()
        assert spark.range(2).count() == 2
    until(keeper, lambda: running_server(settings) is None)
    keeper.settings = settings
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def stage_that_kills(server: ServerAddress, settings: Settings) -> None:
    with spark_session(settings, "stage", 0) as spark:
        os.kill(server.pid, signal.SIGKILL)
        spark.range(2).count()


def stage_that_counts(settings: Settings) -> int:
    with spark_session(settings, "again", 0) as spark:
        return spark.range(2).count()


def test_a_killed_server_fails_the_stage_and_the_next_attempt_finds_another(
    server: ServerAddress, keeper: Keeper, settings: Settings
) -> None:
    with pytest.raises(PySparkException, match=r"UNAVAILABLE|refused|failed to connect|closed"):
        stage_that_kills(server, settings)
    until(keeper, lambda: keeper.server is None)
    with ThreadPoolExecutor(max_workers=1) as pool:
        counted = pool.submit(stage_that_counts, settings)
        until(keeper, counted.done)  # the kernel ends the server with the thread that has started it
    assert counted.result() == 2
    other = running_server(settings)
    assert other is not None
    assert (other.port, other.token) != (server.port, server.token)


def test_a_silent_server_is_killed(
    server: ServerAddress, keeper: Keeper, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_server, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(spark_server, "HEALTH_SECONDS", 0.1)
    monkeypatch.setattr(connect_server, "ANSWER_SECONDS", 0.5)
    os.kill(server.pid, signal.SIGSTOP)
    until(keeper, lambda: running_server(settings) is None)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_it_is_replaced_after_enough_stages(server: ServerAddress, keeper: Keeper, settings: Settings) -> None:
    keeper.settings = settings.model_copy(update={"spark_stages": 2})
    for _ in range(2):
        with server_in_use(settings):
            pass
    until(keeper, lambda: running_server(settings) is None)
    keeper.settings = settings


def test_without_a_keeper_a_stage_says_what_to_do(settings: Settings) -> None:
    nobody = settings.model_copy(update={"data_dir": settings.data_dir / "nobody"})
    with pytest.raises(SparkServerUnavailable, match="make up"), server_in_use(nobody):
        pass
