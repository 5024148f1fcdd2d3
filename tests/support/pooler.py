"""A transaction pooler as Supabase has one: pgbouncer, which lends a server connection for one transaction."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from deploy.compose_secrets import self_signed
from deploy.embedded.postgres import unprivileged
from include.lake.connect_server import free_port
from tests.support.waiting import eventually

BINARY = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SERVERS = 2
"""Server connections that all clients share."""

CERTIFIED = "warehouse.example"
"""Host name in the pooler's certificate."""

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
"""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate of `CERTIFIED` and its key, as files."""

    public: Path
    key: Path


def certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "server.crt", folder / "server.key")
    key, public = self_signed(CERTIFIED)
    made.key.write_text(key)
    made.public.write_text(public)
    return made


@contextmanager
def pooler(folder: Path, server: str, *, servers: int = SERVERS, tls: Certificate | None = None) -> Iterator[URL]:
    """Run a pooler before `server`, a URL with user and password; yield the URL that leads through it."""
    assert BINARY is not None
    url = make_url(server)
    port = free_port()
    (folder / "users.txt").write_text(f'"{url.username}" "{url.password}"\n')
    text = CONFIGURATION.format(server_port=url.port, port=port, folder=folder, servers=servers)
    if tls is not None:
        text += f"client_tls_sslmode = require\nclient_tls_cert_file = {tls.public}\nclient_tls_key_file = {tls.key}\n"
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(text)
    log = folder / "pgbouncer.log"
    log.touch()
    log.chmod(0o666)
    process = subprocess.Popen(
        unprivileged([BINARY, "-q", str(configuration)]), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    through = url.set(port=port)
    try:
        _wait(through, log)
        yield through
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(url: URL, log: Path) -> None:
    def answers() -> bool:
        try:
            psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        eventually(answers)
    except AssertionError as error:
        raise RuntimeError(f"pgbouncer does not answer: {log.read_text()}") from error
