"""Bring the embedded system up and down, load files, look at it. `make` targets call these."""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path

import requests
from pydantic import ValidationError
from rich.console import Console

from deploy.embedded import jars, supervisor
from deploy.embedded.addresses import (
    PortsDiffer,
    PortTaken,
    check_free,
    check_running_ports,
    save_ports,
    settings_problem,
)
from deploy.embedded.follow import NotFollowed, drop, find_run, follow, landing_name, never_claimed, print_receipt
from deploy.embedded.postgres import PostgresUnavailable
from deploy.embedded.search import SearchServerUnavailable
from deploy.embedded.state import ADMIN, CLI_USER, Instance
from include.failover import read, replica_link
from include.lake.connect_server import ClassesNotRecorded, record_classes, running_server
from include.lake.submitting import class_archive
from include.receipts.model import Receipt
from include.runs.folder import dropped_as
from include.runs.landing import landing, waiting_files
from include.settings import PROJECT_ROOT, Settings
from include.warehouse import WarehouseUnavailable, latest_sales, primary_is_up

API_SECONDS = 180.0
ACTIONS = {
    "run": "start everything, load a sample, show the result",
    "up": "start everything",
    "down": "stop everything",
    "status": "show processes, health and the last receipts",
    "logs": "show the end of each log",
    "clean": "stop everything and delete the data folder",
    "reset-password": "give the admin user a new password",
    "jars": "fetch the Spark jars",
    "lock-jars": "write deploy/spark-jars.lock anew",
    "load": "load files and print their receipts",
    "warehouse": "run `python -m include.operate` on the embedded warehouse",
    "search": "show, catch up or rebuild the product search",
}
DEMONSTRATED_QUESTION = "candle holder"
TALKS_TO_THE_INSTANCE = {"run", "up", "status", "reset-password", "load", "warehouse", "search"}


class Stopped(Exception):
    """What was asked for needs a running instance."""


class SettingsUnusable(Exception):
    """A setting cannot be used; the message names its variable."""


EXPECTED = (
    ClassesNotRecorded,
    NotFollowed,
    PortTaken,
    PortsDiffer,
    PostgresUnavailable,
    SearchServerUnavailable,
    SettingsUnusable,
    Stopped,
    WarehouseUnavailable,
    jars.JarsUnusable,
    supervisor.SupervisorFailed,
)
"""Failures whose message says everything a user needs."""

console = Console(emoji=False)


@contextmanager
def _working(text: str) -> Iterator[None]:
    """Say what takes a while: on a terminal as long as it lasts, elsewhere once."""
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        console.print(text, highlight=False, soft_wrap=True)
        yield


def fetch_jars(settings: Settings) -> None:
    """Fetch the Spark jars unless they are there."""
    if not jars.complete(settings):
        with _working("Fetching the Spark jars ..."):
            jars.fetch(settings)


def up(instance: Instance) -> None:
    """Start everything that does not run; on the first start make databases and users and show the password."""
    running = supervisor.running(instance)
    if not running:
        check_free(instance.ports)
    fetch_jars(instance.settings)
    if not class_archive(instance.settings).exists():
        with _working("Recording Spark's classes once, so that every later stage starts faster (a minute or two) ..."):
            record_classes(instance.settings)
    landing(instance.settings)
    postgres, search = instance.postgres(), instance.search()
    if not running:
        postgres.initialise()
        if search:
            search.initialise()
        save_ports(instance.services, instance.ports)
        supervisor.start(instance)
    postgres.wait()
    environment = instance.environment()
    stamp = instance.services / "databases.stamp"
    lock = (PROJECT_ROOT / "requirements.txt").read_text()
    first = not stamp.exists()
    if first or (not running and stamp.read_text() != lock):
        with _working("Preparing the databases ..."):
            for name in ("airflow", "warehouse"):
                postgres.create_database(name)
            password = secrets.token_urlsafe(12)
            users = {ADMIN: password, CLI_USER: instance.secrets().cli_password} if first else {}
            _run([sys.executable, "-m", "deploy.embedded.users"], environment, dumps(users))
        stamp.write_text(lock)
        if first:
            console.print(
                f"Airflow user [bold]{ADMIN}[/], password [bold]{password}[/] (shown this once)", highlight=False
            )
    if first or not running:
        # The warehouse may be another one than at the last start, or older than the code.
        _migrate_warehouse(instance, environment)
    if search:
        try:
            search.wait()
        except SearchServerUnavailable as error:
            # Everything else works without it, and the index is caught up when it is back.
            console.print(f"{error} See {instance.logs}/typesense.log.", style="yellow", markup=False, soft_wrap=True)
    with _working("Starting Airflow ..."):
        supervisor.control(instance, "start", *supervisor.COMPONENTS)
    _wait_api(instance)


def _migrate_warehouse(instance: Instance, environment: dict[str, str]) -> None:
    """Bring the warehouse to the newest revision, unless it is another's that is away and the replica can stand in."""
    settings = instance.settings
    elsewhere = bool(settings.database_url.get_secret_value()) and settings.database_type != "sqlite"
    if elsewhere and replica_link(settings).exists() and not primary_is_up(settings):
        console.print(
            "The warehouse does not answer. Starting all the same: the replica stands in for it. When it is back, "
            "`make up` after `make stop`, or `python -m include.operate migrate`, brings it up to this version.",
            style="yellow",
            soft_wrap=True,
        )
        return
    with _working("Migrating the warehouse ..."):
        _run([sys.executable, "-m", "include.operate", "migrate"], environment)


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
        answer.raise_for_status()
        states = answer.json()
        return all(
            states[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
        )
    except (requests.RequestException, LookupError, TypeError):
        return False  # no answer, or not Airflow's


def _wait_api(instance: Instance) -> None:
    end = time.monotonic() + API_SECONDS
    with _working("Waiting for Airflow ..."):
        while not _healthy(instance):
            if time.monotonic() > end:
                raise supervisor.SupervisorFailed(
                    f"Airflow did not become healthy within {API_SECONDS:.0f} s; see {instance.logs}."
                )
            time.sleep(1)


def _require_running(instance: Instance, consequence: str) -> None:
    if not supervisor.running(instance):
        raise Stopped(f"Nothing is running, so {consequence}. Start with `make up` (`make run` loads a sample too).")


def load(instance: Instance, files: list[str]) -> int:
    """Drop files, follow the runs that claim them; return 0 if every file was loaded or seen before.

    Raises:
        Stopped: If nothing runs; then nothing is dropped.
        NotFollowed: If a file cannot be dropped, is not claimed, or its run fails.
    """
    _require_running(instance, "nothing was dropped")
    code = 0
    for source in files:
        name, sha256 = drop(instance, Path(source))
        given = Path(source).name
        reason = "names like it are skipped" if landing_name(given) != given else "that name is taken"
        renamed = "" if name == given else f", not as {given}: {reason}"
        console.print(f"Dropped as {name}{renamed}", markup=False, highlight=False, soft_wrap=True)
        with _working("Waiting for a run to claim it ..."):
            manifest = find_run(instance, name, sha256)
        console.print(f"Run {manifest.run_id}", markup=False, highlight=False, soft_wrap=True)
        receipt = follow(instance, manifest.run_id, console)
        print_receipt(receipt, instance.settings, console)
        if any(dropped_as(file.name) == name and file.status == "rejected" for file in receipt.files):
            code = 1
    return code


def demonstrate(instance: Instance) -> int:
    """Bring everything up, load a generated sample and show what came of it."""
    up(instance)
    sample = instance.services / "sample.csv"
    arguments = ["--rows", "1000", "--seed", "7", "--start", "2011-01-04", "--days", "1", "--out", str(sample)]
    _run([sys.executable, "-m", "deploy.sample", *arguments], instance.environment())
    code = load(instance, [str(sample)])
    os.environ["DATABASE_URL"] = instance.environment()["DATABASE_URL"]
    rows = read(Settings(), lambda connection: latest_sales(connection, 3)).value
    console.print("Three rows of fact_sales, joined to its dimensions:")
    for row in rows:
        line = ", ".join(f"{name} {value}" for name, value in row.items())
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    _show_search(instance)
    print_places(instance)
    return code


def _show_search(instance: Instance) -> None:
    """Ask the API for products, as any client would, and print them."""
    question = {"q": DEMONSTRATED_QUESTION, "country": "United Kingdom", "size": "3"}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{instance.base_url()}/retail/api/v1/search/typesense",
            params=question,
            auth=(CLI_USER, instance.secrets().cli_password),
            timeout=30,
        )
    if answer.status_code == requests.codes.service_unavailable:
        console.print(f"{answer.json()['detail']} `make search` says more.", highlight=False, markup=False)
        return
    answer.raise_for_status()
    found = answer.json()
    console.print(f"Products for {question['q']!r} in {question['country']} ({found['found']} found):", highlight=False)
    for hit in found["hits"]:
        product = hit["product"]
        line = ", ".join(f"{name} {product[name]}" for name in ("stock_code", "description", "price_median", "units"))
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def print_places(instance: Instance) -> None:
    """Print where to look and where to drop files."""
    for label, place in (
        ("Airflow", f"{instance.base_url()}  (user {ADMIN})"),
        ("API", f"{instance.base_url()}/retail/docs"),
        ("Sign-in", f"curl --netrc-file {shlex.quote(str(instance.netrc()))} {instance.base_url()}/retail/health"),
        ("Landing", landing(instance.settings)),
        ("Receipts", instance.settings.data_dir / "receipts"),
    ):
        console.print(f"{label:<9} {place}", highlight=False, markup=False, soft_wrap=True)


def status(instance: Instance) -> int:
    """Print processes, health, waiting files and the last receipts; return 0 if everything is healthy."""
    if not supervisor.running(instance):
        console.print("Stopped. Start with `make up`.")
        return 1
    console.print(supervisor.control(instance, "status"), markup=False, highlight=False)
    healthy = _healthy(instance)
    console.print(f"Airflow {instance.base_url()}: {'healthy' if healthy else 'not healthy'}", highlight=False)
    search = instance.search()
    if search:
        console.print(f"Search {search.node}: {'healthy' if search.healthy() else 'not healthy'}", highlight=False)
    if instance.keeps_spark:
        server = running_server(instance.settings)
        state = f"warm since {server.started_at:%H:%M} UTC" if server else "stopped until the next drop"
        console.print(f"Spark Connect server: {state}", highlight=False)
    waiting = len(list(waiting_files(instance.settings)))
    console.print(f"Waiting in {landing(instance.settings)}: {waiting}", highlight=False, markup=False, soft_wrap=True)
    stuck = never_claimed(instance.settings)
    if stuck:
        console.print(f"Never claimed there: {len(stuck)}", highlight=False)
        for name, reason in stuck.items():
            console.print(f"  {name}: {reason}", highlight=False, markup=False, soft_wrap=True)
    receipts = sorted((instance.settings.data_dir / "receipts").glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in receipts[-5:]:
        try:
            receipt = Receipt.model_validate_json(path.read_bytes())
        except ValidationError:
            console.print(f"{path.stem}: not a receipt of this version", highlight=False, soft_wrap=True)
        else:
            console.print(
                f"{receipt.run_id}: {receipt.status}, {receipt.rows_loaded:,} rows", highlight=False, soft_wrap=True
            )
    return 0 if healthy else 1


def warehouse_command(instance: Instance, arguments: list[str]) -> int:
    """Run a command of the warehouse on the embedded server; return its exit code."""
    command = [sys.executable, "-m", "include.operate", *arguments]
    return subprocess.run(command, env=instance.environment(), check=False, cwd=PROJECT_ROOT).returncode


def logs(instance: Instance) -> int:
    """Print the last lines of each component's log."""
    paths = sorted(instance.logs.glob("*.log"))
    if not paths:
        console.print(f"There are no logs in {instance.logs} yet.", highlight=False, markup=False, soft_wrap=True)
    for path in paths:
        console.rule(path.name)
        last = "\n".join(path.read_text(errors="replace").splitlines()[-20:])
        console.print(last, markup=False, highlight=False, soft_wrap=True)
    return 0


def stop(instance: Instance) -> int:
    """Stop everything that runs."""
    supervisor.stop(instance)
    console.print("Stopped.")
    return 0


def clean(instance: Instance) -> int:
    """Stop everything and delete the data folder, after asking."""
    data = instance.settings.data_dir
    if not data.exists():
        console.print(f"There is no {data}.", highlight=False, markup=False, soft_wrap=True)
        return 0
    if os.environ.get("CONFIRM") != "yes" and not _confirmed(f"Delete {data} and all it holds? [yes/no] "):
        console.print("Nothing was deleted.")
        return 1
    supervisor.stop(instance)
    shutil.rmtree(data, ignore_errors=False)
    return 0


def _confirmed(question: str) -> bool:
    try:
        return input(question) == "yes"
    except EOFError:
        print()
        return False


def reset_password(instance: Instance) -> int:
    """Give the admin user a new password and show it.

    Raises:
        Stopped: If nothing runs.
    """
    _require_running(instance, "no password was changed")
    password = secrets.token_urlsafe(12)
    with _working("Setting the password ..."):
        _run([sys.executable, "-m", "deploy.embedded.users"], instance.environment(), dumps({ADMIN: password}))
    console.print(f"Airflow user {ADMIN}, password {password} (shown this once)", highlight=False)
    return 0


def search(instance: Instance, words: list[str]) -> int:
    """Let `python -m include.search` do what `words` say, with the instance's ports and key; return its exit code.

    Raises:
        Stopped: If nothing runs.
    """
    _require_running(instance, "there is no search")
    command = [sys.executable, "-m", "include.search", *(words or ["status"])]
    return subprocess.run(command, env=instance.environment(), check=False, cwd=PROJECT_ROOT).returncode


def _instance(action: str) -> Instance:
    try:
        instance = Instance()
        if action in TALKS_TO_THE_INSTANCE and supervisor.running(instance):
            check_running_ports(instance.services)
    except ValueError as error:
        raise SettingsUnusable(settings_problem(error)) from error
    return instance


def _act(action: str, words: list[str]) -> int:
    instance = _instance(action)
    match action:
        case "run":
            return demonstrate(instance)
        case "up":
            up(instance)
            print_places(instance)
        case "down":
            return stop(instance)
        case "status":
            return status(instance)
        case "logs":
            return logs(instance)
        case "clean":
            return clean(instance)
        case "reset-password":
            return reset_password(instance)
        case "jars":
            fetch_jars(instance.settings)
        case "lock-jars":
            jars.fetch(instance.settings, relock=True)
        case "load":
            return load(instance, words)
        case "warehouse":
            return warehouse_command(instance, words)
        case "search":
            return search(instance, words)
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        words: Without the program's name; those of the process if not given.

    Returns:
        0, or 1 after printing in one sentence what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m deploy.embedded", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in ACTIONS.items():
        action = actions.add_parser(name, help=text)
        if name == "load":
            action.add_argument("words", nargs="+", metavar="FILE")
        elif name == "warehouse":
            action.add_argument("words", nargs=argparse.REMAINDER, metavar="ARGUMENT")
        elif name == "search":
            action.add_argument("words", nargs="*", metavar="status|catch-up|rebuild")
    arguments = parser.parse_args(words)
    try:
        return _act(arguments.action, getattr(arguments, "words", []))
    except EXPECTED as error:
        problem = str(error)
    except requests.RequestException as error:
        problem = f"Airflow did not answer as it should ({type(error).__name__}); see `make status` and `make logs`."
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}." if error.filename else f"{error}."
    except KeyboardInterrupt:
        console.print("Stopped watching; what has been started goes on.")
        return 130
    console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
