"""Both sides of the warehouse at a glance."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from pydantic import Field
from sqlalchemy import Connection, func, select

from include.domain.model import Model
from include.domain.money import Money
from include.failover import replica
from include.failover.reads import serving_side
from include.failover.replica.file import ReplicaUnusable, replica_state
from include.failover.sides import open_side
from include.failover.state import Breaker, Side, State, StateFile
from include.settings import Settings
from include.warehouse import FACT, current_revision, error_text, newest_batch, primary_failed, star_table


class SideStatus(Model):
    """One side.

    Attributes:
        problem: Why it cannot be read; empty if it can.
        revision: Migration of the primary, table version of the replica.
        rows: Facts.
        amount: GBP, sum over the facts.
        newest_batch: Batch that was published last.
        published_at: When that was.
        refreshed_at: When the replica last took a batch or was made.
        age_seconds: How long ago that was.
    """

    reachable: bool = False
    problem: str = ""
    revision: str | None = None
    rows: int | None = None
    amount: Money | None = None
    newest_batch: str | None = None
    published_at: datetime | None = None
    refreshed_at: datetime | None = None
    age_seconds: float | None = None


class Status(Model):
    """Both sides, and which one serves.

    Attributes:
        serves: The side that serves the next read.
        reason: Why the replica serves.
        pending: Batches that the primary lacks.
        replica_lacks: Batches that the replica lacks.
        unsettled: Batches whose publish is under way or was cut off.
        refused: Batches that the primary refused and that are set aside, each with why.
        receipts: Runs whose receipts the primary lacks.
    """

    serves: Side
    state: State
    since: datetime
    reason: str = ""
    primary: SideStatus
    replica: SideStatus
    pending: list[str] = Field(default_factory=list)
    replica_lacks: list[str] = Field(default_factory=list)
    unsettled: list[str] = Field(default_factory=list)
    refused: dict[str, str] = Field(default_factory=dict)
    receipts: list[str] = Field(default_factory=list)
    breaker: Breaker


def status(settings: Settings) -> Status:
    """Return what both sides have.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is missing or unusable, or the record is damaged.
    """
    serves = serving_side(settings)
    record = StateFile(settings).read()
    return Status(
        serves=serves,
        state=record.state,
        since=record.since,
        reason=record.reason,
        primary=_primary(settings),
        replica=_replica(settings),
        pending=[batch.batch_id for batch in record.batches_in_state("pending")],
        replica_lacks=[batch.batch_id for batch in record.batches_in_state("done")],
        unsettled=[batch.batch_id for batch in record.batches_in_state("trying")],
        refused=record.refused(),
        receipts=record.receipts,
        breaker=record.breaker,
    )


def _primary(settings: Settings) -> SideStatus:
    if settings.database_type == "sqlite":
        return SideStatus(problem="DATABASE_TYPE is sqlite: the replica is the whole warehouse.")
    try:
        with open_side(settings, "primary") as connection:
            revision = current_revision(connection, settings)
            if revision is None:
                return SideStatus(reachable=True, problem="It has no tables. Run `python -m include.operate migrate`.")
            return _contents(connection).model_copy(update={"revision": revision})
    except Exception as error:
        if not primary_failed(error):
            raise
        return SideStatus(problem=error_text(error))


def _replica(settings: Settings) -> SideStatus:
    try:
        with replica.reading(settings) as connection:
            found, state = _contents(connection), replica_state(connection)
        damage = replica.damaged_pages(settings)
    except ReplicaUnusable as error:
        return SideStatus(problem=str(error))
    age = (datetime.now(UTC) - state.refreshed_at).total_seconds()
    return found.model_copy(
        update={
            "problem": "; ".join(damage),
            "revision": replica.schema_version(),
            "refreshed_at": state.refreshed_at,
            "age_seconds": round(age, 1),
        }
    )


def _contents(connection: Connection) -> SideStatus:
    fact = star_table(FACT)
    rows, amount = connection.execute(select(func.count(), func.sum(fact.c.amount))).one()
    newest = newest_batch(connection)
    return SideStatus(
        reachable=True,
        rows=rows,
        amount=amount or Decimal(0),
        newest_batch=newest.batch_id if newest else None,
        published_at=newest.published_at if newest else None,
    )
