"""The same system on a real Spark cluster with its lake in a real S3 server: what is killed or away costs no row."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from pathlib import Path

import obstore
import psutil
import pytest

from deploy.embedded.follow import DAG_ID, Airflow
from deploy.embedded.state import Instance
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.files import sha256_of
from include.lake.connect_server import free_port
from include.runs.landing import waiting_files
from include.settings import get_settings
from include.store import open_store
from tests.benchmarks import duckdb_pipeline
from tests.support.cluster import Cluster, cluster
from tests.support.object_store import BUCKET, JARS, environment, object_store
from tests.support.system import post, put, receipts_of, system, totals_by_day, warehouse

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(3600)]

ROWS = 3_000


class Place:
    """The cluster, the server of the lake and the system that uses both."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.spark: Cluster = stack.enter_context(cluster(folder / "cluster"))
        self.port = free_port()
        self.store = ExitStack()
        self.start_store()
        stack.callback(self.stop_store)

    def start_store(self) -> None:
        """Start the server of the lake."""
        self.store.enter_context(object_store(self.folder / "objects", self.port))

    def stop_store(self) -> None:
        """Stop it."""
        self.store.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        made = Place(tmp_path_factory.mktemp("beyond"), stack)
        variables = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {
            **environment(made.port),
            "AIRFLOW_CONN_SPARK_DEFAULT": made.spark.url,
            "RETAIL_LAKE_URI": f"s3://{BUCKET}/lake",
            "RETAIL_LANDING_URI": f"s3://{BUCKET}/landing",
            "RETAIL_SPARK_CONF": json.dumps(made.spark.conf),
            "RETAIL_SPARK_JARS_DIR": str(JARS),
        }.items():
            variables.setenv(name, value)
        get_settings.cache_clear()
        yield made
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def instance(place: Place) -> Iterator[Instance]:
    with system(place.folder / "data") as running:
        yield running


def sales(folder: Path, number: int) -> Path:
    """Return a file of its own days."""
    source = folder / f"sales {number}.csv"
    lines = list(generate_lines(ROWS, number, date(2011, number, 4), 3, defects=False))
    write_sample(lines, source, "csv", SampleStyle(defects=False))
    return source


def expected(folder: Path, *sources: Path) -> dict[date, tuple[int, int, Decimal]]:
    """Return rows, units and GBP by day as DuckDB reads them in the files."""
    query = "SELECT sold_at::DATE, count(*), sum(quantity)::BIGINT, sum(amount) FROM fact_sales GROUP BY 1"
    found: dict[date, tuple[int, int, Decimal]] = {}
    for source in sources:
        oracle = duckdb_pipeline.run(source, folder / f"oracle of {source.stem}")
        found |= {day: tuple(rest) for day, *rest in oracle.execute(query).fetchall()}
    return found


def kill(spark: Cluster) -> None:
    """Kill all executors while Silver computes, and a worker with its executor while Gold does."""
    spark.kill_executors("silver ")
    spark.kill_worker("gold ")


def failed_run(instance: Instance) -> str:
    """Wait for a run that has failed; return it."""
    while True:
        runs = Airflow(instance).get(f"/dags/{DAG_ID}/dagRuns?state=failed")["dag_runs"]
        assert isinstance(runs, list)
        if runs:
            return str(runs[0]["dag_run_id"])
        time.sleep(1)


def load_after(instance: Instance, source: Path, said: str, mend: Callable[[], object]) -> None:
    """Drop a file, wait for the run that can't take it and says why, mend the cause, and clear the run."""
    dropped = put(instance, source)
    run_id = failed_run(instance)
    log = instance.logs / "tasks" / f"dag_id={DAG_ID}" / f"run_id={run_id}" / "task_id=claim_files"
    assert said in "".join(path.read_text() for path in log.glob("attempt=*.log"))
    assert source.name in {path.name for path in waiting_files(instance.settings)}
    mend()
    selection = {"dag_run_id": run_id, "task_ids": ["claim_files"], "include_downstream": True, "only_failed": False}
    post(instance, "/clearTaskInstances", selection | {"dry_run": False, "reset_dag_runs": True})
    (receipt,) = receipts_of(instance, dropped).values()
    assert (receipt.run_id, receipt.rows_in) == (run_id, ROWS)


def test_what_is_killed_or_away_costs_no_row(place: Place, instance: Instance, tmp_path: Path) -> None:
    files = [sales(tmp_path, number) for number in (1, 2, 3, 4)]
    killer = threading.Thread(target=kill, args=(place.spark,), daemon=True)
    killer.start()
    (receipt,) = receipts_of(instance, put(instance, files[0])).values()
    killer.join(1)
    assert not killer.is_alive()
    assert len(place.spark.alive()) == 1
    assert (receipt.rows_in, receipt.warnings) == (ROWS, [])
    assert totals_by_day(instance) == expected(tmp_path, files[0])
    place.spark.add_worker()

    place.spark.master.kill()
    psutil.wait_procs([place.spark.master])
    said = f"No Spark answers at {place.spark.url}"
    load_after(instance, files[1], said, place.spark.start_master)

    place.stop_store()
    said = "does not answer"
    load_after(instance, files[2], said, place.start_store)

    obstore.put(open_store(instance.settings, instance.settings.landing_uri), files[3].name, files[3])
    (receipt,) = receipts_of(instance, [(files[3].name, sha256_of(files[3]))]).values()
    assert receipt.rows_in == ROWS

    held = totals_by_day(instance)
    assert held == expected(tmp_path, *files)
    assert warehouse(instance, "compare")["skipped"] == {}
    assert not (instance.settings.data_dir / "lake").exists()
    warehouse(instance, "backup")
    warehouse(instance, "restore", "--replace")  # fails if a day or a side differs from the backup
    assert totals_by_day(instance) == held
