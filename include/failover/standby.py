"""Bringing the replica what the primary has."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pydantic import Field
from sqlalchemy import func, select

from include.domain.model import Model
from include.failover import replica
from include.failover.published import assign_owners, known_batches, owners_on, primary_batches
from include.failover.receipts import receipts_on_disk
from include.failover.replica.building import Refreshed
from include.failover.replica.file import ReplicaUnusable
from include.failover.sides import SIDES, open_side
from include.failover.state import StateFile
from include.runs.marks import unpublished_batches
from include.settings import Settings
from include.warehouse import (
    FACT,
    GoldBatch,
    GoldStar,
    GoldUnreadable,
    PublishError,
    PublishReport,
    error_text,
    primary_failed,
    recorded_batches_of,
    star_table,
)

log = logging.getLogger(__name__)

LARGE_BATCH = 50_000

LARGE_SHARE = 0.5
"""A batch of at least so many facts, and of more than this share of the replica's, is not worked into the replica: a
row costs 45 microseconds there and 13 in a new one (`docs/failover.md`)."""

REPLICA_ERRORS = (ReplicaUnusable, GoldUnreadable, PublishError, OSError, sqlite3.Error)
"""What may go wrong with the replica while the primary is well; the run goes on with a warning."""


class ReplicaUpdate(Model):
    """What an update of the replica did.

    Attributes:
        batches: Batches it was brought, in order.
        lacks: Batches it still lacks.
        warnings: Why it lacks them, a sentence each.
    """

    batches: list[str] = Field(default_factory=list)
    lacks: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    seconds: float = 0.0


def update_replica(settings: Settings) -> ReplicaUpdate:
    """Bring the replica the batches that the primary has and it lacks, from Gold; does nothing if it lacks none.

    Until then reads that the primary fails are answered without these batches, and say so (`Answer.lacks`). Waits for
    publishes on this host. May be killed anywhere and repeated. A replica that cannot take a batch costs a warning.

    Raises:
        WarehouseUnavailable: If others hold the lock of publishes too long.
    """
    record = StateFile(settings)
    with record.publishing():
        return copy_to_replica(settings, record)


def copy_to_replica(settings: Settings, record: StateFile) -> ReplicaUpdate:
    """Do what `update_replica` does, for a caller that holds the lock of publishes."""
    started = time.monotonic()
    done = ReplicaUpdate()
    for entry in [entry for entry in record.read().batches if entry.primary == "done"]:
        batch_id = entry.batch.batch_id
        try:
            apply_to_replica(settings, record, entry.batch, entry.report)
        except REPLICA_ERRORS as error:
            log.warning("The replica lacks batch %s: %s", batch_id, error)
            done.lacks.append(batch_id)
            done.warnings.append(f"The replica lacks batch {batch_id} until the replica is updated again: {error}")
        else:
            done.batches.append(batch_id)
            with record.change() as noted:
                noted.forget(entry.batch)
    done.seconds = time.monotonic() - started
    return done


def apply_to_replica(
    settings: Settings, record: StateFile, batch: GoldBatch, report: PublishReport | None
) -> PublishReport:
    """Bring the replica a batch; rebuild it if it is missing, damaged or of an older version, or that is faster."""
    try:
        if not _is_faster_to_rebuild(settings, batch):
            return replica.apply_batch(settings, batch, report, partial(_taken_over, settings, record, batch))
        log.info("Batch %s is large beside what the replica has, which is rebuilt.", batch.batch_id)
    except ReplicaUnusable as error:
        if replica.replica_link(settings).exists():
            log.warning("%s It is rebuilt.", error)
        else:
            log.info("There is no replica yet. It is made from Gold.")
    rebuild(settings, record, {batch.batch_id: report or unreported(settings, batch)})
    with replica.reading(settings) as connection:
        return recorded_batches_of(connection, [batch.batch_id])[batch.batch_id]


def _taken_over(settings: Settings, record: StateFile, batch: GoldBatch, gold: GoldStar) -> dict[str, str]:
    """Return the facts of a batch that are live and that Gold has as another's, which is to be published yet."""
    others = [batch_id for batch_id in unpublished_batches(settings) if batch_id != batch.batch_id]
    ids = gold.ids_in(batch.months, others) if others else []
    owners = _live_owners(settings, record, ids) if ids else {}
    return {sale_id: owner for sale_id, owner in owners.items() if owner == batch.batch_id}


def _live_owners(settings: Settings, record: StateFile, sale_ids: Sequence[str]) -> dict[str, str]:
    """Return those of some facts that are live, with their batches, by the active side if it can be read."""
    primary = settings.database_type != "sqlite" and record.read().state == "primary"
    for side in SIDES if primary else SIDES[1:]:
        try:
            with open_side(settings, side) as connection:
                return owners_on(connection, sale_ids)
        except ReplicaUnusable as error:
            log.info("%s", error)
        except Exception as error:
            if not primary_failed(error):
                raise
            log.warning("The primary is not asked which lines are live: %s", error_text(error))
    return {}


def _is_faster_to_rebuild(settings: Settings, batch: GoldBatch) -> bool:
    """Return whether the batch is so large that rebuilding the replica is faster than changing it."""
    facts = batch.staged_rows.get(FACT, 0)
    if facts < LARGE_BATCH:
        return False
    with replica.reading(settings) as connection:
        known = recorded_batches_of(connection, [batch.batch_id]).get(batch.batch_id)
        if known is not None and known.token == batch.token:
            return False  # it came with another batch
        there: int = connection.execute(select(func.count()).select_from(star_table(FACT))).scalar_one()
    return facts > there * LARGE_SHARE


def refresh_replica(settings: Settings) -> Refreshed:
    """Rebuild the replica from Gold, with every batch that was published and every receipt.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If what Gold holds does not fit the tables.
    """
    record = StateFile(settings)
    with record.publishing():
        return rebuild(settings, record, {})


def rebuild(settings: Settings, record: StateFile, more: Mapping[str, PublishReport]) -> Refreshed:
    """Do what `refresh_replica` does, for a caller that holds the lock of publishes and knows of `more` batches."""
    state = record.read()
    asked = state.state == "primary" and settings.database_type != "sqlite"
    reports = (primary_batches(settings) if asked else None) or known_batches(settings)
    for batch in state.batches_in_state("pending", "done"):
        if batch.batch_id not in {*reports, *more}:
            reports[batch.batch_id] = unreported(settings, batch)
    reports |= more
    refreshed = replica_of(settings, reports, partial(_live_owners, settings, record))
    with record.change() as noted:
        for batch in noted.batches_in_state("done"):
            noted.forget(batch)
    return refreshed


def replica_of(
    settings: Settings,
    reports: Mapping[str, PublishReport],
    owners: Callable[[Sequence[str]], Mapping[str, str]] = lambda _: {},
) -> Refreshed:
    """Build the replica from Gold, with the batches of `reports` alone and every receipt.

    Args:
        settings: Where Gold and the replica are.
        reports: The published batches.
        owners: Returns, of some facts of other batches, those that are live all the same (`assign_owners`).

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If what Gold holds does not fit the tables.
    """
    refreshed = replica.refresh(settings, reports, lambda gold: assign_owners(gold, reports, owners))
    replica.store_receipts(settings, receipts_on_disk(settings))
    return refreshed


def unreported(settings: Settings, batch: GoldBatch) -> PublishReport:
    """Return the report of a batch that no side has reported."""
    with GoldStar(settings) as gold:
        gold.pick_batch(batch)
        return replica.report_of(gold, batch, written={}, deleted=0, loaded=gold.picked_of(batch.batch_id))
