"""The DAG as Airflow loads it: no import error, serializable, wired as documented, gated as its kind of run needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT

PROGRAM = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag("dags")
dag = bag.dags["retail_medallion"]
serialized = DagSerialization.to_dict(dag)
backup = bag.dags["retail_backup"]
cron = DagSerialization.to_dict(backup)["dag"]["timetable"]["__var"]["expression"]
print("RESULT" + json.dumps({
    "errors": {str(path): str(error) for path, error in bag.import_errors.items()},
    "downstream": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
    "timetable": serialized["dag"]["timetable"]["__type"],
    "sensor": [dag.task_dict["wait_for_files"].deferrable, dag.task_dict["wait_for_files"].filepath],
    "retries": {task.task_id: task.retries for task in dag.tasks},
    "backup": [backup.task_ids, backup.is_paused_upon_creation, cron],
    "spark": [dag.task_dict[name]._conn_id for name in ("bronze", "silver", "gold")],
}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Return what a fresh Airflow process makes of the dags folder."""
    scratch: Path = tmp_path_factory.mktemp("airflow")
    environment = os.environ | {
        "AIRFLOW_HOME": str(PROJECT_ROOT),
        "PYTHONPATH": f"{PROJECT_ROOT}{os.pathsep}{PROJECT_ROOT / 'plugins'}",
        "RETAIL_DATA_DIR": str(scratch / "data"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{scratch}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(scratch / "logs"),
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # other work on the machine must not fail the test
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), None)
    assert line is not None, done.stderr[-3000:]
    found: dict[str, object] = json.loads(line.removeprefix("RESULT"))
    return found


def test_it_imports_and_serializes(loaded: dict[str, object]) -> None:
    assert loaded["errors"] == {}
    assert str(loaded["timetable"]).endswith("AssetOrTimeSchedule")


def test_its_tasks_run_in_the_documented_order(loaded: dict[str, object]) -> None:
    assert loaded["downstream"] == {
        "wait_for_files": ["claim_files"],
        "claim_files": ["bronze", "gold", "silver"],
        "bronze": ["silver"],
        "silver": ["audit", "enrich"],
        "enrich": ["gold"],
        "audit": ["gold"],
        "gold": ["publish"],
        "publish": ["aggregate", "index", "receipt", "replicate"],
        "receipt": ["aggregate", "index", "replicate"],
        "replicate": [],
        "aggregate": [],
        "index": [],
    }


def test_the_gate_is_deferrable_and_the_stages_use_the_spark_connection(loaded: dict[str, object]) -> None:
    assert loaded["sensor"] == [True, "{{ gate(dag_run, params, triggering_asset_events) }}"]
    assert loaded["spark"] == ["spark_default"] * 3


def test_no_task_ends_a_run_because_its_worker_could_not_start_once(loaded: dict[str, object]) -> None:
    retries = loaded["retries"]
    assert isinstance(retries, dict)
    assert min(retries.values()) > 0


def test_the_backup_runs_when_the_setting_says_once_it_is_turned_on(loaded: dict[str, object]) -> None:
    assert loaded["backup"] == [["back_up"], True, "30 2 * * *"]
