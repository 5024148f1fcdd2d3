"""The supervisor: renders its configuration, starts it, asks it, stops it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from deploy.embedded.addresses import control_socket, is_running
from deploy.embedded.state import Instance
from include.settings import PROJECT_ROOT

COMPONENTS = {
    "api-server": ["api-server"],
    # The API server reads their logs from the disk they share; Airflow's log servers would listen on every interface.
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
"""Component -> its arguments to `airflow`."""

SPARK = "spark"
STARTED_FIRST = ("postgres", "typesense", SPARK)
"""Programs that start with the supervisor; the others are told to when these are ready."""

STOP_SECONDS = 25


class SupervisorFailed(Exception):
    """The supervisor could not be started or reached."""


def render(instance: Instance) -> str:
    """Return the supervisor's configuration; it holds no secret, those are in the environment."""
    control = control_socket(instance.services)
    sections = [
        f"[unix_http_server]\nfile={control}\nchmod=0600",
        f"[supervisord]\nlogfile={instance.logs}/supervisord.log\npidfile={instance.services}/supervisord.pid\n"
        f"childlogdir={instance.logs}\ndirectory={PROJECT_ROOT}\nloglevel=info",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        f"[supervisorctl]\nserverurl=unix://{control}",
        _program(instance, "postgres", instance.postgres().command(), priority=1, signal="INT", directory="/"),
    ]
    search = instance.search()
    if search:
        sections.append(_program(instance, "typesense", search.command(), priority=2, directory="/"))
    if instance.keeps_spark:
        sections.append(_program(instance, SPARK, [sys.executable, "-m", "deploy.embedded.spark_server"], priority=3))
    airflow = str(Path(sys.executable).parent / "airflow")
    sections += [_program(instance, name, [airflow, *words], priority=10) for name, words in COMPONENTS.items()]
    return "\n\n".join(sections) + "\n"


def _program(
    instance: Instance,
    name: str,
    command: list[str],
    *,
    priority: int,
    signal: str = "TERM",
    directory: str = str(PROJECT_ROOT),
) -> str:
    quoted = shlex.join(command).replace("%", "%%")
    group = "true" if signal == "TERM" else "false"
    return (
        f"[program:{name}]\ncommand={quoted}\ndirectory={directory}\npriority={priority}\n"
        f"autostart={'true' if name in STARTED_FIRST else 'false'}\nautorestart=true\nstartsecs=2\n"
        f"stopsignal={signal}\nstopwaitsecs={STOP_SECONDS}\nstopasgroup={group}\nkillasgroup=true\n"
        f"redirect_stderr=true\nstdout_logfile={instance.logs}/{name}.log\n"
        "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=3"
    )


def _config(instance: Instance) -> Path:
    return instance.services / "supervisord.conf"


def running(instance: Instance) -> bool:
    """Return whether the supervisor of this instance runs."""
    return is_running(instance.services)


def start(instance: Instance) -> None:
    """Start the supervisor, PostgreSQL and the search server under it.

    Raises:
        SupervisorFailed: If it does not start; the message holds what it said.
    """
    instance.logs.mkdir(parents=True, exist_ok=True)
    _config(instance).write_text(render(instance))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "supervisord"), "-c", str(_config(instance))],
        env=instance.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SupervisorFailed(f"supervisord did not start: {(done.stderr or done.stdout).strip()}")


def control(instance: Instance, *words: str) -> str:
    """Return what `supervisorctl` answers to `words`."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "supervisorctl"), "-c", str(_config(instance)), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip()


def stop(instance: Instance) -> None:
    """Stop Airflow first, then PostgreSQL, the search server and the supervisor; return when all are gone."""
    if not running(instance):
        return
    pid = int((instance.services / "supervisord.pid").read_text())
    control(instance, "stop", *COMPONENTS)
    control(instance, "shutdown")
    wait_gone(pid)


def wait_gone(pid: int, seconds: int = 60) -> None:
    """Return when process `pid` has ended.

    Raises:
        SupervisorFailed: If it lives on after `seconds`.
    """
    for _ in range(seconds * 5):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.2)
    raise SupervisorFailed(f"Process {pid} did not stop within {seconds} s.")
