"""Publishing to the primary or, while it is away, to the replica.

`docs/failover.md` describes the states and who decides.
"""

from __future__ import annotations

import logging
import time

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from include.failover import replica
from include.failover.catching_up import bring_up_primary
from include.failover.published import PUBLISH_LIMIT_SECONDS, Publication, has_tables
from include.failover.receipts import deliver_receipts
from include.failover.replica.file import ReplicaUnusable
from include.failover.standby import REPLICA_ERRORS, apply_to_replica, copy_to_replica, update_replica
from include.failover.state import Breaker, StateFile
from include.receipts.model import ReceiptUnbalanced
from include.runs.marks import mark_published
from include.settings import Settings
from include.warehouse import (
    GoldBatch,
    PublishError,
    PublishReport,
    WarehouseUnavailable,
    error_text,
    lost_connection,
    newest_batch,
    primary_failed,
    primary_is_up,
    publish_batch,
    recorded_batches_of,
    transaction,
    warehouse_url,
    watched_engine,
)

log = logging.getLogger(__name__)


def publish(settings: Settings, batch: GoldBatch) -> Publication:
    """Make a batch live in the primary or, while that cannot take it, in the replica alone.

    The replica lacks a batch that the primary took until `update_replica` brings it. A batch that the primary could not
    take is noted and brought to it by the next publish, or by `catch_up`. Waits for other publishes on this host; may
    be killed anywhere and repeated.

    Raises:
        PublishError: If the rows contradict themselves or the star; nothing of them is visible.
        WarehouseUnavailable: If the primary cannot take the batch and the replica cannot either.
    """
    record = StateFile(settings)
    if settings.database_type == "sqlite":
        with record.publishing():
            return _to_file_alone(settings, record, batch)
    warehouse_url(settings)
    with record.publishing():
        warnings = []
        if record.read().state != "primary" and primary_is_up(settings):
            warnings += _caught_up_or_why_not(settings, record)
        state = record.read()
        warnings += [
            f"Batch {batch_id} is set aside and not served, as the primary refused it: {why} When that is mended, run "
            f"`python -m include.operate apply {batch_id}`, or give it up with `discard {batch_id}`."
            for batch_id, why in state.refused().items()
            if batch_id != batch.batch_id
        ]
        reason = state.reason
        started = time.monotonic()
        if state.state == "primary":
            try:
                report = _to_primary(settings, record, batch)
            except WarehouseUnavailable as error:
                reason = str(error)
            else:
                seconds = time.monotonic() - started
                return Publication(**report.model_dump(), primary_seconds=seconds, warnings=warnings)
        started = time.monotonic()
        warnings += copy_to_replica(settings, record).warnings
        report = _to_replica(settings, record, batch, reason)
        seconds = time.monotonic() - started
    warnings.append(
        f"The primary could not take batch {batch.batch_id}, so it is in the replica, which serves until the primary "
        f"has it too: {reason}"
    )
    return Publication(**report.model_dump(), warehouse="replica", replica_seconds=seconds, warnings=warnings)


def _to_file_alone(settings: Settings, record: StateFile, batch: GoldBatch) -> Publication:
    """Publish in the SQLite file where there is no PostgreSQL.

    Raises:
        PublishError: If the batch is refused.
        WarehouseUnavailable: If the file cannot take it.
    """
    started = time.monotonic()
    try:
        report = apply_to_replica(settings, record, batch, None)
    except PublishError:
        raise
    except REPLICA_ERRORS as error:
        raise WarehouseUnavailable(f"The warehouse cannot take batch {batch.batch_id}: {error}") from error
    return Publication(**report.model_dump(), warehouse="replica", replica_seconds=time.monotonic() - started)


def _caught_up_or_why_not(settings: Settings, record: StateFile) -> list[str]:
    try:
        caught_up = bring_up_primary(settings, record)
    except (WarehouseUnavailable, PublishError, *REPLICA_ERRORS) as error:
        log.warning("The primary is not caught up: %s", error)
        return [f"The primary is not caught up: {error}"]
    if caught_up.differences:
        return [record.read().reason]
    return [f"The primary was caught up with {len(caught_up.batches)} batches and serves again."]


def _to_primary(settings: Settings, record: StateFile, batch: GoldBatch) -> PublishReport:
    """Publish on the primary.

    Raises:
        WarehouseUnavailable: If the primary cannot take the batch.
        PublishError: If the batch is refused.
    """
    refused = record.read().refused().get(batch.batch_id)
    with record.change() as noted:
        noted.note_batch(batch, "trying")
    try:
        try:
            report = _try_primary(settings, record, batch)
        except Exception as error:
            if not (lost_connection(error) and primary_is_up(settings)):
                raise
            log.warning("The connection was lost, but the primary answers; once more: %s", error_text(error))
            report = _try_primary(settings, record, batch)
    except Exception as error:
        if primary_failed(error):
            raise WarehouseUnavailable(error_text(error)) from error
        with record.change() as noted:
            noted.forget(batch)
            if refused is not None:
                noted.note_batch(batch, "refused", str(error))
        raise
    with record.change() as noted:
        noted.note_batch(batch, "done", report=report)
        noted.breaker = Breaker()
    return report


def _try_primary(settings: Settings, record: StateFile, batch: GoldBatch) -> PublishReport:
    with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
        _require_history(settings, record, engine)
        _settle_tries(settings, record, engine, batch)
        report = publish_batch(engine, settings, batch)
        with record.change() as noted:
            noted.note_batch(batch, "done", report=report)  # whatever becomes of what follows
        try:
            deliver_receipts(settings, record, engine)
        except (DBAPIError, WarehouseUnavailable, ReceiptUnbalanced) as error:
            log.warning("Receipts wait for the next publish: %s", error_text(error))
    return report


def _require_history(settings: Settings, record: StateFile, engine: Engine) -> None:
    """Raise if the primary lacks a batch that it had or that the replica has: it was restored from an older state.

    Raises:
        WarehouseUnavailable: Naming the batch.
    """
    published = [batch.batch_id for batch in record.read().batches_in_state("done")]
    try:
        with replica.reading(settings) as connection:
            newest = newest_batch(connection)
    except ReplicaUnusable:
        newest = None
    if newest is not None:
        published.append(newest.batch_id)
    if not published or not has_tables(settings, engine):
        return
    with transaction(engine) as connection:
        lost = sorted(set(published) - recorded_batches_of(connection, published).keys())
    if lost:
        raise WarehouseUnavailable(f"The primary lacks batch {lost[0]}, which was published. It is behind.")


def _to_replica(settings: Settings, record: StateFile, batch: GoldBatch, reason: str) -> PublishReport:
    """Record that the primary lacks a batch, then publish it in the replica.

    Raises:
        PublishError: If the batch is refused.
        WarehouseUnavailable: If the replica cannot take it.
    """
    # The record comes first: from here on the primary does not serve, whether it took the batch unheard or not.
    with record.change() as noted:
        noted.note_batch(batch, "pending", reason)
        noted.change_state("failed_over", reason)
    try:
        return apply_to_replica(settings, record, batch, None)
    except PublishError:
        with record.change() as noted:
            noted.forget(batch)
        raise
    except REPLICA_ERRORS as error:
        raise WarehouseUnavailable(
            f"Neither side can take batch {batch.batch_id}. Primary: {reason} Replica: {error}"
        ) from error


def _settle_tries(settings: Settings, record: StateFile, engine: Engine, current: GoldBatch) -> None:
    """Find out what became of batches that processes were publishing when they died."""
    tries = [batch for batch in record.read().batches_in_state("trying") if batch.batch_id != current.batch_id]
    if not tries:
        return
    with transaction(engine) as connection:
        found = recorded_batches_of(connection, [batch.batch_id for batch in tries])
    with record.change() as noted:
        for batch in tries:
            if batch.batch_id in found and found[batch.batch_id].token == batch.token:
                noted.note_batch(batch, "done", report=found[batch.batch_id])
            else:
                noted.forget(batch)


def apply_refused(settings: Settings, batch_id: str) -> Publication:
    """Publish a batch that was set aside, after what the primary refused it for was mended; bring the replica up to it.

    Raises:
        PublishError: If it is refused again; it stays set aside.
        ValueError: If no such batch is set aside.
        WarehouseUnavailable: If neither side can take it.
    """
    publication = publish(settings, _refused(settings, batch_id))
    mark_published(settings, batch_id)
    update = update_replica(settings)
    return publication.model_copy(update={"warnings": [*publication.warnings, *update.warnings]})


def discard_refused(settings: Settings, batch_id: str) -> dict[str, str]:
    """Give up a batch that was set aside; its lines load with the next drop that brings them.

    Returns:
        The batches that are set aside still, each with why.

    Raises:
        ValueError: If no such batch is set aside.
    """
    record = StateFile(settings)
    with record.publishing():
        batch = _refused(settings, batch_id)
        with record.change() as noted:
            noted.forget(batch)
        return record.read().refused()


def _refused(settings: Settings, batch_id: str) -> GoldBatch:
    found = [batch for batch in StateFile(settings).read().batches_in_state("refused") if batch.batch_id == batch_id]
    if not found:
        raise ValueError(f"Batch {batch_id} is not set aside; see `python -m include.operate status`.")
    return found[0]
