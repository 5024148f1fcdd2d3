"""How the warehouse's server is doing: what it holds, and how we are connected to it."""

from __future__ import annotations

import time
from datetime import datetime
from statistics import median
from typing import Any, Literal

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from include.domain.model import Model
from include.domain.money import Money
from include.settings import Settings
from include.warehouse.connection.configuration import masked, transaction_pooler
from include.warehouse.connection.engine import WarehouseUnavailable, place, transaction
from include.warehouse.schema.migrations import current_revision
from include.warehouse.schema.tables import FACT, star_table

COUNTED_ROWS = 5_000_000
"""Tables up to this size are counted exactly; larger ones report the planner's estimate."""

ROUND_TRIPS = 3

_TABLES = """
SELECT c.relname AS name, CAST(c.reltuples AS bigint) AS estimate, pg_total_relation_size(c.oid) AS bytes_total,
       pg_indexes_size(c.oid) AS bytes_indices
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') ORDER BY 1
"""
_DATABASE = """
SELECT pg_database_size(datname) AS bytes, blks_hit AS hits, blks_read AS reads,
       CAST(current_setting('max_connections') AS int) AS connections_allowed
FROM pg_stat_database WHERE datname = current_database()
"""
_CONNECTIONS = """
SELECT coalesce(state, 'hidden') AS state, count(*) AS connections FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY 1 ORDER BY 1
"""
_SERVER = """
SELECT pg_backend_pid() AS process, current_setting('server_version') AS version,
       current_setting('transaction_read_only') = 'on' AS read_only
"""


class TableStatistics(Model):
    """Size of a table.

    Attributes:
        rows: Rows, counted or, in a large table, as the planner estimates them.
        counted: Whether the rows were counted.
        bytes_total: Of the table with its indices.
        bytes_indices: Of its indices.
    """

    name: str
    rows: int
    counted: bool
    bytes_total: int
    bytes_indices: int


class NewestBatch(Model):
    """The batch that was published last.

    Attributes:
        facts: Facts it staged.
        amount: GBP, sum over its facts.
    """

    batch_id: str
    run_id: str
    kind: str
    published_at: datetime
    facts: int
    amount: Money


class WarehouseStatistics(Model):
    """What the warehouse holds and how its server copes.

    Attributes:
        schema_name: Schema of the warehouse.
        revision: Revision of its tables; none if it was never migrated.
        bytes_database: Of the whole database.
        newest_batch: None if nothing was published yet.
        cache_hit_ratio: Share of block reads that PostgreSQL's cache answered since its statistics began, 0 to 1; none
            before the first read.
        connections: Connections to the database by state; `hidden` are those whose state our role may not see.
        connections_allowed: Connections the server takes, to all its databases.
    """

    schema_name: str
    revision: str | None
    tables: list[TableStatistics]
    bytes_database: int
    newest_batch: NewestBatch | None
    cache_hit_ratio: float | None
    connections: dict[str, int]
    connections_allowed: int


class ConnectionHealth(Model):
    """How we are connected to the warehouse.

    Attributes:
        error: Why the server is down, in a sentence.
        server: Host, port and database.
        latency_ms: Median time of a round trip.
        sslmode: TLS mode asked for.
        tls: Whether the connection to the server, or to the pooler before it, is encrypted.
        route: Whether a pooler was found between us and the server.
        transaction_pooler: Whether one that changes servers between transactions is expected.
        read_only: Whether the server refuses writes, as a standby does.
        settings: The settings of the server by variable; secrets are `***`.
    """

    status: Literal["up", "down"]
    error: str | None = None
    server: str
    latency_ms: float | None = None
    server_version: str | None = None
    sslmode: str
    tls: bool | None = None
    route: Literal["direct", "pooler"] | None = None
    transaction_pooler: bool
    read_only: bool | None = None
    settings: dict[str, str]


def statistics(engine: Engine, settings: Settings) -> WarehouseStatistics:
    """Return what the warehouse holds and how its server copes.

    Raises:
        WarehouseUnavailable: If the server cannot be reached.
    """
    with transaction(engine) as connection:
        return statistics_of(connection, settings)


def statistics_of(connection: Connection, settings: Settings) -> WarehouseStatistics:
    """Return what the warehouse holds and how its server copes, as a connection to it finds."""
    found = connection.execute(text(_TABLES), {"schema": settings.warehouse_schema}).mappings().all()
    database = connection.execute(text(_DATABASE)).mappings().one()
    states = connection.execute(text(_CONNECTIONS)).all()
    blocks = database["hits"] + database["reads"]
    return WarehouseStatistics(
        schema_name=settings.warehouse_schema,
        revision=current_revision(connection, settings),
        tables=[_table(connection, settings, dict(row)) for row in found],
        bytes_database=database["bytes"],
        newest_batch=newest_batch_of(connection, settings),
        cache_hit_ratio=round(database["hits"] / blocks, 4) if blocks else None,
        connections={row.state: row.connections for row in states},
        connections_allowed=database["connections_allowed"],
    )


def connection_health(engine: Engine, settings: Settings) -> ConnectionHealth:
    """Return how we are connected; a server that does not answer within the connect timeout is down."""
    health = ConnectionHealth(
        status="down",
        server=place(engine.url),
        sslmode=str(engine.url.query.get("sslmode", "prefer")),
        transaction_pooler=transaction_pooler(settings, engine.url),
        settings=masked(settings),
    )
    try:
        with transaction(engine, statement_timeout_seconds=settings.connect_timeout_seconds) as connection:
            found = _asked(connection)
    except WarehouseUnavailable as error:
        return health.model_copy(update={"error": str(error)})
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = str(cause).strip().splitlines()[0].rstrip(".")
        return health.model_copy(update={"error": f"The warehouse at {health.server} does not answer: {reason}."})
    return health.model_copy(update={"status": "up"} | found)


def _asked(connection: Connection) -> dict[str, Any]:
    seconds = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter()
        connection.execute(text("SELECT 1"))
        seconds.append(time.perf_counter() - started)
    server = connection.execute(text(_SERVER)).mappings().one()
    driver: Any = connection.connection.driver_connection
    return {
        "latency_ms": round(median(seconds) * 1000, 2),
        "server_version": server["version"],
        "tls": bool(driver.pgconn.ssl_in_use),
        # A pooler gives every client a process number of its own making.
        "route": "direct" if driver.info.backend_pid == server["process"] else "pooler",
        "read_only": server["read_only"],
    }


def _table(connection: Connection, settings: Settings, row: dict[str, Any]) -> TableStatistics:
    rows, counted = row["estimate"], row["estimate"] <= COUNTED_ROWS
    if counted:
        quote = connection.dialect.identifier_preparer.quote_identifier
        name = f"{quote(settings.warehouse_schema)}.{quote(row['name'])}"
        rows = connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
    return TableStatistics(
        name=row["name"],
        rows=rows,
        counted=counted,
        bytes_total=row["bytes_total"],
        bytes_indices=row["bytes_indices"],
    )


def newest_batch_of(connection: Connection, settings: Settings) -> NewestBatch | None:
    """Return the batch that was published last, none if nothing was, or there are no tables."""
    if connection.dialect.name == "postgresql" and not inspect(connection).has_table(
        "etl_batch", schema=settings.warehouse_schema
    ):
        return None
    batch = star_table("etl_batch")
    newest = connection.execute(select(batch).order_by(batch.c.published_at.desc()).limit(1)).mappings().first()
    if newest is None:
        return None
    return NewestBatch(
        batch_id=newest["batch_id"],
        run_id=newest["run_id"],
        kind=newest["kind"],
        published_at=newest["published_at"],
        facts=newest["rows_staged"][FACT],
        amount=newest["amount"],
    )
