"""Bring an instance up and down, delete its data, give its admin a new password."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from json import dumps

import requests

from deploy.embedded import jars, supervisor
from deploy.embedded.addresses import check_free, save_ports
from deploy.embedded.search import SearchServerUnavailable
from deploy.embedded.state import ADMIN, CLI_USER, Instance
from deploy.embedded.terminal import console, say, working
from include.failover import replica_link
from include.lake.connect_server import record_classes
from include.lake.reachable import LakeUnusable, require_lake
from include.lake.submitting import class_archive
from include.runs.landing import landing
from include.settings import PROJECT_ROOT, Settings
from include.warehouse import primary_is_up

API_SECONDS = 180.0


class Stopped(Exception):
    """What was asked for needs a running instance."""


def fetch_jars(settings: Settings) -> None:
    """Fetch the Spark jars unless they are there."""
    if not jars.complete(settings):
        with working("Fetching the Spark jars ..."):
            jars.fetch(settings)


def up(instance: Instance) -> None:
    """Start everything that does not run; on the first start make databases and users and show the password."""
    running = supervisor.running(instance)
    if not running:
        check_free(instance.ports)
    fetch_jars(instance.settings)
    try:
        require_lake(instance.settings)
    except LakeUnusable as error:
        say(f"{error} Starting all the same: files wait in the landing folder until it is mended.", style="yellow")
    if not class_archive(instance.settings).exists():
        with working("Recording Spark's classes once, so that every later stage starts faster (a minute or two) ..."):
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
    stamp = instance.services / "databases.stamp"
    lock = (PROJECT_ROOT / "requirements.txt").read_text()
    first = not stamp.exists()
    if first or (not running and stamp.read_text() != lock):
        with working("Preparing the databases ..."):
            for name in ("airflow", "warehouse"):
                postgres.create_database(name)
            password = secrets.token_urlsafe(12)
            users = {ADMIN: password, CLI_USER: instance.secrets().cli_password} if first else {}
            run_module(instance, "deploy.embedded.users", text=dumps(users))
        stamp.write_text(lock)
        if first:
            console.print(
                f"Airflow user [bold]{ADMIN}[/], password [bold]{password}[/] (shown this once)", highlight=False
            )
    if first or not running:
        # The warehouse may be another one than at the last start, or older than the code.
        _migrate_warehouse(instance)
    if search:
        try:
            search.wait()
        except SearchServerUnavailable as error:
            # Everything else works without it, and the index is caught up when it is back.
            say(f"{error} See {instance.logs}/typesense.log.", style="yellow")
    with working("Starting Airflow ..."):
        supervisor.control(instance, "start", *supervisor.COMPONENTS)
    _wait_api(instance)


def _migrate_warehouse(instance: Instance) -> None:
    """Bring the warehouse to the newest revision, unless it is another's that is away and the replica can stand in."""
    settings = instance.settings
    elsewhere = bool(settings.database_url.get_secret_value()) and settings.database_type != "sqlite"
    if elsewhere and replica_link(settings).exists() and not primary_is_up(settings):
        say(
            "The warehouse does not answer. Starting all the same: the replica stands in for it. When it is back, "
            "`make up` after `make stop`, or `python -m include.operate migrate`, brings it up to this version.",
            style="yellow",
        )
        return
    with working("Migrating the warehouse ..."):
        run_module(instance, "include.operate", "migrate")


def run_module(instance: Instance, module: str, *words: str, text: str | None = None) -> None:
    """Run `python -m module words` with the instance's ports and passwords, and `text` as its standard input.

    Raises:
        SupervisorFailed: If it fails; the message holds the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env=instance.environment(),
        input=text,
        text=True,
        capture_output=True,
        check=False,
        cwd=PROJECT_ROOT,
    )
    if done.returncode:
        raise supervisor.SupervisorFailed(f"{' '.join(['-m', module, *words])} failed:\n{done.stderr[-3000:]}")


def healthy(instance: Instance) -> bool:
    """Return whether Airflow answers and says that each of its components is healthy."""
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
    with working("Waiting for Airflow ..."):
        while not healthy(instance):
            if time.monotonic() > end:
                raise supervisor.SupervisorFailed(
                    f"Airflow did not become healthy within {API_SECONDS:.0f} s; see {instance.logs}."
                )
            time.sleep(1)


def require_running(instance: Instance, consequence: str) -> None:
    """Raise if nothing runs.

    Raises:
        Stopped: Saying what `consequence` that has.
    """
    if not supervisor.running(instance):
        raise Stopped(f"Nothing is running, so {consequence}. Start with `make up` (`make run` loads a sample too).")


def stop(instance: Instance) -> None:
    """Stop everything that runs."""
    supervisor.stop(instance)
    say("Stopped.")


def clean(instance: Instance) -> int:
    """Stop everything and delete the data folder, after asking; return 0 if there is none any more."""
    data = instance.settings.data_dir
    if not data.exists():
        say(f"There is no {data}.")
        return 0
    if os.environ.get("CONFIRM") != "yes" and not _confirmed(f"Delete {data} and all it holds? [yes/no] "):
        say("Nothing was deleted.")
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


def reset_password(instance: Instance) -> None:
    """Give the admin user a new password and show it.

    Raises:
        Stopped: If nothing runs.
    """
    require_running(instance, "no password was changed")
    password = secrets.token_urlsafe(12)
    with working("Setting the password ..."):
        run_module(instance, "deploy.embedded.users", text=dumps({ADMIN: password}))
    say(f"Airflow user {ADMIN}, password {password} (shown this once)")
