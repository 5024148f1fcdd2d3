"""Quality scores in the warehouse: a batch has one row for each score."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, insert

from include.quality.findings import ScoreRow
from include.warehouse.connection.engine import transaction
from include.warehouse.schema.tables import star_table


def save_scores(engine: Engine, rows: Sequence[ScoreRow]) -> None:
    """Write the scores of a batch, replacing what an earlier attempt of its run wrote.

    Raises:
        WarehouseUnavailable: If the server cannot be reached.
    """
    with transaction(engine) as connection:
        write_scores(connection, rows)


def write_scores(connection: Connection, rows: Sequence[ScoreRow]) -> None:
    """Write the scores of batches, on either side of the warehouse."""
    if rows:
        table = star_table("etl_quality")
        connection.execute(delete(table).where(table.c.batch_id.in_({row.batch_id for row in rows})))
        connection.execute(insert(table), [row.model_dump() for row in rows])
