"""A real Spark standalone cluster: a master and workers as processes of this machine, which may be killed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from include.lake.connect_server import end_with_parent, free_port
from include.lake.submitting import spark_home, submit_environment
from tests.support.kills import is_alive

EXECUTOR = "org.apache.spark.executor.CoarseGrainedExecutorBackend"


class Cluster:
    """A master and its workers.

    Attributes:
        url: Where the master is, `spark://host:port`.
        master: Its process.
        workers: The workers that have been started, killed ones too.
        events: Folder for the event logs of applications.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"spark://127.0.0.1:{self.port}"
        self.workers: list[psutil.Process] = []
        self.events = folder / "events"
        self.events.mkdir(parents=True)
        self._processes: list[psutil.Process] = []

    @property
    def conf(self) -> dict[str, str]:
        """Spark properties of applications that this cluster can watch."""
        return {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": self.events.as_uri(),
            "spark.eventLog.compress": "false",
            "spark.executor.memory": "640m",
        }

    def start_master(self) -> None:
        """Start the master; workers that have lost it come back."""
        self.master = self._started("master.Master", "--port", str(self.port))

    def add_worker(self) -> None:
        """Start a worker that runs executors of one core."""
        work = self.folder / f"worker-{len(self.workers)}"
        self.workers.append(self._started("worker.Worker", "--cores", "1", "--work-dir", str(work), self.url))

    def _started(self, name: str, *words: str) -> psutil.Process:
        program = Path(spark_home()) / "bin" / "spark-class"
        command = [str(program), f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1", "--webui-port", "0", *words]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=submit_environment() | {"SPARK_DAEMON_MEMORY": "256m", "SPARK_LOCAL_DIRS": str(self.folder)},
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
            )
        self._processes.append(psutil.Process(process.pid))
        return self._processes[-1]

    def executors(self, worker: psutil.Process) -> list[psutil.Process]:
        """Return the executors that a worker runs now."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in worker.children():
                with suppress(psutil.Error):
                    if EXECUTOR in child.cmdline():
                        found.append(child)
        return found

    def alive(self) -> list[psutil.Process]:
        """Return the workers that run."""
        return [worker for worker in self.workers if is_alive(worker)]

    def kill_executors(self, application: str) -> None:
        """Kill all executors of an application while it computes; again until that has cost it a task.

        Args:
            application: Begin of its name.
        """
        pause = 0.25  # a task starts some time after its job
        while not self.tasks_lost(application):
            self._computing(application)
            time.sleep(pause := 2 * pause)
            victims = [executor for worker in self._computing(application) for executor in self.executors(worker)]
            came = self._events(application).count(b"SparkListenerExecutorAdded")
            for executor in victims:
                executor.kill()
            # What the kill has cost is in the log when others have come.
            while self._events(application).count(b"SparkListenerExecutorAdded") < came + len(victims):
                time.sleep(0.02)

    def kill_worker(self, application: str) -> None:
        """Kill a worker and its executor while an application computes."""
        worker = self._computing(application)[0]
        for victim in (*self.executors(worker), worker):
            victim.kill()

    def tasks_lost(self, application: str) -> int:
        """Return how many tasks of an application have ended because their executor did, as far as its log has it."""
        return self._events(application).count(b'"Reason":"ExecutorLostFailure"')

    def _computing(self, application: str) -> list[psutil.Process]:
        """Wait until an application has executors on two workers and runs a job; return these workers."""
        while True:
            busy = [worker for worker in self.alive() if self.executors(worker)]
            events = self._events(application)
            there = events.count(b"SparkListenerExecutorAdded") - events.count(b"SparkListenerExecutorRemoved")
            jobs = events.count(b"SparkListenerJobStart") - events.count(b"SparkListenerJobEnd")
            if len(busy) > 1 and there > 1 and jobs:
                return busy
            time.sleep(0.02)

    def _events(self, application: str) -> bytes:
        """Return what the event log has of an application so far."""
        for log in self.events.rglob("events_*"):
            with suppress(FileNotFoundError):  # renamed at the end
                events = log.read_bytes()
                if f'"App Name":"{application}'.encode() in events:
                    return events
        return b""

    def stop(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                for child in process.children(recursive=True):
                    child.kill()
                process.kill()


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Yield a cluster below `folder`."""
    made = Cluster(folder)
    try:
        made.start_master()
        for _ in range(workers):
            made.add_worker()
        yield made
    finally:
        made.stop()
