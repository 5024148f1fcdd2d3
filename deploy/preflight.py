"""What has to be right before the containers start: one sentence for each thing that is not.

Usage: python -m deploy.preflight; ends with 1 if something is wrong.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from deploy.databases import server_of
from deploy.embedded.addresses import settings_problem
from include.settings import Settings, get_settings
from include.warehouse import problems as warehouse_problems

SECRETS = {
    "fernet_key": "AIRFLOW__CORE__FERNET_KEY",
    "api_secret_key": "AIRFLOW__API__SECRET_KEY",
    "jwt_secret": "AIRFLOW__API_AUTH__JWT_SECRET",
    "airflow_database_url": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "database_url": "DATABASE_URL",
    "typesense_api_key": "TYPESENSE_API_KEY",
    "typesense_search_key": "TYPESENSE_SEARCH_KEY",
}
"""File in `RETAIL_SECRETS_DIR` -> the variable that may hold the secret instead."""

URLS = ("airflow_database_url", "database_url")
OUR_SERVER = "postgres"
"""The passwords of other servers are their owner's business."""

MIN_LENGTH = 16
MIN_DIFFERENT = 8
KNOWN_WORDS = ("password", "changeme", "secret", "admin", "123456", "qwerty")
"""What a secret must not contain, besides having so many characters, and so many different ones."""

STRONG = f"take at least {MIN_LENGTH} random characters"
SOON = timedelta(days=14)


def folder_of_secrets() -> Path:
    """Return where containers find their secrets, a file each."""
    return Path(os.environ.get("RETAIL_SECRETS_DIR", "/run/secrets"))


def secret(name: str) -> str:
    """Return a secret from its file or variable; empty if there is neither."""
    path = folder_of_secrets() / name
    return path.read_text().strip() if path.is_file() else os.environ.get(SECRETS.get(name, ""), "").strip()


def problems(settings: Settings) -> Iterator[str]:
    """Yield a sentence, with its remedy, for each thing that would keep the system from working safely."""
    unreadable = list(unreadable_secrets())
    if unreadable:
        yield from unreadable
        return
    yield from secret_problems(settings)
    yield from password_problems()
    yield from certificate_problems()
    yield from folder_problems(settings)
    yield from warehouse_problems(settings)
    if url := secret("airflow_database_url"):
        yield from database_problems(url)


def unreadable_secrets() -> Iterator[str]:
    """Yield the files of secrets that this user may not read."""
    for path in sorted(folder_of_secrets().glob("*")):
        try:
            path.read_bytes()
        except OSError as error:
            yield (
                f"User {os.getuid()} cannot read the secret {path.name} ({error.strerror}): make its file readable "
                "to the containers (`chmod a+r`) in a folder that only you may enter."
            )


def is_weak(value: str) -> bool:
    """Return whether a secret is too short, or made of what everybody tries."""
    known = any(word in value.lower() for word in KNOWN_WORDS)
    return len(value) < MIN_LENGTH or len(set(value)) < MIN_DIFFERENT or known


def secret_problems(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the secrets: missing, easy to guess, or no key at all."""
    for name in SECRETS:
        value, ours = secret(name), True
        if name in URLS and value:
            try:
                url = make_url(value)
            except ArgumentError:
                yield f"Secret {name} is not the URL of a database."
                continue
            value, ours = url.password or "", url.host == OUR_SERVER
        if not ours or (name == "database_url" and settings.database_type == "sqlite"):
            continue
        if name.startswith("typesense") and not settings.typesense_nodes:
            continue
        if not value:
            yield f"Secret {name} is missing or empty: run `make compose-secrets`, or give {SECRETS[name]}."
        elif is_weak(value):
            yield f"Secret {name} is easy to guess: {STRONG}, as `make compose-secrets` does."
        elif name == "fernet_key":
            try:
                Fernet(value)
            except ValueError:
                yield "Secret fernet_key is no Fernet key: it has to be 32 bytes in URL-safe base64."


def password_problems() -> Iterator[str]:
    """Yield what is wrong with the first passwords of Airflow's users."""
    text = secret("airflow_users")
    if not text:
        return
    try:
        passwords: dict[str, str] = json.loads(text)
    except ValueError:
        yield 'Secret airflow_users cannot be read: it has to be JSON such as {"admin": "..."}.'
        return
    for user, password in passwords.items():
        if is_weak(password):
            yield f"The password of user {user} in secret airflow_users is easy to guess: {STRONG}."


def certificate_problems() -> Iterator[str]:
    """Yield what is wrong with the certificate of the HTTPS address, if there is one."""
    text, key = secret("tls_certificate"), secret("tls_key")
    if not text:
        return
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        matches = load_pem_private_key(key.encode(), None).public_key() == certificate.public_key()
    except (ValueError, TypeError) as error:
        yield f"The certificate or its key cannot be read ({error}): both have to be PEM, the key without a password."
        return
    if not matches:
        yield "The certificate and its key do not belong together: give RETAIL_TLS_CERTIFICATE and RETAIL_TLS_KEY."
    ends = certificate.not_valid_after_utc
    if ends < datetime.now(UTC):
        yield (
            f"The certificate expired on {ends:%Y-%m-%d}: give a new one in RETAIL_TLS_CERTIFICATE and RETAIL_TLS_KEY, "
            "or delete deploy/secrets/tls_certificate and tls_key and run `make compose-secrets`; then restart nginx."
        )
    elif ends < datetime.now(UTC) + SOON:
        print(f"The certificate ends on {ends:%Y-%m-%d}; renew it in time.", file=sys.stderr)


def folder_problems(settings: Settings) -> Iterator[str]:
    """Yield the folders that this user cannot write to."""
    for folder in (settings.data_dir, settings.data_dir / "landing"):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            yield (
                f"User {os.getuid()} cannot write to {folder} ({error.strerror}): give it the folder or volume, "
                f"for example with `chown {os.getuid()}`, or `chmod a+rwx` for a landing folder that others fill."
            )


def database_problems(url: str) -> Iterator[str]:
    """Yield why Airflow's database server cannot be used."""
    target = make_url(url)
    try:
        psycopg.connect(server_of(target), connect_timeout=10).close()
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[-1]
        yield (
            f"The server of Airflow's database, {target.host}, does not let us in ({said}): "
            "start it, or correct airflow_database_url."
        )


def main() -> int:
    """Print what is wrong; return 1 if something is."""
    try:
        found = list(problems(get_settings()))
    except ValidationError as error:
        found = [settings_problem(error)]
    for sentence in found:
        print(sentence, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
