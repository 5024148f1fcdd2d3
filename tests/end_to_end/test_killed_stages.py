"""The Spark Connect server and the clients of the stages killed at many moments, under a running Airflow.

RETAIL_KILLS says at how many moments each victim is killed; `--thorough` alone takes a few.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from deploy.embedded.follow import DAG_ID, Airflow, NotFollowed, drop, find_run, follow
from deploy.embedded.state import Instance
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.receipts.model import Receipt
from include.warehouse import open_engine, transaction
from tests.benchmarks import duckdb_pipeline
from tests.support.kills import Victim, clients, is_alive, kill
from tests.support.system import system, warehouse, warehouse_settings
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(10_800)

SEED = 20111209
STAGES = ("bronze", "silver", "gold")
CLIENT: tuple[Victim, ...] = ("spark-submit", "its Python")
ROWS = 400
SHARED_ROWS = 40
"""Of the rows of a file, those that the file before it brings too."""

FIRST_DAY = date(2011, 1, 4)
DAYS = 60

FACTS = """SELECT invoice_no, stock_code, customer_id, country, sold_at, quantity, unit_price, amount
    FROM retail_dwh.fact_sales JOIN retail_dwh.dim_invoice USING (invoice_key)
    JOIN retail_dwh.dim_product USING (product_key) JOIN retail_dwh.dim_country USING (country_key)
    LEFT JOIN (SELECT customer_key, customer_id FROM retail_dwh.dim_customer WHERE customer_key <> 0) AS known
    USING (customer_key)"""
DUCKDB_FACTS = """SELECT invoice_no, stock_code, customer_id, country, sold_at, quantity, unit_price, amount
    FROM fact_sales"""

MEMBERS = {
    "dim_country": "SELECT country FROM retail_dwh.dim_country WHERE country_key <> 0",
    "dim_product": "SELECT stock_code, first_sold_at, last_sold_at FROM retail_dwh.dim_product WHERE product_key <> 0",
    "dim_customer": """SELECT customer_id, first_invoice_at, last_invoice_at FROM retail_dwh.dim_customer
        WHERE customer_key <> 0""",
    "dim_invoice": "SELECT invoice_no, first_line_at, last_line_at FROM retail_dwh.dim_invoice WHERE invoice_key <> 0",
}
DUCKDB_MEMBERS = {
    "dim_country": "SELECT country FROM dim_country",
    "dim_product": "SELECT stock_code, COLUMNS('sold_at') FROM dim_product",
    "dim_customer": "SELECT customer_id, COLUMNS('sold_at') FROM dim_customer",
    "dim_invoice": "SELECT invoice_no, COLUMNS('sold_at') FROM dim_invoice",
}


@dataclass(frozen=True)
class Blow:
    """What became of a stage in which a victim was killed.

    Attributes:
        moment: Seconds after the client began.
        attempts: Of the stage's task.
        recovered: Seconds from the kill to the end of the task.
        outcome: `loaded`, or what went wrong.
    """

    stage: str
    victim: Victim
    moment: float
    attempts: int
    recovered: float
    outcome: str


class Siege:
    """Drops files into a system, each of which shares rows with the one before, and kills a victim in its run.

    Attributes:
        receipts: Of each run.
        blows: What became of each kill that found its victim at work.
        missed: Drops whose stage ended before the moment.
    """

    def __init__(self, instance: Instance, folder: Path, kills: int) -> None:
        self.instance, self.folder = instance, folder
        files = 2 + 10 * kills
        self.lines = list(generate_lines(ROWS * files, SEED, FIRST_DAY, DAYS, defects=False))
        self.numbers = itertools.count()
        self.seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=5))
        self.receipts: dict[str, Receipt] = {}
        self.blows: list[Blow] = []
        self.missed = 0
        for _ in range(2):  # the first finds the server cold
            self.seconds.clear()
            self.finish(self.begin())

    def begin(self) -> str:
        """Drop the next file; return the id of the run that takes it."""
        number = next(self.numbers)
        path = self.folder / f"part {number:03}.csv"
        rows = self.lines[max(0, number * ROWS - SHARED_ROWS) : (number + 1) * ROWS]
        write_sample(rows, path, "csv", SampleStyle(defects=False))
        return find_run(self.instance, *drop(self.instance, path)).run_id

    def finish(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Follow a run to its receipt, and learn how long its stages take; return its tasks by their id."""
        self.receipts[run_id] = follow(self.instance, run_id, Console(quiet=True))
        tasks = self.tasks(run_id)
        for stage in STAGES:
            self.seconds[stage].append(tasks[stage]["duration"])
        return tasks

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        listed = Airflow(self.instance).get(f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances")["task_instances"]
        assert isinstance(listed, list)
        return {task["task_id"]: task for task in listed}

    def strike(self, targets: Mapping[str, tuple[Victim, float]]) -> None:
        """Drop a file and kill in its run; where a stage ended before its moment, kill earlier in another run.

        Args:
            targets: Stage -> victim, and after which share of the time that the stage has taken to kill it.
        """
        run_id = self.begin()
        blows, outcome = [], "loaded"
        for stage, (victim, share) in targets.items():
            moment = share * min(self.seconds[stage])
            attempt = kill(self.instance, stage, victim, partial(is_as_old, seconds=moment), run_id)
            if attempt:
                blows.append((stage, victim, moment, time.time()))
                if victim != "server" and self.left_behind(stage, run_id, attempt):
                    outcome = "left a process behind"
        try:
            tasks = self.finish(run_id)
        except NotFollowed as failed:
            tasks, outcome = self.tasks(run_id), str(failed)
        for stage, victim, moment, killed_at in blows:
            recovered = datetime.fromisoformat(tasks[stage]["end_date"]).timestamp() - killed_at
            self.blows.append(Blow(stage, victim, moment, tasks[stage]["try_number"], recovered, outcome))
            print(self.blows[-1], flush=True)
        missed = targets.keys() - {stage for stage, *_ in blows}
        if missed:
            self.missed += len(missed)
            self.strike({stage: (victim, share * 0.9) for stage, (victim, share) in targets.items() if stage in missed})

    def left_behind(self, stage: str, run_id: str, attempt: list[psutil.Process]) -> bool:
        """Return whether a process of a killed client still runs when the next one begins."""
        eventually(lambda: {*clients(self.instance, stage, run_id)} - {*attempt}, seconds=600)
        return any(is_alive(process) for process in attempt)

    def table(self) -> Table:
        """Return what was killed when, and what became of it."""
        table = Table("stage", "victim", "killed at", "attempts", "recovered after", "outcome")
        table.caption = (
            f"{len(self.blows)} kills in {len(self.receipts)} runs; {self.missed} came too late; seed {SEED}"
        )
        for blow in sorted(self.blows, key=lambda blow: (blow.victim != "server", blow.stage, blow.moment)):
            moment, recovered = f"{blow.moment:.2f} s", f"{blow.recovered:.1f} s"
            table.add_row(blow.stage, blow.victim, moment, str(blow.attempts), recovered, blow.outcome)
        return table


def is_as_old(process: psutil.Process, seconds: float) -> bool:
    return time.time() - process.create_time() >= seconds


@pytest.fixture(scope="module")
def kills(thorough: bool) -> int:
    """How many moments each victim is killed at."""
    found = int(os.environ.get("RETAIL_KILLS", "3" if thorough else "0"))
    if not found:
        pytest.skip("RETAIL_KILLS is not set")
    return found


@pytest.fixture(scope="module")
def siege(kills: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with system(tmp_path_factory.mktemp("system") / "data") as running:
        yield Siege(running, tmp_path_factory.mktemp("files"), kills)


def amounts(file: Path, scratch: Path) -> tuple[int, Decimal]:
    """Return rows and GBP that DuckDB reads in a file."""
    found: tuple[int, Decimal] = one(duckdb_pipeline.run(file, scratch), "SELECT count(*), sum(amount) FROM lines")
    return found


def one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    (row,) = connection.execute(query).fetchall()
    return row


def moments(victim: str, kills: int) -> list[float]:
    """Return a random moment in each of so many equal parts of a stage, 0 to 1."""
    chance = random.Random(f"{victim} {SEED}")
    return [(number + chance.random()) / kills for number in range(kills)]


def kill_clients(siege: Siege, kills: int) -> None:
    """Kill the client of each stage in a run, spark-submit in one and its Python in the next."""
    for number, shares in enumerate(zip(*[moments(stage, kills) for stage in STAGES], strict=True)):
        victim = CLIENT[number % len(CLIENT)]
        siege.strike({stage: (victim, share) for stage, share in zip(STAGES, shares, strict=True)})


def kill_server(siege: Siege, kills: int) -> None:
    """Kill the server once in a run, in each stage by turns."""
    for number, share in enumerate(moments("server", kills)):
        siege.strike({STAGES[number % len(STAGES)]: ("server", share)})


@pytest.mark.parametrize(("attack", "victims"), [(kill_clients, len(STAGES)), (kill_server, 1)])
def test_kills_at_any_moment_change_no_total(
    siege: Siege, kills: int, attack: Callable[[Siege, int], None], victims: int, tmp_path: Path
) -> None:
    siege.blows.clear()
    try:
        attack(siege, kills)
    finally:
        Console(width=120).print(siege.table())
    assert Counter(blow.outcome for blow in siege.blows) == {"loaded": victims * kills}
    assert all(blow.attempts > 1 for blow in siege.blows if blow.victim != "server")

    oracle = duckdb_pipeline.run(siege.folder / "*.csv", tmp_path / "all")
    with open_engine(warehouse_settings(siege.instance)) as engine, transaction(engine) as connection:
        facts = Counter(map(tuple, connection.execute(text(FACTS))))
        members = {name: Counter(map(tuple, connection.execute(text(query)))) for name, query in MEMBERS.items()}
    assert facts == Counter(oracle.execute(DUCKDB_FACTS).fetchall())
    assert members == {name: Counter(oracle.execute(query).fetchall()) for name, query in DUCKDB_MEMBERS.items()}
    assert warehouse(siege.instance, "compare")["skipped"] == {}

    entries = [entry for receipt in siege.receipts.values() for entry in receipt.files]
    assert {entry.name: (entry.status, entry.rows, entry.amount) for entry in entries} == {
        path.name: ("loaded", *amounts(path, tmp_path / "each")) for path in siege.folder.iterdir()
    }
    loaded = [(receipt.rows_loaded, receipt.amount_loaded) for receipt in siege.receipts.values()]
    assert tuple(map(sum, zip(*loaded, strict=True))) == one(oracle, "SELECT count(*), sum(amount) FROM fact_sales")
    for receipt in siege.receipts.values():
        receipt.check()
        assert receipt.warehouse == "primary"
