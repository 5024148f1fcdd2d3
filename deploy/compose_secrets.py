"""Write deploy/secrets: the secrets of the containers, a file each, generated once.

Usage: python -m deploy.compose_secrets

The folder is its owner's alone; the files in it can be read by whatever user a container has.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.embedded.state import ADMIN, CLI_USER, Secrets
from include.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deploy" / "secrets"
LANDING = PROJECT_ROOT / "data" / "landing"
CERTIFICATE_DAYS = 397
"""Longest life of a certificate that browsers accept (CA/Browser Forum, ballot SC-31)."""


def write(folder: Path) -> str:
    """Write the files; those that are there are in use and stay.

    Returns:
        The generated password of the Airflow user `admin`; empty if it was there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    known = Secrets()
    password = _kept(folder, "postgres_password", known.postgres_password)
    server_key = _kept(folder, "typesense_api_key", known.typesense_api_key)
    _kept(folder, "typesense_search_key", known.typesense_search_key)
    _kept(folder, "typesense_server", f"[server]\napi-key = {server_key}\ndata-dir = /data\nenable-cors = false\n")
    _kept(folder, "database_url", f"postgresql+psycopg://retail:{password}@postgres:5432/warehouse")
    _kept(
        folder, "airflow_database_url", f"postgresql+psycopg2://retail:{password}@postgres:5432/airflow?sslmode=require"
    )
    broker = _kept(folder, "redis_password", secrets.token_urlsafe(24))
    _kept(folder, "redis_config", f"requirepass {broker}\nappendonly yes\ndir /data\n")
    _kept(folder, "celery_broker_url", f"redis://:{broker}@redis:6379/0")
    _kept(folder, "aws_access_key_id", secrets.token_hex(10))
    _kept(folder, "aws_secret_access_key", secrets.token_urlsafe(30))
    _kept(folder, "fernet_key", known.fernet_key)
    _kept(folder, "api_secret_key", known.api_secret_key)
    _kept(folder, "jwt_secret", known.jwt_secret)
    if not (folder / "tls_key").exists():
        key, certificate = self_signed(socket.gethostname())
        _kept(folder, "tls_certificate", certificate)
        _kept(folder, "tls_key", key)
    _kept(folder, "grafana_password", secrets.token_urlsafe(16))
    admin = secrets.token_urlsafe(12)
    users = json.dumps({ADMIN: admin, CLI_USER: _kept(folder, "cli_password", known.cli_password)})
    return admin if _kept(folder, "airflow_users", users) == users else ""


def _kept(folder: Path, name: str, value: str) -> str:
    """Write a file unless it is there; return what it holds."""
    path = folder / name
    if not path.exists():
        path.write_text(value)
        path.chmod(0o644)
    return path.read_text()


def self_signed(host: str) -> tuple[str, str]:
    """Return a key and a certificate for a host and the loopback, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = datetime.now(UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName(host), *addresses]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
    )


def main() -> int:
    """Run the command line."""
    password = write(FOLDER)
    if not LANDING.exists():
        LANDING.mkdir(parents=True)
        # The user of the containers has to take files away that other users put there.
        LANDING.chmod(0o777)
    if password:
        print(f"Wrote {FOLDER}. Airflow user {ADMIN}, password {password}")
    else:
        print(f"{FOLDER} was there already; its secrets are kept, and those it lacked are added.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
