"""Drop files and follow the runs that take them, over Airflow's REST API."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import CLI_USER, Instance
from include.domain.money import readable
from include.failover import ReplicaUpdate
from include.files import move_to_free_name, sha256_of
from include.quality.findings import QualityRecord
from include.quality.holding import STAGE, why_held
from include.receipts.model import Receipt
from include.runs.folder import Manifest, RunFolder, RunRecordMissing
from include.runs.landing import UNFINISHED_SUFFIXES, landing, waiting_files
from include.runs.records import IndexRecord
from include.settings import Settings
from include.sources.defects import shortened

DAG_ID = "retail_medallion"
TASKS = (
    "wait_for_files",
    "claim_files",
    "bronze",
    "silver",
    "enrich",
    "audit",
    "gold",
    "publish",
    "receipt",
    "replicate",
    "aggregate",
    "index",
)
NOTICE_SECONDS = 120.0
FINISHED = {"success", "failed"}
API_PATIENCE_SECONDS = 90.0
"""Longer than the supervisor takes to bring a fallen API server back."""
RETRY_SECONDS = 2.0
SEARCH_REMEDY = "The next run catches up, or `make search DO=catch-up`."


class NotFollowed(Exception):
    """The drop was not noticed, or its run failed."""


def landing_name(name: str) -> str:
    """Return `name` as the folder watch takes it: not hidden, without the endings of files that are being written."""
    name = name.lstrip(".")
    while name.endswith("~") or Path(name).suffix.lower() in UNFINISHED_SUFFIXES:
        name = name[:-1] if name.endswith("~") else Path(name).stem
    return name or "file"


def drop(instance: Instance, source: Path) -> tuple[str, str]:
    """Copy a file into the landing folder so that it appears at once and whole.

    Returns:
        Its name there (as `landing_name` has it; a number is added if the name is taken) and its SHA-256.

    Raises:
        NotFollowed: If there is no such file.
    """
    if not source.is_file():
        raise NotFollowed(f"{source} is not a file.")
    folder = landing(instance.settings)
    partial = folder / f".{os.getpid()}-{time.time_ns()}.part"
    try:
        shutil.copyfile(source, partial)
        sha256 = sha256_of(partial)
        return move_to_free_name(partial, folder / landing_name(source.name)).name, sha256
    finally:
        partial.unlink(missing_ok=True)


def never_claimed(settings: Settings) -> dict[str, str]:
    """Return what lies in the landing folder and no run will take: its name and why.

    Folders in which a run holds the files it is claiming are left out.
    """
    present = sorted(landing(settings).iterdir())
    waiting = {path.name for path in waiting_files(settings)}
    found = {}
    for path in present:
        held = path.name.startswith(".") and path.is_dir() and (settings.data_dir / "archive" / path.name[1:]).is_dir()
        gone = not path.is_symlink() and not path.exists()
        if path.name in waiting or held or gone:
            continue
        if path.is_symlink():
            found[path.name] = "a link"
        elif path.is_dir():
            found[path.name] = "a folder"
        elif not path.is_file():
            found[path.name] = "not a regular file"
        else:
            found[path.name] = "a hidden name" if path.name.startswith(".") else "the name of an unfinished file"
    return found


class Airflow:
    """Airflow's REST API as the service user `retail-cli`."""

    def __init__(self, instance: Instance, console: Console | None = None) -> None:
        """Take the instance to ask and the console that is told of waiting."""
        self._base = instance.base_url()
        self._password = instance.secrets().cli_password
        self._console = console
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str) -> dict[str, object]:
        """Return the JSON answer of `/api/v2` + path; ask again for a while if there is none.

        Raises:
            NotFollowed: If Airflow refuses, or does not answer within `API_PATIENCE_SECONDS`.
        """
        end = time.monotonic() + API_PATIENCE_SECONDS
        told = False
        while True:
            try:
                return self._ask(path)
            except requests.RequestException as error:
                status = error.response.status_code if error.response is not None else None
                if status is not None and status < 500 and status != requests.codes.too_many_requests:
                    raise NotFollowed(
                        f"Airflow at {self._base} refused to tell of the run (HTTP {status}); see `make status`."
                    ) from error
                problem = f"HTTP {status}" if status else type(error).__name__
                if time.monotonic() > end:
                    raise NotFollowed(
                        f"Airflow at {self._base} did not answer for {API_PATIENCE_SECONDS:.0f} s ({problem}). "
                        "What was dropped is not lost; see `make status` and `make logs`."
                    ) from error
            if self._console and not told:
                self._console.print(f"  Airflow does not answer ({problem}); asking again ...", highlight=False)
                told = True
            time.sleep(RETRY_SECONDS)

    def _ask(self, path: str) -> dict[str, object]:
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
            # The hash of an archive is not in the manifest: those of the files in it are.
            if any(file.dropped_as == name and (file.name != name or file.sha256 == sha256) for file in manifest.files):
                return manifest
        time.sleep(0.5)
    raise NotFollowed(
        f"{name} was not claimed within {seconds:.0f} s. Is the DAG unpaused and everything up (`make status`)? "
        f"The file stays in {landing(instance.settings)}."
    )


def follow(instance: Instance, run_id: str, console: Console) -> Receipt:
    """Show each task of a run as it goes, and each file that cannot be read; return the receipt.

    Raises:
        NotFollowed: If the run is held, with score, report and remedy; if it fails, with task and log; or if Airflow
            does not answer.
    """
    airflow = Airflow(instance, console)
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
        for path in sorted(RunFolder(instance.settings, run_id).quarantine.glob("*.report.json")):
            if path.name not in shown:
                shown[path.name] = "told"
                report = json.loads(path.read_bytes())
                told = f"  {report['name']}: {report['problem']} {report['remedy']} Report: {path}"
                console.print(told, markup=False, highlight=False, soft_wrap=True)
        outcome = str(airflow.get(f"/dags/{DAG_ID}/dagRuns/{run_id}")["state"])
        if outcome == "failed":
            failed = [name for name, (state, _) in states.items() if state == "failed"]
            raise NotFollowed(_why_failed(instance, run_id, failed))
        if outcome == "success":
            return Receipt.model_validate_json(RunFolder(instance.settings, run_id).receipt.read_bytes())
        time.sleep(1)


def _why_failed(instance: Instance, run_id: str, tasks: list[str]) -> str:
    if tasks == [STAGE]:
        with suppress(RunRecordMissing):
            record = RunFolder(instance.settings, run_id).stage(STAGE, QualityRecord)
            if record.status == "held":
                return why_held(record)
    logs = instance.logs / "tasks" / f"dag_id={DAG_ID}" / f"run_id={run_id}"
    return f"The run failed in {', '.join(tasks) or 'no task'}; its logs are in {logs}."


def _copies_behind(run: RunFolder) -> list[str]:
    """Return what replica and search lack of a run that is over, a sentence each."""
    behind: list[str] = []
    with suppress(RunRecordMissing):
        behind += run.stage("replica", ReplicaUpdate).warnings
    with suppress(RunRecordMissing):
        indexed = run.stage("index", IndexRecord)
        if indexed.status == "pending":
            behind.append(f"The product search is not up to date: {indexed.reason} {SEARCH_REMEDY}")
    return behind


def print_receipt(receipt: Receipt, settings: Settings, console: Console) -> None:
    """Print a receipt as a person reads it; reports with their whole path below the data folder of `settings`."""
    console.print(f"Receipt of {receipt.run_id}", highlight=False, soft_wrap=True)
    table = Table()
    balances = receipt.balances()
    for column in ("", "rows", *balances):
        table.add_column(column, justify="left" if not column else "right")
    quarantined = sum(receipt.rows_quarantined.values())
    for label, rows, amounts in (
        ("in", receipt.rows_in, [balance.amount_in for balance in balances.values()]),
        ("loaded", receipt.rows_loaded, [balance.amount_loaded for balance in balances.values()]),
        ("duplicate", receipt.rows_duplicate, [balance.amount_duplicate for balance in balances.values()]),
        ("quarantined", quarantined, [balance.amount_quarantined for balance in balances.values()]),
        ("already seen", receipt.rows_already_seen, [balance.amount_already_seen for balance in balances.values()]),
    ):
        table.add_row(label, f"{rows:,}", *map(readable, amounts))
    console.print(table)
    for file in receipt.files:
        console.print(
            f"{file.name}: {file.status}{f' ({file.reason})' if file.reason else ''}", markup=False, soft_wrap=True
        )
        for left in file.decisions.left_out if file.decisions else []:
            first = f"line {left.first_line}: {shortened(left.example, 60)}"
            console.print(f"  left out: {left.count} x {left.what}, first {first}", markup=False, soft_wrap=True)
        if file.report:
            console.print(f"  report: {settings.data_dir / file.report}", markup=False, soft_wrap=True)
    for code, rows in receipt.rows_quarantined.items():
        console.print(f"  quarantined {rows} x {code}", markup=False)
    for warning in [*receipt.warnings, *_copies_behind(RunFolder(settings, receipt.run_id))]:
        console.print(f"  note: {warning}", markup=False, soft_wrap=True)
    console.print(f"{receipt.status}, {receipt.seconds.get('total', 0):.0f} s from claim to receipt")
