"""Where the Gold job loads a batch before it is published: one table for each table of the star and batch.

Made by `create_staging`, the tables have the star's exact column types, no constraints and no write-ahead log: they are
filled in one go, read once and dropped by the publishing transaction. A server crash empties them, which publishing
notices and refuses; running the Gold job again refills them.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from math import ceil
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    Table,
    inspect,
    text,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable, DropTable, SetTableComment

from include.settings import Settings
from include.warehouse.connection.configuration import SYSTEM_CERTIFICATES, transaction_pooler
from include.warehouse.connection.engine import APPLICATION_NAME, WarehouseMisconfigured, transaction, warehouse_url
from include.warehouse.schema.tables import STAR, loaded_columns

log = logging.getLogger(__name__)

BATCH_ID = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")
KEPT = timedelta(days=7)
"""How long the staging of a batch that was never published is kept."""

JDBC_BATCH_ROWS = 10_000

_STAGED_AT = "staged at "
_LEFTOVER = re.compile(rf"(?:{'|'.join(STAR)})__(?P<batch>[0-9]{{8}}t[0-9]{{6}}_[0-9a-f]{{8}})")
_CARRIED_OVER = {
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "connect_timeout": "connectTimeout",
}
"""libpq parameter of DATABASE_URL -> the JDBC driver's name for it."""

_ANSWER_SECONDS = 30
"""How much longer than a statement may take a silent server is listened to."""


def batch_key(batch_id: str) -> str:
    """Return the batch id as it appears in table names.

    Raises:
        ValueError: If it is not `YYYYMMDDTHHMMSS-xxxxxxxx`; it becomes part of SQL.
    """
    if not BATCH_ID.fullmatch(batch_id):
        raise ValueError(f"{batch_id!r} is not a batch id such as 20101201T082600-0a1b2c3d")
    return batch_id.lower().replace("-", "_")


def staging_table(table: str, batch_id: str) -> str:
    """Return the name, in the staging schema, of the table that stages `table` of a batch."""
    if table not in STAR:
        raise ValueError(f"{table!r} is not one of {', '.join(STAR)}")
    return f"{table}__{batch_key(batch_id)}"


def qualified_staging_table(settings: Settings, table: str, batch_id: str) -> str:
    """Return `schema.table` as Spark's `dbtable` option takes it."""
    return f"{settings.staging_schema}.{staging_table(table, batch_id)}"


def staged(settings: Settings, table: str, batch_id: str, comment: str | None = None) -> Table:
    """Return the staging table of `table` for building statements, with the columns a load fills and their types."""
    return Table(
        staging_table(table, batch_id),
        MetaData(),
        *[Column(column.name, column.type) for column in loaded_columns(table)],
        schema=settings.staging_schema,
        prefixes=["UNLOGGED"],
        comment=comment,
    )


def staging_present(connection: Connection, settings: Settings, batch_id: str) -> dict[str, bool]:
    """Return for each table of the star whether its staging table exists."""
    found = set(inspect(connection).get_table_names(schema=settings.staging_schema))
    return {table: staging_table(table, batch_id) in found for table in STAR}


def create_staging(engine: Engine, settings: Settings, batch_id: str) -> None:
    """Make the empty staging tables of a batch, dropping what an earlier attempt left.

    Spark then fills them with mode `overwrite` and option `truncate`, or mode `append`.

    Raises:
        WarehouseUnavailable: If the server cannot be reached.
    """
    comment = f"{_STAGED_AT}{datetime.now(UTC).isoformat(timespec='seconds')}"
    with transaction(engine) as connection:
        for name in STAR:
            table = staged(settings, name, batch_id, comment)
            connection.execute(DropTable(table, if_exists=True))
            connection.execute(CreateTable(table))
            connection.execute(SetTableComment(table))


def drop_staging(connection: Connection, settings: Settings, batch_id: str) -> None:
    """Drop the staging tables of a batch."""
    for name in STAR:
        connection.execute(DropTable(staged(settings, name, batch_id), if_exists=True))


def purge_staging(engine: Engine, settings: Settings, older_than: timedelta = KEPT) -> list[str]:
    """Drop staging tables that no publish has come for, oldest first.

    Age counts from when `create_staging` made the table, or from the claim time in the batch id if another hand did.
    A table that somebody is using is left for the next purge, with a warning in the log.

    Args:
        engine: From `make_engine`.
        settings: Names the staging schema.
        older_than: Younger tables are kept.

    Returns:
        Names of the dropped tables.
    """
    with transaction(engine) as connection:
        query = text(
            "SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relkind = 'r' ORDER BY 1"
        )
        tables = connection.execute(query, {"schema": settings.staging_schema}).all()
        now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    dropped = []
    for name, comment in tables:
        made = _made_at(name, comment)
        if made is None or now - made <= older_than:
            continue
        try:
            # One transaction each: dropping holds a lock on every table, and the lock table is of fixed size.
            with transaction(engine, lock_timeout_seconds=1) as connection:
                connection.execute(DropTable(Table(name, MetaData(), schema=settings.staging_schema), if_exists=True))
        except OperationalError as error:
            log.warning("Staging table %s is left for the next purge: %s", name, error.orig)
        else:
            log.info("Dropped staging table %s, made %s", name, made)
            dropped.append(name)
    return dropped


def _made_at(name: str, comment: str | None) -> datetime | None:
    found = _LEFTOVER.fullmatch(name)
    if not found:
        return None
    if comment and comment.startswith(_STAGED_AT):
        return datetime.fromisoformat(comment.removeprefix(_STAGED_AT))
    return datetime.strptime(found["batch"][:15], "%Y%m%dt%H%M%S").replace(tzinfo=UTC)


def jdbc_options(settings: Settings) -> tuple[str, dict[str, str]]:
    """Return URL and properties for `DataFrameWriter.jdbc`.

    The URL holds host, port and database only, since Spark prints it; user and password are properties, which Spark
    redacts. TLS and limits are those of `make_engine`. Behind a transaction pooler nothing is prepared on the server or
    set for a session.

    Raises:
        WarehouseMisconfigured: If the settings cannot work, or lead to a Unix socket.
    """
    url = warehouse_url(settings)
    host = str(url.host or url.query["host"])
    if host.startswith(("/", "@")):
        raise WarehouseMisconfigured(
            "DATABASE_URL leads to a Unix socket, which Spark's driver cannot use: write 127.0.0.1 as its host."
        )
    properties = {
        "driver": "org.postgresql.Driver",
        "user": url.username or "",
        "password": url.password or "",
        "ApplicationName": f"{APPLICATION_NAME} spark",
        "reWriteBatchedInserts": "true",
        "stringtype": "unspecified",  # lets PostgreSQL read text as uuid
        "tcpKeepAlive": "true",
        "connectTimeout": str(settings.connect_timeout_seconds),
        "loginTimeout": str(settings.connect_timeout_seconds),
        "socketTimeout": str(ceil(settings.statement_timeout_seconds) + _ANSWER_SECONDS),
        "batchsize": str(JDBC_BATCH_ROWS),
    }
    for libpq, jdbc in _CARRIED_OVER.items():
        if libpq in url.query:
            properties[jdbc] = str(url.query[libpq])
    if properties.get("sslrootcert") == SYSTEM_CERTIFICATES:
        del properties["sslrootcert"]
        properties["sslfactory"] = "org.postgresql.ssl.DefaultJavaSSLFactory"
    properties |= _pooled(settings) if transaction_pooler(settings, url) else _direct(settings, url)
    address = f"[{host}]" if ":" in host else host
    return f"jdbc:postgresql://{address}:{url.port or 5432}/{quote(url.database or '', safe='')}", properties


def _direct(settings: Settings, url: URL) -> dict[str, str]:
    limits = {
        "statement_timeout": settings.statement_timeout_seconds,
        "lock_timeout": settings.lock_timeout_seconds,
    }
    stated = [f"-c {name}={round(seconds * 1000)}ms" for name, seconds in limits.items()]
    return {"options": " ".join([str(url.query.get("options", "")), *stated]).strip()}


def _pooled(settings: Settings) -> dict[str, str]:
    return {
        "prepareThreshold": "0",
        # A server of at least this version gets everything when connecting; others are sent SET statements.
        "assumeMinServerVersion": "15",
        # The driver sets the isolation level for the session: to the one it has anyway.
        "isolationLevel": "READ_COMMITTED",
        # Poolers refuse `options`. Spark cancels a batch of rows that takes longer.
        "queryTimeout": str(ceil(settings.statement_timeout_seconds)),
    }
