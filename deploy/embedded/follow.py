"""Drop files and follow the runs that take them, over Airflow's REST API."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import CLI_USER, Instance
from include.receipts import Receipt
from include.runs import Manifest, RunFolder, landing, sha256_of

DAG_ID = "retail_medallion"
TASKS = ("wait_for_files", "claim_files", "bronze", "silver", "enrich", "audit", "gold", "publish", "receipt")
NOTICE_SECONDS = 120.0
FINISHED = {"success", "failed"}


class NotFollowed(Exception):
    """The drop was not noticed, or its run failed."""


def drop(instance: Instance, source: Path) -> tuple[str, str]:
    """Copy a file into the landing folder so that it appears at once and whole.

    Returns:
        Its name there (a number is added if the name is taken) and its SHA-256.

    Raises:
        NotFollowed: If there is no such file.
    """
    if not source.is_file():
        raise NotFollowed(f"{source} is not a file.")
    folder = landing(instance.settings)
    partial = folder / f".{os.getpid()}-{time.time_ns()}.part"
    shutil.copyfile(source, partial)
    sha256 = sha256_of(partial)
    target, number = folder / source.name.lstrip("."), 1
    while True:
        try:
            os.link(partial, target)  # fails if the name is taken, unlike a rename
            break
        except FileExistsError:
            number += 1
            target = folder / f"{source.stem}-{number}{source.suffix}"
    partial.unlink()
    return target.name, sha256


class Airflow:
    """Airflow's REST API as the service user `retail-cli`."""

    def __init__(self, instance: Instance) -> None:
        self._base = instance.base_url()
        self._password = instance.secrets().cli_password
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str) -> dict[str, object]:
        """Return the JSON answer of `/api/v2` + path.

        Raises:
            requests.HTTPError: If Airflow answers with an error.
        """
        answer = self._session.get(f"{self._base}/api/v2{path}", timeout=30)
        if answer.status_code == requests.codes.unauthorized:
            self._sign_in()
            answer = self._session.get(f"{self._base}/api/v2{path}", timeout=30)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    def _sign_in(self) -> None:
        answer = self._session.post(
            f"{self._base}/auth/token", json={"username": CLI_USER, "password": self._password}, timeout=30
        )
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def find_run(instance: Instance, name: str, sha256: str, seconds: float = NOTICE_SECONDS) -> Manifest:
    """Return the manifest of the run that claims a dropped file.

    Raises:
        NotFollowed: If no run does within `seconds`.
    """
    end = time.monotonic() + seconds
    dropped_after = time.time() - 5
    while time.monotonic() < end:
        for path in (instance.settings.data_dir / "runs").glob("*/manifest.json"):
            if path.stat().st_mtime < dropped_after:
                continue
            manifest = Manifest.model_validate_json(path.read_bytes())
            if any(file.name == name and file.sha256 == sha256 for file in manifest.files):
                return manifest
        time.sleep(0.5)
    raise NotFollowed(
        f"{name} was not claimed within {seconds:.0f} s. Is the DAG unpaused and everything up (`make status`)? "
        f"The file stays in {landing(instance.settings)}."
    )


def follow(instance: Instance, run_id: str, console: Console) -> Receipt:
    """Show each task of a run as it goes; return the receipt.

    Raises:
        NotFollowed: If the run fails; the message names the task and its log.
    """
    airflow = Airflow(instance)
    shown: dict[str, str] = {}
    while True:
        listed = airflow.get(f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances")["task_instances"]
        assert isinstance(listed, list)
        states = {task["task_id"]: (str(task["state"]), task["duration"]) for task in listed}
        for name in TASKS:
            state, duration = states.get(name, ("None", None))
            if state != "None" and shown.get(name) != state:
                shown[name] = state
                took = f" in {duration:.1f} s" if duration and state in FINISHED else ""
                console.print(f"  {name:<15} {state}{took}", highlight=False)
        outcome = str(airflow.get(f"/dags/{DAG_ID}/dagRuns/{run_id}")["state"])
        if outcome == "failed":
            failed = [name for name, (state, _) in states.items() if state == "failed"]
            logs = instance.logs / "tasks" / f"dag_id={DAG_ID}" / f"run_id={run_id}"
            raise NotFollowed(f"The run failed in {', '.join(failed) or 'no task'}; its logs are in {logs}.")
        if outcome == "success":
            return Receipt.model_validate_json(RunFolder(instance.settings, run_id).receipt.read_bytes())
        time.sleep(1)


def print_receipt(receipt: Receipt, console: Console) -> None:
    """Print a receipt as a person reads it."""
    console.print(f"Receipt of {receipt.run_id}", highlight=False, soft_wrap=True)
    table = Table()
    for column in ("", "rows", "GBP"):
        table.add_column(column, justify="left" if not column else "right")
    quarantined = sum(receipt.rows_quarantined.values())
    for label, rows, amount in (
        ("in", receipt.rows_in, receipt.amount_in),
        ("loaded", receipt.rows_loaded, receipt.amount_loaded),
        ("duplicate", receipt.rows_duplicate, receipt.amount_duplicate),
        ("quarantined", quarantined, receipt.amount_quarantined),
        ("already seen", receipt.rows_already_seen, receipt.amount_already_seen),
    ):
        table.add_row(label, f"{rows:,}", f"{amount:,.2f}")
    console.print(table)
    for file in receipt.files:
        console.print(
            f"{file.name}: {file.status}{f' ({file.reason})' if file.reason else ''}", markup=False, soft_wrap=True
        )
        if file.report:
            console.print(f"  report: data/{file.report}", markup=False, soft_wrap=True)
    for code, rows in receipt.rows_quarantined.items():
        console.print(f"  quarantined {rows} x {code}", markup=False)
    for warning in receipt.warnings:
        console.print(f"  note: {warning}", markup=False, soft_wrap=True)
    console.print(f"{receipt.status}, {receipt.seconds.get('total', 0):.0f} s from claim to receipt")
