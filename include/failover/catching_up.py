"""Bringing the primary what it lacks, and letting it serve again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import date

from pydantic import Field
from sqlalchemy import Engine

from include.domain.model import Model
from include.failover import replica
from include.failover.comparison import Difference, compare
from include.failover.published import PUBLISH_LIMIT_SECONDS, _batch_of, forget_publication, has_tables, known_batches
from include.failover.receipts import deliver_receipts, receipts_not_on
from include.failover.replica.file import ReplicaUnusable
from include.failover.standby import copy_to_replica, rebuild
from include.failover.state import Breaker, Side, StateFile
from include.runs.marks import mark_published, mark_unpublished
from include.settings import Settings
from include.warehouse import (
    STATEMENT_TIMEOUT_SECONDS,
    GoldBatch,
    GoldStar,
    PublishError,
    WarehouseUnavailable,
    error_text,
    primary_failed,
    publish_batch,
    recorded_batches,
    recorded_batches_of,
    transaction,
    warehouse_url,
    watched_engine,
)

log = logging.getLogger(__name__)


class CaughtUp(Model):
    """What a catch-up did.

    Attributes:
        batches: Batches the primary was brought, in order.
        refused: Batches that do not fit it and were set aside, each with why.
        receipts: Runs whose receipts it was brought.
        compared_days: Invoice days whose rows were compared with Gold.
        differences: What the primary still has that differs from Gold; while there is any, the replica serves.
        serves: The side that serves now.
    """

    batches: list[str] = Field(default_factory=list)
    refused: dict[str, str] = Field(default_factory=dict)
    receipts: list[str] = Field(default_factory=list)
    compared_days: list[date] = Field(default_factory=list)
    differences: list[Difference] = Field(default_factory=list)
    serves: Side = "primary"


def catch_up(settings: Settings) -> CaughtUp:
    """Bring the primary what it lacks, in order and from Gold, compare it, and let it serve again if nothing differs.

    A drop that does not fit the primary is set aside, and taken out of the replica: it counts as not published until
    `apply_refused` brings it, or `discard_refused` gives it up. The others go on without it.

    Delivers receipts alone if the primary serves and lacks no batch that the replica has.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If a rebuild does not fit the primary.
        WarehouseUnavailable: If the primary cannot be reached, or gives up midway; the call can be repeated.
    """
    warehouse_url(settings)
    record = StateFile(settings)
    with record.publishing():
        return bring_up_primary(settings, record)


def bring_up_primary(settings: Settings, record: StateFile) -> CaughtUp:
    """Do what `catch_up` does, for a caller that holds the lock of publishes."""
    copy_to_replica(settings, record)
    before = record.read()
    if before.state != "primary":
        with record.change() as noted:
            noted.change_state("catching_up", before.reason)
    try:
        with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
            return _bring_primary(settings, record, engine)
    except Exception as error:
        failed = primary_failed(error)
        reason = error_text(error) if failed else str(error)
        with record.change() as noted:
            if noted.state == "catching_up":
                noted.change_state("failed_over", reason)
        if failed:
            raise WarehouseUnavailable(f"The primary is not caught up: {reason}") from error
        raise


def _bring_primary(settings: Settings, record: StateFile, engine: Engine) -> CaughtUp:
    done = CaughtUp()
    if not has_tables(settings, engine):
        raise PublishError(
            f"Schema {settings.warehouse_schema} of the primary has no warehouse tables. "
            "Run `python -m include.operate migrate`."
        )
    lacking = _lacking(settings, record, engine)
    if record.read().state == "primary":
        if not lacking:
            done.receipts = deliver_receipts(settings, record, engine)
            return done
        with record.change() as noted:
            noted.change_state("catching_up", f"The primary lacks batch {lacking[0].batch_id}, which was published.")
    for batch in lacking:
        with GoldStar(settings) as gold:
            days = gold.pick_batch(batch)
            with record.change() as noted:
                noted.unverified_days = sorted({*noted.unverified_days, *days, *batch.days})
            try:
                report = publish_batch(engine, settings, batch, gold)
            except PublishError as error:
                if batch.kind == "rebuild":
                    raise  # Gold has no other state of its days to go back to
                _set_aside(settings, record, batch, str(error))
                continue
        with record.change() as noted:
            noted.note_batch(batch, "done", report=report)
        mark_published(settings, batch.batch_id)
        done.batches.append(batch.batch_id)
    done.refused = record.read().refused()
    if done.refused and _replica_has_any(settings, done.refused):
        rebuild(settings, record, {})
    copy_to_replica(settings, record)
    done.receipts = deliver_receipts(settings, record, engine, receipts_not_on(settings, engine))
    done.compared_days = record.read().unverified_days
    with (
        GoldStar(settings) as gold,
        transaction(engine, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as connection,
    ):
        reports = known_batches(settings, connection)
        done.differences = compare(connection, gold, settings, reports, done.compared_days)
    with record.change() as noted:
        if done.differences:
            first = done.differences[0]
            noted.change_state(
                "failed_over",
                f"The primary differs from Gold in {len(done.differences)} places, first {first.subject}: "
                f"{first.expected} expected, {first.found} found. See `python -m include.operate compare`.",
            )
            done.serves = "replica"
        else:
            noted.change_state("primary")
            noted.unverified_days = []
            noted.breaker = Breaker()
    return done


def _set_aside(settings: Settings, record: StateFile, batch: GoldBatch, reason: str) -> None:
    log.warning("Batch %s is set aside, as the primary refuses it: %s", batch.batch_id, reason)
    with record.change() as noted:
        noted.note_batch(batch, "refused", reason)
    # From here on it is as if its publish had failed: Silver gives its lines to the next drop that brings them.
    mark_unpublished(settings, batch.batch_id)
    forget_publication(settings, batch.run_id)


def _replica_has_any(settings: Settings, batch_ids: Iterable[str]) -> bool:
    try:
        with replica.reading(settings) as connection:
            return bool(recorded_batches_of(connection, list(batch_ids)))
    except ReplicaUnusable:
        return False


def _lacking(settings: Settings, record: StateFile, engine: Engine) -> list[GoldBatch]:
    """Return the batches to bring the primary, in order: those it missed, and those it has lost."""
    state = record.read()
    with transaction(engine) as connection:
        there = recorded_batches(connection)
    for batch in state.batches_in_state("trying"):
        known = there.get(batch.batch_id)
        with record.change() as noted:
            if known is not None and known.token == batch.token:
                noted.note_batch(batch, "done", report=known)
            else:
                noted.forget(batch)
    pending = state.batches_in_state("pending")
    recorded = {known.batch.batch_id for known in state.batches}
    try:
        with replica.reading(settings) as connection:
            reports = recorded_batches(connection)
    except ReplicaUnusable as error:
        log.warning("Only the recorded batches are brought to the primary: %s", error)
        return pending
    lost = [
        _batch_of(settings, report)
        for report in reports.values()
        if report.batch_id not in recorded
        and (report.batch_id not in there or there[report.batch_id].token != report.token)
    ]
    return lost + pending
