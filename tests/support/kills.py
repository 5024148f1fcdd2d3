"""Kills what runs the Spark stages of an embedded system, at chosen moments."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, cast

import psutil

from deploy.embedded.state import Instance
from include.lake.connect_server import running_server
from include.lake.submitting import ENTRY_POINT

Victim = Literal["server", "spark-submit", "its Python"]


def clients(instance: Instance, stage: str, run_id: str = "") -> list[psutil.Process]:
    """Return the processes of a stage's client, of one run if given, the oldest first: spark-submit, then its Python.

    Those whose parent has died are among them.
    """
    words = {str(ENTRY_POINT), stage, run_id or stage}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = words <= {*process.cmdline()}
            if ours and process.environ().get("RETAIL_DATA_DIR") == str(instance.settings.data_dir):
                found.append(process)
    return sorted(found, key=psutil.Process.create_time)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that has ended and waits for its parent to notice does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def kill(
    instance: Instance, stage: str, victim: Victim, due: Callable[[psutil.Process], bool], run_id: str = ""
) -> list[psutil.Process]:
    """Wait for the client of a stage, then until the kill is due, and kill.

    Args:
        instance: The running system.
        stage: `bronze`, `silver` or `gold`.
        victim: What to kill; spark-submit while it has not started Python yet.
        due: Is given the client's oldest process.
        run_id: Only the client of this run.

    Returns:
        The processes of the client when the victim was killed; none if it ended before.
    """
    while not (attempt := clients(instance, stage, run_id)):
        time.sleep(0.05)
    while is_alive(attempt[0]):
        server = running_server(instance.settings)
        if due(attempt[0]) and (victim != "server" or server):
            attempt = clients(instance, stage, run_id) or attempt
            client = attempt[0 if victim == "spark-submit" else -1]
            with suppress(ProcessLookupError):
                os.kill(server.pid if server and victim == "server" else client.pid, signal.SIGKILL)
                return attempt
        time.sleep(0.01)
    return []


class Killer(threading.Thread):
    """Kills once in each stage as soon as it has written a file.

    Attributes:
        killed: What it has killed so far, of `MOMENTS`.
    """

    MOMENTS: ClassVar[tuple[tuple[str, Victim], ...]] = (
        ("bronze", "spark-submit"),
        ("silver", "server"),
        ("gold", "spark-submit"),
    )

    def __init__(self, instance: Instance) -> None:
        super().__init__(daemon=True)
        self.instance = instance
        self.killed: list[tuple[str, str]] = []

    def run(self) -> None:
        """Wait for each moment in turn."""
        for stage, victim in self.MOMENTS:
            while not kill(self.instance, stage, victim, partial(self._has_written, stage, self._files(stage))):
                pass
            self.killed.append((stage, victim))

    def _has_written(self, stage: str, before: set[str], client: psutil.Process) -> bool:
        return bool(self._files(stage) - before)

    def _files(self, stage: str) -> set[str]:
        folder = Path(self.instance.settings.table(cast(Literal["bronze", "silver", "gold"], stage), "")).parent
        return {str(path) for path in folder.rglob("*.parquet")}
