"""Connections to the warehouse, and errors that say in one sentence what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, OperationalError

from include.settings import Settings
from include.warehouse.tables import MODEL_SCHEMA

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30
LOCK_TIMEOUT_SECONDS = 10
APPLICATION_NAME = "retail-lakehouse"

_DIALECTS = {"postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"}
_DEFAULT_PORT = 5432


class WarehouseUnavailable(Exception):
    """The warehouse is not configured or cannot be reached; the message names where it was looked for."""


def warehouse_url(settings: Settings) -> URL:
    """Return the warehouse's URL with psycopg as its driver.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is missing or is no PostgreSQL URL; the value is not repeated.
    """
    value = settings.database_url.get_secret_value().strip()
    example = "for example postgresql+psycopg://user:password@127.0.0.1:5432/warehouse"
    if not value:
        raise WarehouseUnavailable(f"DATABASE_URL is not set: give the URL of the warehouse, {example}.")
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise WarehouseUnavailable(f"DATABASE_URL cannot be read as a URL: it has to look like {example}.") from None
    if url.drivername not in _DIALECTS or not url.database:
        raise WarehouseUnavailable(f"DATABASE_URL does not name a PostgreSQL database: it has to look like {example}.")
    return url.set(drivername="postgresql+psycopg")


def place(url: URL) -> str:
    """Return `host:port, database "name"` of a URL, for messages."""
    return f'{url.host or "localhost"}:{url.port or _DEFAULT_PORT}, database "{url.database}"'


def make_engine(settings: Settings, *, pool_size: int = 5, ping: bool = True) -> Engine:
    """Return an engine whose statements on the warehouse's tables go to the configured schema.

    Statements are never prepared on the server, so a transaction pooler may stand in between. Nothing is connected yet;
    the first use raises `WarehouseUnavailable` if the server does not answer.

    Args:
        settings: Names the server and the schema.
        pool_size: Connections kept open; as many again are opened when all are busy.
        ping: Check a pooled connection before it is used.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is missing or unusable.
    """
    url = warehouse_url(settings)
    defaults: dict[str, str | int] = {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": APPLICATION_NAME,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    engine = create_engine(
        url,
        connect_args={name: value for name, value in defaults.items() if name not in url.query}
        | {"prepare_threshold": None},
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_recycle=1800,
        pool_pre_ping=ping,
        execution_options={"schema_translate_map": {MODEL_SCHEMA: settings.warehouse_schema}},
    )

    @event.listens_for(engine, "handle_error")
    def explain_failed_connection(context: ExceptionContext) -> None:
        connecting = context.connection is None and not context.is_pre_ping
        if connecting and isinstance(context.sqlalchemy_exception, OperationalError):
            reason = str(context.original_exception).strip().splitlines()[0].rstrip(".")
            raise WarehouseUnavailable(f"No connection to the warehouse at {place(url)}: {reason}.")

    return engine


@contextmanager
def open_engine(settings: Settings, *, pool_size: int = 5) -> Iterator[Engine]:
    """Yield `make_engine`'s engine; its connections are closed on leaving."""
    engine = make_engine(settings, pool_size=pool_size)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def transaction(
    engine: Engine,
    *,
    statement_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> Iterator[Connection]:
    """Yield a connection in a transaction that is committed on leaving, rolled back on an exception.

    The timeouts hold for this transaction only, which is right behind a pooler too; SQLite has none.

    Raises:
        WarehouseUnavailable: If the server cannot be reached.
    """
    with engine.begin() as connection:
        local = {
            "statement_timeout": statement_timeout_seconds,
            "lock_timeout": lock_timeout_seconds,
        }
        for name, seconds in local.items() if engine.dialect.name == "postgresql" else ():
            set_local(connection, name, f"{round(seconds * 1000)}ms")
        yield connection


def set_local(connection: Connection, name: str, value: str) -> None:
    """Set a configuration parameter until the end of the transaction."""
    connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})


def advisory_lock(connection: Connection, key: int) -> None:
    """Wait for the advisory lock `key` (a signed 64-bit integer) and hold it until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
