"""Keep the Spark Connect server: start it when a stage asks for it, stop it when it is idle, old or silent.

`python -m deploy.embedded.spark_server`; the supervisor runs it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from include.files import write_atomically
from include.lake.connect_server import (
    STOP_SECONDS,
    ConnectServer,
    ServerAddress,
    SparkServerUnavailable,
    address_path,
    usage,
)
from include.settings import Settings, get_settings

POLL_SECONDS = 0.2
HEALTH_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""A server that has not answered for so long, a garbage collection included, is killed."""

RETRY_SECONDS = 5.0

log = logging.getLogger("spark_server")


class Stopping(Exception):
    """The supervisor asks this process to end."""


class Keeper:
    """Starts and stops the server of one instance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.wanted = settings.connect_folder / "wanted"
        self.server: ConnectServer | None = None
        self.address: ServerAddress | None = None
        self.used_at = self.answered_at = self.checked_at = 0.0

    def run(self) -> None:
        """Look after the server until the process is told to end."""
        try:
            while True:
                self.step()
                time.sleep(POLL_SECONDS)
        finally:
            if self.server:
                self.stop("Airflow stops")

    def step(self) -> None:
        """Start the server if it is wanted, stop it if it should not run on."""
        if self.server is None:
            if self.wanted.exists():
                self.start()
        elif not self.server.alive:
            self.stop(f"it ended with code {self.server.process.returncode}")
        elif not self._answers():
            self.stop(f"it did not answer for {SILENT_SECONDS:.0f} s", patience=0)
        else:
            self._stop_if_due()

    def start(self) -> None:
        """Start the server and say where it answers."""
        self.server = ConnectServer(self.settings)
        try:
            self.server.wait()
        except SparkServerUnavailable as error:
            log.error("%s", error)
            self.server = None
            time.sleep(RETRY_SECONDS)
            return
        self.wanted.unlink(missing_ok=True)
        self.address = self.server.address(self._stages())
        write_atomically(address_path(self.settings), self.address.model_dump_json(), 0o600)
        self.used_at = self.answered_at = time.monotonic()
        log.info("Spark Connect server %d is ready on port %d", self.address.pid, self.address.port)

    def stop(self, reason: str, patience: float = STOP_SECONDS) -> None:
        """End the server; kill it after so many seconds."""
        log.info("Stopping the Spark Connect server: %s", reason)
        address_path(self.settings).unlink(missing_ok=True)
        if self.server:
            self.server.stop(patience)
        self.server = self.address = None

    def _answers(self) -> bool:
        now = time.monotonic()
        if now - self.checked_at >= HEALTH_SECONDS:
            self.checked_at = now
            if self.server and self.server.answers():
                self.answered_at = time.monotonic()
        return now - self.answered_at < SILENT_SECONDS

    def _stages(self) -> int:
        with usage(self.settings) as stream:
            return os.fstat(stream.fileno()).st_size

    def _stop_if_due(self) -> None:
        """Stop a server that no stage uses, if it has been idle for long, or has grown old and is idle just now."""
        assert self.address is not None
        with unused(self.settings) as free:
            if not free or self.wanted.exists():
                self.wanted.unlink(missing_ok=True)
                self.used_at = time.monotonic()
                return
            idle = time.monotonic() - self.used_at
            stages = self._stages() - self.address.stages_before
            if idle > self.settings.spark_idle_seconds:
                self.stop(f"idle for {idle:.0f} s")
            elif stages >= self.settings.spark_stages and idle > HEALTH_SECONDS:
                self.stop(f"it has run {stages} stages")


@contextmanager
def unused(settings: Settings) -> Iterator[bool]:
    """Yield whether no stage uses the server; as long as the context lasts none begins to."""
    with usage(settings) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _end(number: int, frame: FrameType | None) -> None:
    raise Stopping


def main() -> None:
    """Run the keeper until it is told to end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = get_settings()
    settings.connect_folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _end)
    with (settings.connect_folder / "kept").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        address_path(settings).unlink(missing_ok=True)
        try:
            Keeper(settings).run()
        except Stopping:
            log.info("Stopped")


if __name__ == "__main__":
    main()
