"""Bringing the replica what the primary has."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping

from sqlalchemy import func, select

from include.failover import replica
from include.failover.published import known_batches, primary_batches
from include.failover.receipts import receipts_on_disk
from include.failover.replica.building import Refreshed
from include.failover.replica.file import ReplicaUnusable
from include.failover.state import StateFile
from include.settings import Settings
from include.warehouse import (
    FACT,
    GoldBatch,
    GoldStar,
    GoldUnreadable,
    PublishError,
    PublishReport,
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


def copy_to_replica(settings: Settings, record: StateFile, batch: GoldBatch, report: PublishReport | None) -> list[str]:
    """Bring the replica a batch that the primary has; return warnings if it cannot be."""
    try:
        apply_to_replica(settings, record, batch, report)
    except REPLICA_ERRORS as error:
        log.warning("The replica lacks batch %s: %s", batch.batch_id, error)
        return [f"The replica lacks batch {batch.batch_id} until the next publish: {error}"]
    with record.change() as noted:
        noted.forget(batch)
    return []


def apply_to_replica(
    settings: Settings, record: StateFile, batch: GoldBatch, report: PublishReport | None
) -> PublishReport:
    """Bring the replica a batch; make it anew if it is missing, damaged or of an older version, or that is faster."""
    try:
        if not _is_faster_to_rebuild(settings, batch):
            return replica.apply_batch(settings, batch, report)
        log.info("Batch %s is large beside what the replica has. It is made anew.", batch.batch_id)
    except ReplicaUnusable as error:
        if replica.replica_link(settings).exists():
            log.warning("%s It is made anew.", error)
        else:
            log.info("There is no replica yet. It is made from Gold.")
    rebuild(settings, record, {batch.batch_id: report or unreported(settings, batch)})
    with replica.reading(settings) as connection:
        return recorded_batches_of(connection, [batch.batch_id])[batch.batch_id]


def _is_faster_to_rebuild(settings: Settings, batch: GoldBatch) -> bool:
    """Return whether the batch is so large that making the replica anew is faster than changing it."""
    facts = batch.staged_rows.get(FACT, 0)
    if facts < LARGE_BATCH:
        return False
    with replica.reading(settings) as connection:
        there: int = connection.execute(select(func.count()).select_from(star_table(FACT))).scalar_one()
    return facts > there * LARGE_SHARE


def finish_interrupted(settings: Settings, record: StateFile) -> list[str]:
    """Bring the replica what processes that died left undone."""
    warnings = []
    for batch in record.read().batches_in_state("done"):
        warnings += copy_to_replica(settings, record, batch, None)
    return warnings


def refresh_replica(settings: Settings) -> Refreshed:
    """Make the replica anew from Gold, with every batch that was published and every receipt.

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
    refreshed = replica_of(settings, reports)
    with record.change() as noted:
        for batch in noted.batches_in_state("done"):
            noted.forget(batch)
    return refreshed


def replica_of(settings: Settings, reports: Mapping[str, PublishReport]) -> Refreshed:
    """Make the replica anew from Gold, with the batches of `reports` alone and every receipt.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If what Gold holds does not fit the tables.
    """
    with GoldStar(settings) as gold:
        left_out = gold.unpublished(reports)
    refreshed = replica.refresh(settings, reports, left_out)
    replica.store_receipts(settings, receipts_on_disk(settings))
    return refreshed


def unreported(settings: Settings, batch: GoldBatch) -> PublishReport:
    """Return the report of a batch that no side has reported."""
    with GoldStar(settings) as gold:
        gold.pick_batch(batch)
        return replica.report_of(gold, batch, written={}, deleted=0, loaded=gold.picked_of(batch.batch_id))
