"""What a publish reports, and what either side has recorded of it in `etl_batch`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from sqlalchemy import Connection, select

from include.domain.model import Model
from include.domain.money import Money
from include.warehouse.schema.portable import upsert
from include.warehouse.schema.tables import star_table


class PublishError(Exception):
    """A batch cannot be published; nothing of it is visible. The message says what to do."""


class StagingIncomplete(PublishError):
    """What the Gold job staged of a batch is not there, or not all of it."""


class PublishReport(Model):
    """What a publish did.

    Attributes:
        token: Identity of the Gold output that was published.
        published_at: When the batch was ready to commit, by the server's clock.
        rows_staged: Rows staged by table.
        rows_written: Rows inserted or changed by table; the rest was live already.
        facts_deleted: Facts that a rebuild found gone.
        amount: Sum over the staged facts, in the base currency.
        facts_loaded: Staged facts that are live as this batch's; of the others another batch is the owner.
        amount_loaded: Sum over these, in the base currency.
        loaded: Currency -> sum over these that are in it, in that currency.
    """

    batch_id: str
    run_id: str
    kind: Literal["drop", "rebuild"]
    token: str
    published_at: datetime
    rebuilt_days: list[date]
    rows_staged: dict[str, int]
    rows_written: dict[str, int]
    facts_deleted: int
    amount: Money
    facts_loaded: int
    amount_loaded: Money
    loaded: dict[str, Money]


class Loaded(NamedTuple):
    """Facts that are live as a batch's: their number, their amount in the base currency, their amounts by currency."""

    rows: int
    amount: Decimal
    by_currency: dict[str, Decimal]


def record_batch(connection: Connection, report: PublishReport) -> None:
    """Record a published batch, on either side; an earlier record of it is replaced."""
    loaded = {currency: str(amount) for currency, amount in report.loaded.items()}
    days = [day.isoformat() for day in report.rebuilt_days]
    upsert(connection, star_table("etl_batch"), report.model_dump() | {"rebuilt_days": days, "loaded": loaded})


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
