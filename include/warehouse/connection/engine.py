"""Connections to the warehouse, and errors that say in one sentence what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from include.settings import Settings
from include.warehouse.connection.configuration import problems, server_url
from include.warehouse.schema.tables import MODEL_SCHEMA

APPLICATION_NAME = "retail-lakehouse"

_DEFAULT_PORT = 5432
_STATEMENT_TIMEOUT = "retail_statement_timeout_seconds"
_LOCK_TIMEOUT = "retail_lock_timeout_seconds"
"""Execution options of an engine: the limits of a transaction that states none."""


class WarehouseUnavailable(Exception):
    """The warehouse is not configured or cannot be reached; the message names where it was looked for."""


class WarehouseMisconfigured(WarehouseUnavailable):
    """The settings of the warehouse cannot work; the message names the variables and what to do about each."""


def warehouse_url(settings: Settings) -> URL:
    """Return the warehouse's URL with psycopg as its driver, and TLS where it leads to another machine.

    Raises:
        WarehouseMisconfigured: If the settings name no PostgreSQL or cannot work; secrets are not repeated.
    """
    if settings.database_type == "sqlite":
        raise WarehouseMisconfigured(
            "DATABASE_TYPE is sqlite, so there is no PostgreSQL warehouse: "
            "set DATABASE_TYPE to postgresql or supabase, and DATABASE_URL to its URL."
        )
    found = problems(settings)
    if found:
        raise WarehouseMisconfigured(" ".join(found))
    return server_url(settings)


def place(url: URL) -> str:
    """Return `host:port, database "name"` of a URL, for messages."""
    return f'{url.host or "localhost"}:{url.port or _DEFAULT_PORT}, database "{url.database}"'


def make_engine(settings: Settings, *, pool_size: int | None = None, ping: bool = True) -> Engine:
    """Return an engine whose statements on the warehouse's tables go to the configured schema.

    Statements are never prepared on the server, so a transaction pooler may stand in between. Nothing is connected yet;
    the first use raises `WarehouseUnavailable` if the server does not answer.

    Args:
        settings: Names the server and the schema, and says how long what may take.
        pool_size: Connections kept open, as the settings say if not given; as many again are opened when all are busy.
        ping: Check a pooled connection before it is used.

    Raises:
        WarehouseMisconfigured: If the settings cannot work.
    """
    url = warehouse_url(settings)
    size = pool_size or settings.database_pool_size
    defaults: dict[str, str | int] = {
        "connect_timeout": settings.connect_timeout_seconds,
        "application_name": APPLICATION_NAME,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    engine = create_engine(
        url,
        connect_args={name: value for name, value in defaults.items() if name not in url.query}
        | {"prepare_threshold": None},
        pool_size=size,
        max_overflow=size,
        pool_timeout=10,
        pool_recycle=1800,
        pool_pre_ping=ping,
        execution_options={
            "schema_translate_map": {MODEL_SCHEMA: settings.warehouse_schema},
            _STATEMENT_TIMEOUT: settings.statement_timeout_seconds,
            _LOCK_TIMEOUT: settings.lock_timeout_seconds,
        },
    )

    @event.listens_for(engine, "handle_error")
    def explain_failed_connection(context: ExceptionContext) -> None:
        connecting = context.connection is None and not context.is_pre_ping
        if connecting and isinstance(context.sqlalchemy_exception, OperationalError):
            reason = str(context.original_exception).strip().splitlines()[0].rstrip(".")
            raise WarehouseUnavailable(f"No connection to the warehouse at {place(url)}: {reason}.")

    return engine


@contextmanager
def open_engine(settings: Settings, *, pool_size: int | None = None) -> Iterator[Engine]:
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
    statement_timeout_seconds: float | None = None,
    lock_timeout_seconds: float | None = None,
) -> Iterator[Connection]:
    """Yield a connection in a transaction that is committed on leaving, rolled back on an exception.

    The timeouts, as the settings say if not given, hold for this transaction only, which is right behind a pooler too;
    SQLite has none.

    Raises:
        WarehouseUnavailable: If the server cannot be reached.
    """
    with engine.begin() as connection:
        limits = engine.get_execution_options()
        local = {
            "statement_timeout": statement_timeout_seconds or limits.get(_STATEMENT_TIMEOUT),
            "lock_timeout": lock_timeout_seconds or limits.get(_LOCK_TIMEOUT),
        }
        for name, seconds in local.items() if engine.dialect.name == "postgresql" else ():
            if seconds is not None:
                set_local(connection, name, f"{round(seconds * 1000)}ms")
        yield connection


def set_local(connection: Connection, name: str, value: str) -> None:
    """Set a configuration parameter until the end of the transaction."""
    connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value})


def advisory_lock(connection: Connection, key: int) -> None:
    """Wait for the advisory lock `key` (a signed 64-bit integer) and hold it until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
