"""Which state of its data a side of the warehouse has, found without reading the data."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select, text

from include.failover import replica_state
from include.warehouse import FACT, MODEL_SCHEMA, SQLITE, star_table

_WRITTEN = text(
    "SELECT pg_stat_get_tuples_inserted(oid) || '+' || pg_stat_get_tuples_updated(oid) || '+' "
    "|| pg_stat_get_tuples_deleted(oid) FROM pg_class "
    "WHERE relname = :name AND relnamespace = CAST(:schema AS regnamespace)"
)


class DataVersion(NamedTuple):
    """State of the facts on one side; the same as long as nothing is published, rebuilt or repaired there.

    Attributes:
        dialect: Which side.
        batch_id: Batch that was published last; empty if none was.
        written: What shows repairs: of PostgreSQL, rows it has inserted, changed and deleted; of the replica, when it
            was last written.
    """

    dialect: str
    batch_id: str
    written: str


def data_version(connection: Connection) -> DataVersion:
    """Return the state that a connection reads."""
    batch = star_table("etl_batch")
    newest = connection.execute(select(batch.c.batch_id).order_by(batch.c.published_at.desc()).limit(1)).scalar()
    dialect = connection.dialect.name
    if dialect == SQLITE:
        written = replica_state(connection).refreshed_at.isoformat()
    else:
        schemas = connection.get_execution_options().get("schema_translate_map") or {}
        schema = connection.dialect.identifier_preparer.quote_identifier(schemas.get(MODEL_SCHEMA, MODEL_SCHEMA))
        written = str(connection.execute(_WRITTEN, {"name": FACT, "schema": schema}).scalar_one())
    return DataVersion(dialect, newest or "", written)
