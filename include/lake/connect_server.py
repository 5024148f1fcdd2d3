"""The Spark Connect server of an embedded instance: its process, and how stages find it and keep it from stopping.

`python -m include.lake.connect_server` records the class-data-sharing archive (`record_classes`).

Everything passes through files in `Settings.connect_folder`:

* `address.json` (owner only): where the server answers and the token it wants; there while it runs.
* `in_use`: each stage holds a shared lock on it; the server is stopped only under the exclusive one. The kernel frees
  the lock of a stage that dies. Each stage appends a byte, so that its size counts them.
* `wanted`: asks for a server where none runs.
* `kept`: locked by the process that starts and stops the server (`deploy.embedded.spark_server`).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from include.domain.model import Model
from include.lake.submitting import class_archive, driver_conf, submit_command, submit_environment
from include.settings import Settings, get_settings

MAIN_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
START_SECONDS = 180.0
ANSWER_SECONDS = 2.0
STOP_SECONDS = 20.0
RECORDING_SECONDS = 180.0
"""How long a server that records its classes may take to write them when it ends."""

ORPHANED_SECONDS = 5
"""After this long without its client a query is cancelled, so that one of a killed stage does not run on."""

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client opens an HTTP/2 connection (RFC 9113, section 3.4), without settings; a server answers with its own."""


class SparkServerNotNeeded(Exception):
    """What the server was to be started for needs none."""


class SparkServerUnavailable(Exception):
    """The Spark Connect server does not run and cannot be started; the message says why."""


class ClassesNotRecorded(Exception):
    """Spark failed on the training run; the message holds the end of what it said."""


class ServerAddress(Model):
    """Where a Spark Connect server answers.

    Attributes:
        pid: Its process.
        port: Its port on this machine.
        token: What clients prove themselves with.
        version: Which jars it runs, as the name of their class archive.
        started_at: When it was ready.
        stages_before: How many stages had used servers before it.
    """

    pid: int
    port: int
    token: str
    version: str
    started_at: datetime
    stages_before: int = 0

    @property
    def url(self) -> str:
        """Connection string for `SparkSession.builder.remote`."""
        return f"sc://localhost:{self.port}/;token={self.token}"


def end_with_parent(program: str = "") -> None:
    """Have the kernel kill this process when its parent dies, however that happens (Linux: prctl(2)).

    Args:
        program: What the parent runs, if it may have died already. This process ends if its parent is another one.
    """
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if program and Path(f"/proc/{os.getppid()}/comm").read_text().strip() != program:
        os.kill(os.getpid(), signal.SIGKILL)


def free_port() -> int:
    """Return a port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class ConnectServer:
    """A Spark Connect server as a child process."""

    def __init__(self, settings: Settings, *java_options: str, output: IO[bytes] | None = None) -> None:
        """Start the process; it answers later (`wait`).

        Args:
            settings: Heap, jars and folders.
            java_options: More options of its JVM.
            output: Where what it says goes; to this process's own output if not given.
        """
        self.port, self.token = free_port(), secrets.token_urlsafe(24)
        (settings.data_dir / "services" / "spark-local").mkdir(parents=True, exist_ok=True)
        conf = driver_conf(settings, "local[*]", "-XX:MaxMetaspaceSize=512m", *java_options) | {
            "spark.app.name": "retail-connect",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.connect.execute.manager.detachedTimeout": f"{ORPHANED_SECONDS}s",
            "spark.connect.execute.manager.maintenanceInterval": "1s",
            # Stages share sessions, which can't be had again once they are closed.
            "spark.connect.session.manager.defaultSessionTimeout": "-1",
            # A plan may name a table that another stage has changed since it was analysed.
            "spark.connect.session.planCache.enabled": "false",
            # A large run compiles more than 300 classes; the usual 100 would be gone before the next one wants them.
            "spark.sql.codegen.cache.maxEntries": "2000",
        }
        command = submit_command("spark-internal", [], conf, "local[*]")
        self.process = subprocess.Popen(
            [command[0], "--class", MAIN_CLASS, *command[1:]],
            # Not on the command line, which everybody on the machine can read.
            env=submit_environment() | {"SPARK_CONNECT_AUTHENTICATE_TOKEN": self.token},
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        self._version = class_archive(settings).name

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def answers(self) -> bool:
        """Return whether the server opens a connection as gRPC asks; a stopped or overwhelmed one does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.sendall(HTTP2_PREFACE)
                return bool(connection.recv(9))
        except OSError:
            return False

    def wait(self) -> None:
        """Return once the server answers.

        Raises:
            SparkServerUnavailable: If it ends or stays silent.
        """
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            if not self.alive:
                raise SparkServerUnavailable(f"The Spark Connect server ended with code {self.process.returncode}.")
            if time.monotonic() > end:
                self.stop()
                raise SparkServerUnavailable(f"The Spark Connect server was not ready within {START_SECONDS:.0f} s.")
            time.sleep(0.1)

    def address(self, stages_before: int = 0) -> ServerAddress:
        """Return where it answers."""
        return ServerAddress(
            pid=self.process.pid,
            port=self.port,
            token=self.token,
            version=self._version,
            started_at=datetime.now(UTC),
            stages_before=stages_before,
        )

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End the process and whatever it started; kill it if it does not end within `seconds` of being asked to."""
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                return


def record_classes(settings: Settings) -> Path:
    """Record the class-data-sharing archive by a training run of the three stages on a few generated lines.

    Each later JVM starts from memory-mapped classes instead of loading some 20,000 of them from jars.

    Returns:
        The archive. Does nothing if it exists.

    Raises:
        ClassesNotRecorded: If the training run fails.
    """
    archive = class_archive(settings)
    if archive.exists():
        return archive
    partial = archive.with_suffix(".partial")
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as output:
        server = ConnectServer(settings, f'"-XX:ArchiveClassesAtExit={partial}"', output=output)
        try:
            server.wait()
            subprocess.run(
                [sys.executable, "-m", "spark_jobs.training", scratch],
                env=submit_environment() | {"RETAIL_SPARK_REMOTE": server.address().url},
                stdout=output,
                stderr=output,
                check=True,
            )
        except (SparkServerUnavailable, subprocess.CalledProcessError) as error:
            output.seek(0)
            tail = "\n".join(output.read().decode(errors="replace").splitlines()[-30:])
            raise ClassesNotRecorded(f"Spark's classes were not recorded: {error}\nSpark said:\n{tail}") from error
        finally:
            server.stop(RECORDING_SECONDS)
    partial.rename(archive)
    return archive


def address_path(settings: Settings) -> Path:
    """Return the file that says where the server answers."""
    return settings.connect_folder / "address.json"


def running_server(settings: Settings) -> ServerAddress | None:
    """Return where the instance's server answers, None if none runs."""
    try:
        address = ServerAddress.model_validate(json.loads(address_path(settings).read_bytes()))
        os.kill(address.pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return address


def ask_for_server(settings: Settings) -> None:
    """Have the server started if it does not run; returns at once."""
    settings.connect_folder.mkdir(parents=True, exist_ok=True)
    (settings.connect_folder / "wanted").touch()


def usage(settings: Settings) -> IO[bytes]:
    """Return the open file whose lock stages share and the server's keeper wants alone."""
    settings.connect_folder.mkdir(parents=True, exist_ok=True)
    return (settings.connect_folder / "in_use").open("ab")


def is_kept(settings: Settings) -> bool:
    """Return whether a process is there that starts the server when asked to."""
    try:
        with (settings.connect_folder / "kept").open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def server_in_use(settings: Settings, unless: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Yield the address of the instance's server, started if need be; it does not stop until the context ends.

    Args:
        settings: Where the instance is.
        unless: Whether the server is not needed after all, asked while it starts.

    Raises:
        SparkServerNotNeeded: If `unless` says so before the server is there.
        SparkServerUnavailable: If nobody starts it, it does not become ready, or it runs other jars.
    """
    with usage(settings) as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        stream.write(b".")
        stream.flush()
        end = time.monotonic() + START_SECONDS
        while (address := running_server(settings)) is None:
            if unless():
                raise SparkServerNotNeeded
            ask_for_server(settings)
            if not is_kept(settings):
                raise SparkServerUnavailable("Nothing keeps a Spark Connect server here. Start it with `make up`.")
            if time.monotonic() > end:
                raise SparkServerUnavailable(
                    f"The Spark Connect server was not ready within {START_SECONDS:.0f} s; see `make logs`."
                )
            time.sleep(0.1)
        if address.version != class_archive(settings).name:
            raise SparkServerUnavailable("The Spark Connect server runs other jars. Restart: `make stop`, `make up`.")
        yield address.url


if __name__ == "__main__":
    print(record_classes(get_settings()))
