"""Bring the embedded system up and down, load files, look at it. `make` targets call these."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import time
from json import dumps
from pathlib import Path

import requests
from rich.console import Console

from deploy.embedded import jars, supervisor
from deploy.embedded.follow import NotFollowed, drop, find_run, follow, print_receipt
from deploy.embedded.postgres import PostgresUnavailable
from deploy.embedded.state import ADMIN, CLI_USER, Instance, PortTaken
from include.receipts import Receipt
from include.runs import landing, waiting_files
from include.settings import PROJECT_ROOT
from include.spark import class_archive, prepare

API_SECONDS = 180.0
console = Console()


def up(instance: Instance) -> None:
    """Start everything that does not run; on the first start make databases and users and show the password."""
    jars.fetch(instance.settings)
    if not class_archive(instance.settings).exists():
        with console.status(
            "Recording Spark's classes once, so that every later stage starts faster (a minute or two) ..."
        ):
            prepare(instance.settings)
    if supervisor.running(instance):
        _wait_api(instance)
        return
    instance.check_ports()
    landing(instance.settings)
    postgres = instance.postgres()
    postgres.initialise()
    supervisor.start(instance)
    postgres.wait()
    environment = instance.environment()
    stamp = instance.services / "databases.stamp"
    lock = (PROJECT_ROOT / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        first = not stamp.exists()
        console.print("Preparing the databases ...")
        for name in ("airflow", "warehouse"):
            postgres.create_database(name)
        _run([sys.executable, "-m", "include.warehouse", "migrate"], environment)
        password = secrets.token_urlsafe(12)
        users = {ADMIN: password, CLI_USER: instance.secrets().cli_password} if first else {}
        _run([sys.executable, "-m", "deploy.embedded.users"], environment, dumps(users))
        stamp.write_text(lock)
        if first:
            console.print(
                f"Airflow user [bold]{ADMIN}[/], password [bold]{password}[/] (shown this once)", highlight=False
            )
    supervisor.control(instance, "start", *supervisor.COMPONENTS)
    _wait_api(instance)


def _run(command: list[str], environment: dict[str, str], text: str | None = None) -> None:
    done = subprocess.run(
        command, env=environment, input=text, text=True, capture_output=True, check=False, cwd=PROJECT_ROOT
    )
    if done.returncode:
        raise supervisor.SupervisorFailed(f"{' '.join(command[1:])} failed:\n{done.stderr[-3000:]}")


def _healthy(instance: Instance) -> bool:
    session = requests.Session()
    session.trust_env = False
    try:
        answer = session.get(f"{instance.base_url()}/api/v2/monitor/health", timeout=5)
    except requests.ConnectionError:
        return False
    if not answer.ok:
        return False
    states = answer.json()
    return all(
        (states.get(name) or {}).get("status") == "healthy"
        for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
    )


def _wait_api(instance: Instance) -> None:
    end = time.monotonic() + API_SECONDS
    with console.status("Waiting for Airflow ..."):
        while not _healthy(instance):
            if time.monotonic() > end:
                raise supervisor.SupervisorFailed(
                    f"Airflow did not become healthy within {API_SECONDS:.0f} s; see {instance.logs}."
                )
            time.sleep(1)


def load(instance: Instance, files: list[str]) -> int:
    """Drop files, follow the runs that claim them; return 0 if every file was loaded or seen before."""
    code = 0
    for source in files:
        name, sha256 = drop(instance, Path(source))
        console.print(f"Dropped {name}", markup=False)
        manifest = find_run(instance, name, sha256)
        console.print(f"Run {manifest.run_id}", markup=False, highlight=False)
        receipt = follow(instance, manifest.run_id, console)
        print_receipt(receipt, console)
        if any(file.name == name and file.status == "rejected" for file in receipt.files):
            code = 1
    return code


def demonstrate(instance: Instance) -> int:
    """Bring everything up, load a generated sample and show what came of it."""
    up(instance)
    sample = instance.services / "sample.csv"
    arguments = ["--rows", "1000", "--seed", "7", "--start", "2011-01-04", "--days", "1", "--out", str(sample)]
    _run([sys.executable, "-m", "include.sample", *arguments], instance.environment())
    code = load(instance, [str(sample)])
    os.environ["DATABASE_URL"] = instance.environment()["DATABASE_URL"]
    from include.settings import Settings
    from include.warehouse.engine import open_engine
    from include.warehouse.queries import latest_sales

    with open_engine(Settings()) as engine:
        rows = latest_sales(engine, 3)
    console.print("Three rows of fact_sales, joined to its dimensions:")
    for row in rows:
        line = ", ".join(f"{name} {value}" for name, value in row.items())
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Airflow   {instance.base_url()}  (user {ADMIN})", highlight=False)
    console.print(f"Landing   {landing(instance.settings)}", highlight=False)
    console.print(f"Receipts  {instance.settings.data_dir / 'receipts'}", highlight=False)
    return code


def status(instance: Instance) -> int:
    """Print processes, health, waiting files and the last receipts; return 0 if everything is healthy."""
    if not supervisor.running(instance):
        console.print("Stopped. Start with `make run`.")
        return 1
    console.print(supervisor.control(instance, "status"), markup=False, highlight=False)
    healthy = _healthy(instance)
    console.print(f"Airflow {instance.base_url()}: {'healthy' if healthy else 'not healthy'}", highlight=False)
    console.print(f"Waiting in {landing(instance.settings)}: {len(list(waiting_files(instance.settings)))}")
    receipts = sorted((instance.settings.data_dir / "receipts").glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in receipts[-5:]:
        receipt = Receipt.model_validate_json(path.read_bytes())
        console.print(f"{receipt.run_id}: {receipt.status}, {receipt.rows_loaded:,} rows", highlight=False)
    return 0 if healthy else 1


def warehouse_command(instance: Instance, arguments: list[str]) -> int:
    """Run a command of the warehouse on the embedded server; return its exit code."""
    command = [sys.executable, "-m", "include.warehouse", *arguments]
    return subprocess.run(command, env=instance.environment(), check=False, cwd=PROJECT_ROOT).returncode


def logs(instance: Instance) -> int:
    """Print the last lines of each component's log."""
    for path in sorted(instance.logs.glob("*.log")):
        console.rule(path.name)
        console.print("\n".join(path.read_text(errors="replace").splitlines()[-20:]), markup=False)
    return 0


def clean(instance: Instance) -> int:
    """Stop everything and delete the data folder, after asking."""
    data = instance.settings.data_dir
    if os.environ.get("CONFIRM") != "yes" and input(f"Delete {data} and all it holds? [yes/no] ") != "yes":
        console.print("Nothing was deleted.")
        return 1
    supervisor.stop(instance)
    shutil.rmtree(data, ignore_errors=False)
    return 0


def reset_password(instance: Instance) -> int:
    """Give the admin user a new password and show it."""
    password = secrets.token_urlsafe(12)
    _run([sys.executable, "-m", "deploy.embedded.users"], instance.environment(), dumps({ADMIN: password}))
    console.print(f"Airflow user {ADMIN}, password {password} (shown this once)", highlight=False)
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.embedded", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (
        ("run", "start everything, load a sample, show the result"),
        ("up", "start everything"),
        ("down", "stop everything"),
        ("status", "show processes, health and the last receipts"),
        ("logs", "show the end of each log"),
        ("clean", "stop everything and delete the data folder"),
        ("reset-password", "give the admin user a new password"),
        ("jars", "fetch the Spark jars"),
        ("lock-jars", "write deploy/spark-jars.lock anew"),
    ):
        actions.add_parser(name, help=text)
    actions.add_parser("load", help="load files and print their receipts").add_argument("files", nargs="+")
    warehouse = actions.add_parser("warehouse", help="run `python -m include.warehouse` on the embedded warehouse")
    warehouse.add_argument("arguments", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    instance = Instance()
    try:
        match arguments.action:
            case "run":
                return demonstrate(instance)
            case "up":
                up(instance)
            case "down":
                supervisor.stop(instance)
            case "status":
                return status(instance)
            case "logs":
                return logs(instance)
            case "clean":
                return clean(instance)
            case "reset-password":
                return reset_password(instance)
            case "jars":
                jars.fetch(instance.settings)
            case "lock-jars":
                jars.fetch(instance.settings, relock=True)
            case "load":
                return load(instance, arguments.files)
            case "warehouse":
                return warehouse_command(instance, arguments.arguments)
    except (NotFollowed, PortTaken, PostgresUnavailable, jars.JarsUnusable, supervisor.SupervisorFailed) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped watching; what has been started goes on.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
