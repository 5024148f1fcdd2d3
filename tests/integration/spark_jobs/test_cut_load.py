"""The primary ends or stops while Spark loads a batch into it: the batch comes by way of Gold instead."""

from __future__ import annotations

import random
import secrets
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession

from deploy.embedded.postgres import PostgresServer
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.failover import catch_up, check_integrity, compare_sides, serving_side
from include.lake.connect_server import free_port
from include.pipeline import claim, index, receipt
from include.runs.folder import RunFolder
from include.runs.landing import landing
from include.runs.records import GoldRecord
from include.settings import Settings
from include.warehouse import upgrade
from spark_jobs import gold
from tests.integration.spark_jobs.test_stages import run_until
from tests.support.servers import Victim
from tests.support.steps import publish

CUTS = 5
"""At how many moments the primary is killed; each takes a run of all stages."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1800),
    pytest.mark.thorough,
]

ROWS = 2_000


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    server = PostgresServer(tmp_path_factory.mktemp("victim") / "cluster", free_port(), secrets.token_urlsafe(16))
    server.initialise()
    server.start()
    server.create_database("warehouse")
    yield Victim(server)
    server.stop()


@pytest.fixture(scope="module")
def settings(victim: Victim, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("data"),
        database_url=SecretStr(victim.server.url("warehouse")),
        settle_seconds=0,
        primary_patience_seconds=2.0,
        statement_timeout_seconds=1.0,
    )
    upgrade(made)
    return made


def to_gold(spark: SparkSession, settings: Settings, tmp_path: Path, number: int) -> GoldRecord:
    """Bring a day of its own as far as Gold; return the record of that stage."""
    lines = list(generate_lines(ROWS, number, date(2011, 3, 1 + number), 1, defects=False))
    write_sample(lines, tmp_path / f"{number}.csv", "csv", SampleStyle(defects=False))
    (tmp_path / f"{number}.csv").rename(landing(settings) / f"{number}.csv")
    claim(settings, f"run_{number}")
    run_until(spark, settings, f"run_{number}", until="gold")
    return RunFolder(settings, f"run_{number}").stage("gold", GoldRecord)


def settle(settings: Settings) -> None:
    """Catch the primary up if the replica serves, and hold both sides to Gold and to their receipts."""
    if serving_side(settings) == "replica":
        assert catch_up(settings).serves == "primary"
    assert compare_sides(settings).whole
    assert check_integrity(settings, "primary").whole


def kill_in_gold(settings: Settings, victim: Victim, number: int, seconds: float) -> None:
    """Kill the server so many seconds after the audit of a run, which Gold follows."""
    record = RunFolder(settings, f"run_{number}").path / "stages" / "audit.json"
    while not record.exists():
        time.sleep(0.01)
    time.sleep(seconds)
    victim.kill()


def test_killed_at_random_moments_of_a_load(
    spark: SparkSession, settings: Settings, victim: Victim, tmp_path: Path
) -> None:
    undisturbed = to_gold(spark, settings, tmp_path, 0)
    publish(settings, "run_0")
    index(settings, "run_0")
    receipt(settings, "run_0")
    assert undisturbed.staged
    moments = random.Random(20101201)
    outcomes = Counter[tuple[bool, str]]()
    for number in range(1, CUTS + 1):
        # Loading is the last thing Gold does.
        begin = max(0.0, undisturbed.seconds - undisturbed.load_seconds - 0.3)
        killer = threading.Thread(
            target=kill_in_gold, args=(settings, victim, number, moments.uniform(begin, undisturbed.seconds))
        )
        killer.start()
        try:
            record = to_gold(spark, settings, tmp_path, number)
            published = publish(settings, f"run_{number}")
        finally:
            killer.join()
            victim.start()
        assert published is not None
        index(settings, f"run_{number}")
        receipt(settings, f"run_{number}")
        outcomes[record.staged, published.warehouse] += 1
        settle(settings)
    assert sum(count for (_, side), count in outcomes.items() if side == "replica") > 0


def test_stopped_in_the_middle_of_a_load(
    spark: SparkSession, settings: Settings, victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load: Callable[..., None] = gold.write_staging

    def stop_and_load(*arguments: object) -> None:
        victim.signal(signal.SIGSTOP)
        load(*arguments)

    monkeypatch.setattr(gold, "write_staging", stop_and_load)
    number = CUTS + 1
    try:
        staged = to_gold(spark, settings, tmp_path, number).staged
        published = publish(settings, f"run_{number}")
    finally:
        victim.signal(signal.SIGCONT)
    assert published is not None
    assert (staged, published.warehouse) == (False, "replica")
    index(settings, f"run_{number}")
    receipt(settings, f"run_{number}")
    settle(settings)
