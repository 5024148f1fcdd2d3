"""The published batches, as either side has recorded them in `etl_batch`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from include.warehouse.publishing.publish import PublishReport
from include.warehouse.schema.tables import star_table


def recorded_batches(connection: Connection) -> dict[str, PublishReport]:
    """Return the published batches that a side knows, by batch, oldest first."""
    batch = star_table("etl_batch")
    rows = connection.execute(select(batch).order_by(batch.c.published_at, batch.c.batch_id)).mappings()
    return {row["batch_id"]: PublishReport.model_validate(dict(row)) for row in rows}


def newest_batch(connection: Connection) -> PublishReport | None:
    """Return the batch that a side published last, None if it has none."""
    batch = star_table("etl_batch")
    newest = select(batch).order_by(batch.c.published_at.desc(), batch.c.batch_id.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    return PublishReport.model_validate(dict(row)) if row else None


def recorded_batches_of(connection: Connection, batch_ids: Sequence[str]) -> dict[str, PublishReport]:
    """Return those of some batches that a side has published, by batch."""
    batch = star_table("etl_batch")
    rows = connection.execute(select(batch).where(batch.c.batch_id.in_(batch_ids))).mappings()
    return {row["batch_id"]: PublishReport.model_validate(dict(row)) for row in rows}
