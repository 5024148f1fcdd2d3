"""Bring the embedded system up and down, load files, look at it. `make` targets call these."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

import requests

from deploy.embedded import jars, supervisor
from deploy.embedded.addresses import PortsDiffer, PortTaken, check_running_ports, settings_problem
from deploy.embedded.follow import NotFollowed
from deploy.embedded.loading import demonstrate, load
from deploy.embedded.postgres import PostgresUnavailable
from deploy.embedded.search import SearchServerUnavailable
from deploy.embedded.showing import logs, print_places, status
from deploy.embedded.starting import Stopped, clean, fetch_jars, require_running, reset_password, stop, up
from deploy.embedded.state import Instance
from deploy.embedded.terminal import say
from include.lake.connect_server import ClassesNotRecorded
from include.settings import PROJECT_ROOT
from include.warehouse import WarehouseUnavailable

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
TALKS_TO_THE_INSTANCE = {"run", "up", "status", "reset-password", "load", "warehouse", "search"}


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


def _instance(action: str) -> Instance:
    try:
        instance = Instance()
        if action in TALKS_TO_THE_INSTANCE and supervisor.running(instance):
            check_running_ports(instance.services)
    except ValueError as error:
        raise SettingsUnusable(settings_problem(error)) from error
    return instance


def _command_of(instance: Instance, module: str, words: Sequence[str]) -> int:
    """Run the command line of `module` with the instance's ports and passwords; return its exit code."""
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, env=instance.environment(), check=False, cwd=PROJECT_ROOT).returncode


def _act(action: str, words: list[str]) -> int:
    instance = _instance(action)
    match action:
        case "run":
            return demonstrate(instance)
        case "up":
            up(instance)
            print_places(instance)
        case "down":
            stop(instance)
        case "status":
            return status(instance)
        case "logs":
            logs(instance)
        case "clean":
            return clean(instance)
        case "reset-password":
            reset_password(instance)
        case "jars":
            fetch_jars(instance.settings)
        case "lock-jars":
            jars.fetch(instance.settings, relock=True)
        case "load":
            return load(instance, words)
        case "warehouse":
            return _command_of(instance, "include.operate", words)
        case "search":
            require_running(instance, "there is no search")
            return _command_of(instance, "include.search", words or ["status"])
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
        say("Stopped watching; what has been started goes on.")
        return 130
    say(problem, style="red")
    return 1


if __name__ == "__main__":
    sys.exit(main())
