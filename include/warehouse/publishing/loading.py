"""Staging a batch from Gold without Spark: what the Gold job does by JDBC, by COPY."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, Engine

from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.gold import GoldBatch, GoldStar, GoldUnreadable
from include.warehouse.publishing.batches import PublishReport, StagingIncomplete
from include.warehouse.publishing.publish import STATEMENT_TIMEOUT_SECONDS, publish
from include.warehouse.publishing.staging import create_staging, staging_table
from include.warehouse.schema.tables import STAR, loaded_columns


def stage_picked(engine: Engine, settings: Settings, batch_id: str, gold: GoldStar) -> dict[str, int]:
    """Fill fresh staging tables with the facts picked in Gold and their members; return the rows by table.

    Raises:
        WarehouseUnavailable: If the server cannot be reached.
        psycopg.Error: If the server gives up midway.
    """
    create_staging(engine, settings, batch_id)
    with transaction(engine, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as connection:
        return {
            name: copy_picked(connection, settings.staging_schema, staging_table(name, batch_id), gold, name)
            for name in STAR
        }


def copy_picked(connection: Connection, schema: str, target: str, gold: GoldStar, name: str) -> int:
    """Copy the rows of table `name` that belong to the facts picked in Gold into table `target`; return how many.

    Raises:
        psycopg.Error: If the server gives up midway, or the rows do not fit.
    """
    raw: Any = connection.connection.driver_connection
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(schema, target),
        sql.SQL(", ").join(sql.Identifier(column.name) for column in loaded_columns(name)),
    )
    with raw.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for lot in gold.csv(name):
                copy.write(lot)
        return int(cursor.rowcount)


def publish_batch(engine: Engine, settings: Settings, batch: GoldBatch, gold: GoldStar | None = None) -> PublishReport:
    """Make a batch live in the primary, from staging if the Gold job filled it, else from Gold.

    Args:
        engine: On the primary.
        settings: Names the schemas, and where Gold is.
        batch: What Gold knows of the batch.
        gold: With the batch's facts picked; opened here if not given and needed.

    Raises:
        StagingIncomplete: If staging is incomplete and there is no Gold to fill it from.
        PublishError: If the rows contradict themselves or the star.
        WarehouseUnavailable: If the server cannot be reached.
    """
    try:
        return _publish(engine, settings, batch, batch.staged_rows or None)
    except StagingIncomplete as incomplete:
        if gold is not None:
            return _publish(engine, settings, batch, stage_picked(engine, settings, batch.batch_id, gold))
        try:
            opened = GoldStar(settings)
        except GoldUnreadable:
            raise incomplete from None
        with opened:
            opened.pick_batch(batch)
            return _publish(engine, settings, batch, stage_picked(engine, settings, batch.batch_id, opened))


def _publish(engine: Engine, settings: Settings, batch: GoldBatch, rows: Mapping[str, int] | None) -> PublishReport:
    return publish(
        engine,
        settings,
        batch.batch_id,
        batch.run_id,
        batch.kind,
        batch.token,
        batch.days,
        staged_rows=rows,
        source_batches=batch.source_batches,
    )
