"""A PostgreSQL of its own, and one that tests may kill, stop and start again."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded.postgres import PostgresServer, PostgresUnavailable
from include.lake.connect_server import free_port
from tests.support.waiting import eventually


@contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    """Yield a running embedded server whose cluster is below `folder`."""
    server = PostgresServer(folder / "cluster", free_port(), secrets.token_urlsafe(16))
    server.initialise()
    with (server.data_dir / "postgresql.conf").open("a") as conf:
        # Processes are killed, never the machine, so the kernel keeps what they wrote. With it on, a start after a kill
        # flushes every file of every database: some 20 s in a long session of tests.
        conf.write("fsync = off\n")
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Victim:
    """An embedded server whose processes take signals."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._process: subprocess.Popen[bytes] | None = None

    def _postmaster(self) -> int:
        return int((self.server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def processes(self) -> list[int]:
        """Return the server's processes, the postmaster first."""
        postmaster = self._postmaster()
        found = [postmaster]
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == postmaster:
                found.append(int(status.parent.name))
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""
        if number is signal.SIGSTOP:
            # Stopped first, the postmaster forks no process that the list would lack and that would go on answering.
            os.kill(self._postmaster(), number)
        for process in self.processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """End the server as a power cut would, and wait until it is gone."""
        self.signal(signal.SIGSTOP)
        processes = self.processes()
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)  # a postmaster that nobody has waited for counts as running
        eventually(lambda: not any(_alive(process) for process in processes))

    def start(self) -> None:
        """Start the server, as a supervisor does: again if it ends at once.

        PostgreSQL (bug 17731) refuses the first start after a crash soon after an unlogged table was dropped.
        """
        for _ in range(3):
            log = self.server.data_dir.parent / "victim.log"
            with log.open("ab") as output:
                process = subprocess.Popen(
                    self.server.command(), stdout=output, stderr=output, cwd="/", start_new_session=True
                )
            while process.poll() is None:
                try:
                    self.server.wait(0)
                except PostgresUnavailable:
                    time.sleep(0.1)
                else:
                    self._process = process
                    return
        raise PostgresUnavailable("The server does not start.")

    @contextmanager
    def down(self) -> Iterator[None]:
        """Have the server down during the block."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have every process of the server stopped, not dead, during the block."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
