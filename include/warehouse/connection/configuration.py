"""Whether the settings of the warehouse's server can work, found out before anything connects.

Each problem is one sentence or two that name the variable and the remedy. None repeats a value that may hold a secret.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from include.settings import Settings

POOLER_PORT = 6543
"""Port of Supabase's transaction pooler."""

TLS_MODES = ("require", "verify-ca", "verify-full")
"""Values of sslmode that never speak unencrypted, the weakest first."""

SYSTEM_CERTIFICATES = "system"
"""Value of sslrootcert that stands for the certificate authorities the operating system trusts."""

_SSL_MODES = ("disable", "allow", "prefer", *TLS_MODES)
_DIALECTS = {"postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"}
_EXAMPLE = "for example postgresql+psycopg://user:password@127.0.0.1:5432/warehouse"
_MISPLACED = {
    "user": "write it before the host, as in user:password@host",
    "password": "write it before the host, as in user:password@host",
    "sslpassword": "use a key without a passphrase, readable by its owner only",
    "service": "write host, port and database into the URL",
}
"""Query parameter of DATABASE_URL that is not taken -> what to do instead."""

_SUPABASE_SCHEMAS = {"auth", "extensions", "graphql", "graphql_public", "public", "realtime", "storage", "vault"}
_PROJECT_DOMAIN = ".supabase.co"
_SHARED_POOLER_DOMAIN = ".pooler.supabase.com"
_KEYS = {
    "SUPABASE_ANON_KEY": ("anon", "sb_publishable_", "the anon or publishable key"),
    "SUPABASE_SERVICE_KEY": ("service_role", "sb_secret_", "the service_role or secret key"),
}
"""Variable -> role in the key, if it is a token; prefix, if it is not; its name in Supabase's dashboard."""


def problems(settings: Settings) -> list[str]:
    """Return what is wrong with the settings of the warehouse's server; nothing if they can work."""
    if settings.database_type == "sqlite":
        return list(_sqlite_problems(settings))
    try:
        url = read_url(settings)
    except ValueError as error:
        return [str(error), *_supabase_problems(settings, None)]
    return [*_url_problems(url), *_schema_problems(settings), *_supabase_problems(settings, url)]


def read_url(settings: Settings) -> URL:
    """Return DATABASE_URL with psycopg as its driver.

    Raises:
        ValueError: If it is missing or is no PostgreSQL URL; the value is not repeated.
    """
    value = settings.database_url.get_secret_value()
    if not value:
        raise ValueError(f"DATABASE_URL is not set: give the URL of the warehouse, {_EXAMPLE}.")
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(f"DATABASE_URL cannot be read as a URL: it has to look like {_EXAMPLE}.") from None
    if "@" in (url.host or ""):  # part of the password is taken for the host, which messages name
        raise ValueError("DATABASE_URL has an @ in the user or password: write it as %40.")
    if url.drivername not in _DIALECTS or not url.database:
        raise ValueError(f"DATABASE_URL does not name a PostgreSQL database: it has to look like {_EXAMPLE}.")
    return url.set(drivername="postgresql+psycopg")


def server_url(settings: Settings) -> URL:
    """Return DATABASE_URL with the host and the TLS mode it leaves out: this machine, and `require` for any other.

    Raises:
        ValueError: If it is missing or is no PostgreSQL URL; the value is not repeated.
    """
    url = read_url(settings)
    if not _hosts(url, "host"):
        url = url.set(host="localhost")
    if "sslmode" not in url.query and not is_local(url):
        url = url.update_query_dict({"sslmode": TLS_MODES[0]})
    return url


def is_local(url: URL) -> bool:
    """Return whether a URL leads to this machine: a loopback address or a Unix socket."""
    return all(map(_is_local_host, _hosts(url, "host", "hostaddr")))


def transaction_pooler(settings: Settings, url: URL) -> bool:
    """Return whether a transaction pooler is to be expected between us and the server."""
    if settings.database_pooler == "auto":
        return url.port == POOLER_PORT
    return settings.database_pooler == "transaction"


def masked(settings: Settings) -> dict[str, str]:
    """Return the settings of the warehouse's server by variable, fit to be shown: secrets are `***`."""
    shown: dict[str, Any] = {
        "DATABASE_TYPE": settings.database_type,
        "DATABASE_URL": _masked_url(settings),
        "DATABASE_POOLER": settings.database_pooler,
        "DATABASE_POOL_SIZE": settings.database_pool_size,
        "DATABASE_CONNECT_TIMEOUT": settings.connect_timeout_seconds,
        "DATABASE_STATEMENT_TIMEOUT": settings.statement_timeout_seconds,
        "DATABASE_LOCK_TIMEOUT": settings.lock_timeout_seconds,
        "SUPABASE_URL": settings.supabase_url,
        "SUPABASE_ANON_KEY": settings.supabase_anon_key,
        "SUPABASE_SERVICE_KEY": settings.supabase_service_key,
        "SUPABASE_SCHEMA": settings.warehouse_schema,
        "SUPABASE_ANON_ACCESS": settings.supabase_anon_access,
        "ENABLE_SUPABASE_RLS": str(settings.enable_supabase_rls).lower(),
        "RETAIL_STAGING_SCHEMA": settings.staging_schema,
    }
    return {
        name: ("***" if value.get_secret_value() else "") if isinstance(value, SecretStr) else str(value)
        for name, value in shown.items()
    }


def _masked_url(settings: Settings) -> str:
    try:
        url = read_url(settings)
    except ValueError:
        return "***" if settings.database_url.get_secret_value() else ""
    hidden = {name: "***" for name in url.query if name in _MISPLACED}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _hosts(url: URL, *parameters: str) -> list[str]:
    found = [url.host or ""]
    for name in parameters:
        values = url.query.get(name, ())
        found += [values] if isinstance(values, str) else values
    return [host for value in found for host in value.split(",") if host]


def _is_local_host(host: str) -> bool:
    if host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _url_problems(url: URL) -> Iterator[str]:
    repeated = [name for name, value in url.query.items() if not isinstance(value, str)]
    if repeated:
        yield f"DATABASE_URL states {', '.join(repeated)} more than once: state it once."
        return
    if len(_hosts(url, "host")) > 1:
        yield "DATABASE_URL names several hosts: name one."
    for name, remedy in _MISPLACED.items():
        if name in url.query:
            yield f"DATABASE_URL has the parameter {name}, which is not taken: {remedy}."
    mode = str(url.query.get("sslmode", ""))
    if mode and mode not in _SSL_MODES:
        yield f"DATABASE_URL has an unknown sslmode: use one of {', '.join(_SSL_MODES)}."
    elif mode and mode not in TLS_MODES and not is_local(url):
        yield (
            f"DATABASE_URL asks for sslmode={mode}, which may send passwords and data unencrypted to another machine: "
            "leave sslmode out for require, or say verify-full with sslrootcert."
        )
    yield from _certificate_problems(url, mode)


def _certificate_problems(url: URL, mode: str) -> Iterator[str]:
    root = str(url.query.get("sslrootcert", ""))
    if root == SYSTEM_CERTIFICATES and mode != "verify-full":
        yield "DATABASE_URL has sslrootcert=system, which needs sslmode=verify-full: say both."
    default = Path.home() / ".postgresql" / "root.crt"
    if mode.startswith("verify") and not root and not default.is_file():
        yield (
            f"DATABASE_URL asks for sslmode={mode} without saying whose certificates to trust: "
            "add sslrootcert=/path/to/ca.crt, or sslrootcert=system with sslmode=verify-full."
        )
    for name in ("sslrootcert", "sslcert", "sslkey"):
        path = str(url.query.get(name, ""))
        if path and path != SYSTEM_CERTIFICATES and not Path(path).is_file():
            yield f"DATABASE_URL names {name}={path}, which is no file here: correct the path."


def _schema_problems(settings: Settings) -> Iterator[str]:
    if settings.warehouse_schema == settings.staging_schema:
        yield (
            f"Warehouse and staging share the schema {settings.warehouse_schema}: "
            "set RETAIL_STAGING_SCHEMA to another name."
        )


def _sqlite_problems(settings: Settings) -> Iterator[str]:
    if settings.database_url.get_secret_value():
        yield (
            "DATABASE_TYPE is sqlite but DATABASE_URL is set: remove DATABASE_URL, "
            "or set DATABASE_TYPE to postgresql or supabase."
        )


def _supabase_problems(settings: Settings, url: URL | None) -> Iterator[str]:
    if settings.database_type != "supabase":
        if url is not None and (url.host or "").lower().endswith((_PROJECT_DOMAIN, _SHARED_POOLER_DOMAIN)):
            yield (
                "DATABASE_URL leads to Supabase though DATABASE_TYPE is postgresql, which leaves its tables without "
                "row-level security: set DATABASE_TYPE to supabase."
            )
        return
    api = urlsplit(settings.supabase_url)
    host = api.hostname or ""
    if not host:
        yield (
            "SUPABASE_URL is not set though DATABASE_TYPE is supabase: give the address of the project, such as "
            "https://abcdefghijklmnopqrst.supabase.co."
        )
    elif api.scheme == "http" and not _is_local_host(host):
        yield "SUPABASE_URL would send keys unencrypted: let it begin with https://."
    project = host.removesuffix(_PROJECT_DOMAIN) if host.endswith(_PROJECT_DOMAIN) else None
    if url is not None:
        yield from _project_problems(url, project)
    keys = {"SUPABASE_ANON_KEY": settings.supabase_anon_key, "SUPABASE_SERVICE_KEY": settings.supabase_service_key}
    for variable, key in keys.items():
        if key.get_secret_value():
            yield from _key_problems(variable, key.get_secret_value(), project)
    for variable, schema in (
        ("SUPABASE_SCHEMA", settings.warehouse_schema),
        ("RETAIL_STAGING_SCHEMA", settings.staging_schema),
    ):
        if schema in _SUPABASE_SCHEMAS:
            yield f"{variable} is {schema}, which holds what is not the warehouse's: give the warehouse its own schema."


def _project_problems(url: URL, project: str | None) -> Iterator[str]:
    host, user = (url.host or "").lower(), url.username or ""
    if host.endswith(_SHARED_POOLER_DOMAIN):
        _, _, connected = user.partition(".")
        if not connected:
            yield (
                "DATABASE_URL leads to Supabase's shared pooler, which finds the project by the user: "
                "write the user as postgres.<project>."
            )
            return
    elif host.startswith("db.") and host.endswith(_PROJECT_DOMAIN):
        connected = host.removeprefix("db.").removesuffix(_PROJECT_DOMAIN)
    else:
        return
    if project and connected != project:
        yield (
            f"DATABASE_URL leads to the project {connected} but SUPABASE_URL to {project}: "
            "copy both from the same project's settings."
        )


def _key_problems(variable: str, key: str, project: str | None) -> Iterator[str]:
    role, prefix, name = _KEYS[variable]
    claims = _claims(key)
    if claims is None:
        if not key.startswith(prefix):
            yield f"{variable} does not look like one of Supabase's: copy {name} from the project's API settings."
        return
    if claims.get("role") != role:
        yield f"{variable} is a key of another role: copy {name} from the project's API settings."
    elif project and claims.get("ref", project) != project:
        yield f"{variable} is a key of another project than SUPABASE_URL: copy {name} from that project's API settings."


def _claims(key: str) -> dict[str, Any] | None:
    """Return what a JSON Web Token says, without checking who signed it; None if the key is no token."""
    parts = key.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
