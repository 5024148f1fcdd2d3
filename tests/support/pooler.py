"""A transaction pooler as Supabase has one: pgbouncer, which lends a server connection for one transaction."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import URL, make_url

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
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CERTIFIED)])
    now = datetime.now(UTC)
    names = [x509.DNSName(CERTIFIED), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "server.crt", folder / "server.key")
    made.public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
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
