"""Publishing to the primary or, while it is away, to the replica; catching the primary up; reading whoever serves.

`docs/failover.md` describes the states and who decides.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, ValidationError
from sqlalchemy import Connection, Engine, QueuePool, func, inspect, select
from sqlalchemy.exc import DBAPIError

from include.domain.model import Model
from include.quality.gate import STAGE as QUALITY_STAGE
from include.quality.record import QualityRecord, ScoreRow, score_rows
from include.receipts import Receipt, ReceiptUnbalanced
from include.runs import RunFolder, RunRecordMissing, mark_published
from include.settings import Settings
from include.warehouse import replica
from include.warehouse.comparison import Difference, compare
from include.warehouse.engine import WarehouseUnavailable, make_engine, transaction, warehouse_url
from include.warehouse.gold import GoldBatch, GoldStar, GoldUnreadable, gold_batch
from include.warehouse.loading import publish_batch
from include.warehouse.publish import STATEMENT_TIMEOUT_SECONDS, PublishError, PublishReport
from include.warehouse.quality import save_scores
from include.warehouse.receipts import save_receipt
from include.warehouse.record import Breaker, RecordFile
from include.warehouse.replica import (
    Refreshed,
    ReplicaUnusable,
    newest_batch,
    recorded_batches,
    recorded_batches_of,
)
from include.warehouse.tables import FACT, star_table
from include.warehouse.watch import (
    Pulse,
    answers,
    cut_after,
    end,
    lost_connection,
    primary_failed,
    said,
    timed_out,
    watched_engine,
)

log = logging.getLogger(__name__)

Side = Literal["primary", "replica"]
ResultT = TypeVar("ResultT")

HEADER = "X-Warehouse"
"""Header by which an answer says which side gave it."""

PUBLISH_LIMIT_SECONDS = STATEMENT_TIMEOUT_SECONDS + 60
READ_PROBE_SECONDS = 2

_REPLICA_STEPS = 20_000
"""Steps of SQLite between two looks at the clock, some milliseconds."""

LARGE_BATCH = 50_000
LARGE_SHARE = 0.5
"""A batch of at least so many facts, and of more than this share of the replica's, is not worked into the replica: a
row costs 45 microseconds there and 13 in a new one (`docs/failover.md`)."""

REPLICA_ERRORS = (ReplicaUnusable, GoldUnreadable, PublishError, OSError, sqlite3.Error)
"""What may go wrong with the replica while the primary is well; the run goes on with a warning."""


class Publication(PublishReport):
    """What a publish did, and on which side.

    Attributes:
        warehouse: The side that has the batch and serves it.
        primary_seconds: How long the primary took.
        replica_seconds: How long the replica took.
        warnings: Sentences worth reading.
    """

    warehouse: Side = "primary"
    primary_seconds: float = 0.0
    replica_seconds: float = 0.0
    warnings: list[str] = Field(default_factory=list)

    def report(self) -> PublishReport:
        """Return the report alone."""
        return PublishReport.model_validate(self.model_dump(include=set(PublishReport.model_fields)))


class CaughtUp(Model):
    """What a catch-up did.

    Attributes:
        batches: Batches the primary was brought, in order.
        receipts: Runs whose receipts it was brought.
        compared_days: Invoice days whose rows were compared with Gold.
        differences: What the primary still has otherwise than Gold; while there are any, the replica serves.
        serves: Who serves now.
    """

    batches: list[str] = Field(default_factory=list)
    receipts: list[str] = Field(default_factory=list)
    compared_days: list[date] = Field(default_factory=list)
    differences: list[Difference] = Field(default_factory=list)
    serves: Side = "primary"


def publish(settings: Settings, batch: GoldBatch) -> Publication:
    """Make a batch live in the primary and in the replica; in the replica alone while the primary cannot take it.

    Waits for publishes before it on this host. A batch that the primary could not take is recorded and brought to it by
    the next publish, or by `catch_up`.

    Raises:
        PublishError: If the rows contradict themselves or the star; nothing of them is visible.
        WarehouseUnavailable: If the primary cannot take the batch and the replica cannot either.
    """
    record = RecordFile(settings)
    if settings.database_type == "sqlite":
        with record.publishing():
            return _to_file_alone(settings, record, batch)
    warehouse_url(settings)
    with record.publishing():
        warnings = _settle(settings, record)
        state = record.read()
        if state.state != "primary" and answers(settings):
            warnings += _caught_up_or_why_not(settings, record)
        state = record.read()
        if state.state == "primary":
            started = time.monotonic()
            try:
                report = _to_primary(settings, record, batch)
            except WarehouseUnavailable as error:
                reason = str(error)
            else:
                published = time.monotonic()
                warnings += _to_both(settings, record, batch, report)
                return Publication(
                    **report.model_dump(),
                    warehouse="primary",
                    primary_seconds=published - started,
                    replica_seconds=time.monotonic() - published,
                    warnings=warnings,
                )
        else:
            reason = state.reason
        started = time.monotonic()
        report = _to_replica(settings, record, batch, reason)
        seconds = time.monotonic() - started
    warnings.append(
        f"The primary could not take batch {batch.batch_id}, so it is in the replica, which serves until the primary "
        f"has it too: {reason}"
    )
    return Publication(**report.model_dump(), warehouse="replica", replica_seconds=seconds, warnings=warnings)


def _to_file_alone(settings: Settings, record: RecordFile, batch: GoldBatch) -> Publication:
    """Publish in the SQLite file where there is no PostgreSQL.

    Raises:
        PublishError: If the batch is refused.
        WarehouseUnavailable: If the file cannot take it.
    """
    started = time.monotonic()
    try:
        report = _bring(settings, record, batch, None)
    except PublishError:
        raise
    except REPLICA_ERRORS as error:
        raise WarehouseUnavailable(f"The warehouse cannot take batch {batch.batch_id}: {error}") from error
    return Publication(**report.model_dump(), warehouse="replica", replica_seconds=time.monotonic() - started)


def _caught_up_or_why_not(settings: Settings, record: RecordFile) -> list[str]:
    try:
        caught_up = _catch_up(settings, record)
    except (WarehouseUnavailable, PublishError, *REPLICA_ERRORS) as error:
        log.warning("The primary is not caught up: %s", error)
        return [f"The primary is not caught up: {error}"]
    if caught_up.differences:
        return [record.read().reason]
    return [f"The primary was caught up with {len(caught_up.batches)} batches and serves again."]


def _to_primary(settings: Settings, record: RecordFile, batch: GoldBatch) -> PublishReport:
    """Publish on the primary.

    Raises:
        WarehouseUnavailable: If the primary cannot take the batch.
        PublishError: If the batch is refused.
    """
    with record.change() as noted:
        noted.put(batch, "trying")
    try:
        try:
            report = _try_primary(settings, record, batch)
        except Exception as error:
            if not (lost_connection(error) and answers(settings)):
                raise
            log.warning("The connection was lost, but the primary answers; once more: %s", said(error))
            report = _try_primary(settings, record, batch)
    except Exception as error:
        if primary_failed(error):
            raise WarehouseUnavailable(said(error)) from error
        with record.change() as noted:
            noted.forget(batch)
        raise
    with record.change() as noted:
        noted.put(batch, "done")
        noted.breaker = Breaker()
    return report


def _try_primary(settings: Settings, record: RecordFile, batch: GoldBatch) -> PublishReport:
    with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
        _require_history(settings, engine)
        _settle_tries(settings, record, engine, batch)
        report = publish_batch(engine, settings, batch)
        with record.change() as noted:
            noted.put(batch, "done")  # whatever becomes of what follows
        try:
            _deliver_receipts(settings, record, engine)
        except (DBAPIError, WarehouseUnavailable, ReceiptUnbalanced) as error:
            log.warning("Receipts wait for the next publish: %s", said(error))
    return report


def _require_history(settings: Settings, engine: Engine) -> None:
    """Raise if the primary lacks the newest batch that the replica has: it was restored from an older state.

    Raises:
        WarehouseUnavailable: Naming the batch.
    """
    try:
        with replica.reading(settings) as connection:
            newest = newest_batch(connection)
    except ReplicaUnusable:
        return  # nothing to hold the primary against
    if newest is None or not _migrated(settings, engine):
        return
    with transaction(engine) as connection:
        if not recorded_batches_of(connection, [newest.batch_id]):
            raise WarehouseUnavailable(f"The primary lacks batch {newest.batch_id}, which was published. It is behind.")


def _migrated(settings: Settings, engine: Engine) -> bool:
    return inspect(engine).has_table("etl_batch", schema=settings.warehouse_schema)


def _to_both(settings: Settings, record: RecordFile, batch: GoldBatch, report: PublishReport | None) -> list[str]:
    """Bring the replica a batch that the primary has; return warnings if it cannot be."""
    try:
        _bring(settings, record, batch, report)
    except REPLICA_ERRORS as error:
        log.warning("The replica lacks batch %s: %s", batch.batch_id, error)
        return [f"The replica lacks batch {batch.batch_id} until the next publish: {error}"]
    with record.change() as noted:
        noted.forget(batch)
    return []


def _to_replica(settings: Settings, record: RecordFile, batch: GoldBatch, reason: str) -> PublishReport:
    """Record that the primary lacks a batch, then publish it in the replica.

    Raises:
        PublishError: If the batch is refused.
        WarehouseUnavailable: If the replica cannot take it.
    """
    # The record comes first: from here on the primary does not serve, whether it took the batch unheard or not.
    with record.change() as noted:
        noted.put(batch, "pending", reason)
        noted.turn("failed_over", reason)
    try:
        return _bring(settings, record, batch, None)
    except PublishError:
        with record.change() as noted:
            noted.forget(batch)
        raise
    except REPLICA_ERRORS as error:
        raise WarehouseUnavailable(
            f"Neither side can take batch {batch.batch_id}. Primary: {reason} Replica: {error}"
        ) from error


def _bring(settings: Settings, record: RecordFile, batch: GoldBatch, report: PublishReport | None) -> PublishReport:
    """Bring the replica a batch; make it anew if it is missing, damaged or of an older version, or that is faster."""
    try:
        if not _outweighs(settings, batch):
            return replica.apply_batch(settings, batch, report)
        log.info("Batch %s is large beside what the replica has. It is made anew.", batch.batch_id)
    except ReplicaUnusable as error:
        if replica.replica_link(settings).exists():
            log.warning("%s It is made anew.", error)
        else:
            log.info("There is no replica yet. It is made from Gold.")
    _refresh(settings, record, {batch.batch_id: report or _report_of(settings, batch)})
    with replica.reading(settings) as connection:
        return recorded_batches_of(connection, [batch.batch_id])[batch.batch_id]


def _outweighs(settings: Settings, batch: GoldBatch) -> bool:
    """Return whether the batch is so large that making the replica anew is faster than changing it."""
    facts = batch.staged_rows.get(FACT, 0)
    if facts < LARGE_BATCH:
        return False
    with replica.reading(settings) as connection:
        there: int = connection.execute(select(func.count()).select_from(star_table(FACT))).scalar_one()
    return facts > there * LARGE_SHARE


def _settle(settings: Settings, record: RecordFile) -> list[str]:
    """Bring the replica what processes that died left undone."""
    warnings = []
    for batch in record.read().of("done"):
        warnings += _to_both(settings, record, batch, None)
    return warnings


def _settle_tries(settings: Settings, record: RecordFile, engine: Engine, current: GoldBatch) -> None:
    """Find out what became of batches that processes were publishing when they died."""
    tries = [batch for batch in record.read().of("trying") if batch.batch_id != current.batch_id]
    if not tries:
        return
    with transaction(engine) as connection:
        found = recorded_batches_of(connection, [batch.batch_id for batch in tries])
    with record.change() as noted:
        for batch in tries:
            if batch.batch_id in found and found[batch.batch_id].token == batch.token:
                noted.put(batch, "done")
            else:
                noted.forget(batch)


def catch_up(settings: Settings) -> CaughtUp:
    """Bring the primary what it lacks, in order and from Gold, compare it, and let it serve again if nothing differs.

    Delivers receipts alone if the primary serves and lacks no batch that the replica has.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If a batch does not fit the primary.
        WarehouseUnavailable: If the primary cannot be reached, or gives up midway; the call can be repeated.
    """
    warehouse_url(settings)
    record = RecordFile(settings)
    with record.publishing():
        for warning in _settle(settings, record):
            log.warning("%s", warning)
        return _catch_up(settings, record)


def _catch_up(settings: Settings, record: RecordFile) -> CaughtUp:
    before = record.read()
    if before.state != "primary":
        with record.change() as noted:
            noted.turn("catching_up", before.reason)
    try:
        with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
            return _bring_primary(settings, record, engine)
    except Exception as error:
        failed = primary_failed(error)
        reason = said(error) if failed else str(error)
        with record.change() as noted:
            if noted.state == "catching_up":
                noted.turn("failed_over", reason)
        if failed:
            raise WarehouseUnavailable(f"The primary is not caught up: {reason}") from error
        raise


def _bring_primary(settings: Settings, record: RecordFile, engine: Engine) -> CaughtUp:
    done = CaughtUp()
    if not _migrated(settings, engine):
        raise PublishError(
            f"Schema {settings.warehouse_schema} of the primary has no warehouse tables. "
            "Run `python -m include.warehouse migrate`."
        )
    lacking = _lacking(settings, record, engine)
    if record.read().state == "primary":
        if not lacking:
            done.receipts = _deliver_receipts(settings, record, engine)
            return done
        with record.change() as noted:
            noted.turn("catching_up", f"The primary lacks batch {lacking[0].batch_id}, which was published.")
    for batch in lacking:
        with GoldStar(settings) as gold:
            days = gold.pick_batch(batch)
            with record.change() as noted:
                noted.unverified_days = sorted({*noted.unverified_days, *days, *batch.days})
            publish_batch(engine, settings, batch, gold)
        with record.change() as noted:
            noted.put(batch, "done")
        mark_published(settings, batch.batch_id)
        done.batches.append(batch.batch_id)
    for warning in _settle(settings, record):
        log.warning("%s", warning)
    done.receipts = _deliver_receipts(settings, record, engine, _receipts_not_on(settings, engine))
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
            noted.turn(
                "failed_over",
                f"The primary differs from Gold in {len(done.differences)} places, first {first.subject}: "
                f"{first.expected} expected, {first.found} found. See `python -m include.warehouse compare`.",
            )
            done.serves = "replica"
        else:
            noted.turn("primary")
            noted.unverified_days = []
            noted.breaker = Breaker()
    return done


def _lacking(settings: Settings, record: RecordFile, engine: Engine) -> list[GoldBatch]:
    """Return the batches to bring the primary, in order: those it missed, and those it has lost."""
    state = record.read()
    with transaction(engine) as connection:
        there = recorded_batches(connection)
    for batch in state.of("trying"):
        known = there.get(batch.batch_id)
        with record.change() as noted:
            if known is not None and known.token == batch.token:
                noted.put(batch, "done")
            else:
                noted.forget(batch)
    pending = state.of("pending")
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


def _batch_of(settings: Settings, report: PublishReport) -> GoldBatch:
    """Return what Gold knows of a published batch, from its run's records if they are kept."""
    try:
        batch = gold_batch(RunFolder(settings, report.run_id))
    except (RunRecordMissing, ValueError):
        batch = None
    if batch is not None and batch.token == report.token:
        return batch
    return GoldBatch(
        batch_id=report.batch_id,
        run_id=report.run_id,
        kind=report.kind,
        token=report.token,
        days=report.rebuilt_days,
    )


def known_batches(settings: Settings, primary: Connection | None = None) -> dict[str, PublishReport]:
    """Return every batch that was published, by what the runs, the replica and the primary remember of it."""
    found: dict[str, PublishReport] = {}
    for path in (settings.data_dir / "runs").glob("*/stages/publish.json"):
        try:
            report = Publication.model_validate_json(path.read_bytes()).report()
        except ValidationError:
            log.warning("%s was written by an earlier version, or is damaged; what the sides recorded has to do.", path)
            continue
        found[report.batch_id] = report
    try:
        with replica.reading(settings) as connection:
            found |= recorded_batches(connection)
    except ReplicaUnusable as error:
        log.info("%s", error)
    if primary is not None:
        found |= recorded_batches(primary)
    return dict(sorted(found.items(), key=lambda item: (item[1].published_at, item[0])))


def refresh_replica(settings: Settings) -> Refreshed:
    """Make the replica anew from Gold, with every batch that was published and every receipt.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If what Gold holds does not fit the tables.
    """
    record = RecordFile(settings)
    with record.publishing():
        return _refresh(settings, record, {})


def _refresh(settings: Settings, record: RecordFile, more: Mapping[str, PublishReport]) -> Refreshed:
    state = record.read()
    asked = state.state == "primary" and settings.database_type != "sqlite"
    reports = (_primary_batches(settings) if asked else None) or known_batches(settings)
    for batch in state.of("pending", "done"):
        if batch.batch_id not in {*reports, *more}:
            reports[batch.batch_id] = _report_of(settings, batch)
    reports |= more
    with GoldStar(settings) as gold:
        left_out = gold.unpublished(reports)
    refreshed = replica.refresh(settings, reports, left_out)
    replica.store_receipts(settings, receipts_on_disk(settings))
    with record.change() as noted:
        for batch in noted.of("done"):
            noted.forget(batch)
    return refreshed


def _primary_batches(settings: Settings) -> dict[str, PublishReport] | None:
    """Return every published batch, with what the primary knows of them; None if it does not answer."""
    try:
        with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
            if not _migrated(settings, engine):
                return None
            with transaction(engine) as connection:
                return known_batches(settings, connection)
    except Exception as error:
        if not primary_failed(error):
            raise
        log.warning("The batches are told without the primary: %s", said(error))
        return None


def _report_of(settings: Settings, batch: GoldBatch) -> PublishReport:
    """Return the report of a batch that no side has reported."""
    with GoldStar(settings) as gold:
        gold.pick_batch(batch)
        return replica.report_of(gold, batch, written={}, deleted=0, loaded=gold.picked_of(batch.batch_id))


def receipts_on_disk(
    settings: Settings, run_ids: Sequence[str] | None = None
) -> Iterator[tuple[Receipt, Sequence[ScoreRow]]]:
    """Yield receipts, of all runs if none are named, each with the quality scores of its batch."""
    folder = settings.data_dir / "receipts"
    paths: Sequence[Path] = (
        sorted(folder.glob("*.json"))
        if run_ids is None
        else [RunFolder(settings, run_id).receipt for run_id in run_ids]
    )
    for path in paths:
        if path.exists():
            try:
                receipt = Receipt.model_validate_json(path.read_bytes())
            except ValidationError:
                log.warning("%s was written by an earlier version, or is damaged; it is passed over.", path)
                continue
            try:
                scores = score_rows(RunFolder(settings, receipt.run_id).stage(QUALITY_STAGE, QualityRecord))
            except (RunRecordMissing, ValidationError):
                scores = []  # it had nothing to score, or its records are of an earlier version or were tidied away
            yield receipt, scores


def record_receipt(settings: Settings, receipt: Receipt, scores: Sequence[ScoreRow] = ()) -> Side:
    """Write the receipt of a run and the scores of its batch to both sides; return the side that surely has them.

    A receipt that the primary could not take is recorded and brought to it later; its file has to be there.

    Raises:
        ReceiptUnbalanced: If rows or money of the receipt do not balance.
        WarehouseUnavailable: If neither side can take it.
    """
    receipt.check()
    if settings.database_type == "sqlite":
        try:
            replica.store_receipts(settings, [(receipt, scores)])
        except ReplicaUnusable as error:
            raise WarehouseUnavailable(str(error)) from error
        return "replica"
    record = RecordFile(settings)
    side: Side = "primary"
    reason = "it is failed over."
    if record.read().state == "primary":
        try:
            with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
                save_receipt(engine, receipt)
                save_scores(engine, scores)
        except Exception as error:
            if not primary_failed(error):
                raise
            side, reason = "replica", said(error)
    else:
        side = "replica"
    if side == "replica":
        with record.change() as noted:
            noted.receipts = sorted({*noted.receipts, receipt.run_id})
    try:
        replica.store_receipts(settings, [(receipt, scores)])
    except ReplicaUnusable as error:
        if side == "replica":
            raise WarehouseUnavailable(
                f"Neither side can take the receipt of run {receipt.run_id}. Primary: {reason} Replica: {error}"
            ) from error
        log.warning("The replica lacks the receipt of run %s: %s", receipt.run_id, error)
    return side


def _receipts_not_on(settings: Settings, engine: Engine) -> list[str]:
    """Return the runs whose receipts are on this host and not in the primary."""
    with transaction(engine) as connection:
        there = set(connection.execute(select(star_table("etl_receipt").c.run_id)).scalars())
    return sorted({path.stem for path in (settings.data_dir / "receipts").glob("*.json")} - there)


def _deliver_receipts(settings: Settings, record: RecordFile, engine: Engine, more: Sequence[str] = ()) -> list[str]:
    """Bring the primary the receipts it is known to lack, and `more`; return their runs."""
    waiting = sorted({*record.read().receipts, *more})
    for receipt, scores in receipts_on_disk(settings, waiting):
        save_receipt(engine, receipt)
        save_scores(engine, scores)
    if waiting:
        with record.change() as noted:
            noted.receipts = [run_id for run_id in noted.receipts if run_id not in waiting]
    return waiting


@dataclass(frozen=True)
class Answer(Generic[ResultT]):
    """What a read found.

    Attributes:
        value: What the work returned.
        side: Who answered.
    """

    value: ResultT
    side: Side

    @property
    def headers(self) -> dict[str, str]:
        """Headers that tell a client who answered."""
        return {HEADER: self.side}


class Warehouse:
    """Reads of whoever serves. Make one a process, close it at the end; threads may share it."""

    def __init__(self, settings: Settings, *, pool_size: int | None = None, pulse: bool = False) -> None:
        """Open nothing yet.

        Args:
            settings: Name the two sides.
            pool_size: Connections to the primary kept open, as the settings say if not given.
            pulse: Keep asking the primary for a sign of life while there are reads. Then a primary that falls silent
                costs readers a second or two instead of its patience, which only slow work needs.

        Raises:
            WarehouseUnavailable: If DATABASE_URL is missing or unusable.
        """
        self._settings = settings
        self._record = RecordFile(settings)
        # A ping of a pooled connection has no time limit on this side; a stale one is found out by its use.
        self._primary = (
            None if settings.database_type == "sqlite" else make_engine(settings, pool_size=pool_size, ping=False)
        )
        self._pulse = Pulse(settings, self._end_all) if pulse and self._primary is not None else None
        if self._pulse is not None and self._primary is not None:
            self._pulse.guard(self._primary)
        self._in_use: set[Any] = set()
        self._in_use_lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        if self._pulse is not None:
            self._pulse.close()
        if self._primary is not None:
            self._primary.dispose()

    def connections(self) -> tuple[int, int]:
        """Return how many connections to the primary are in use and how many lie ready."""
        pool = self._primary.pool if self._primary is not None else None
        return (pool.checkedout(), pool.checkedin()) if isinstance(pool, QueuePool) else (0, 0)

    def __enter__(self) -> Warehouse:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def serves(self) -> Side:
        """Return who serves the next read; a primary that has failed is asked again now and then.

        Raises:
            WarehouseUnavailable: If the record is damaged.
        """
        if self._primary is None:
            return "replica"
        record = self._record.read()
        if record.state != "primary":
            return "replica"
        if record.breaker.retry_at is None:
            if self._pulse is None or self._pulse.alive():
                return "primary"
            self._record.failed("The primary does not answer.")
            return "replica"
        if self._record.claim_trial() and self.primary_answers():
            self._record.answered()
            return "primary"
        return "replica"

    @property
    def primary_latency_ms(self) -> float | None:
        """How long the primary's last sign of life took; none without a pulse."""
        return self._pulse.latency_ms if self._pulse is not None else None

    def primary_answers(self) -> bool:
        """Return whether there is a primary and it answers, within two seconds; one with a pulse."""
        if self._primary is None:
            return False
        return self._pulse.alive() if self._pulse is not None else answers(self._settings, READ_PROBE_SECONDS)

    def read(self, work: Callable[[Connection], ResultT], *, timeout_seconds: float | None = None) -> Answer[ResultT]:
        """Return what `work` finds on a connection to whoever serves.

        If the primary fails or is too slow in the middle of it, `work` runs again on the replica; so it has to be a
        read that may be repeated, and return rows rather than a cursor.

        Args:
            work: Is given a connection; statements go to the configured schema.
            timeout_seconds: How long it may take on either side; `primary_patience_seconds` if not given.

        Raises:
            WarehouseUnavailable: If neither side can answer.
        """
        seconds = timeout_seconds or self._settings.primary_patience_seconds
        if self.serves() == "primary":
            try:
                value = self._ask_primary(work, seconds)
            except Exception as error:
                if not primary_failed(error, read_only=True):
                    raise
                reason = said(error)
                log.warning("The replica answers instead of the primary: %s", reason)
                self._record.failed(reason)
            else:
                # What was read before the replica took over is behind what readers may have seen since.
                if self._record.read().state == "primary":
                    self._record.answered()
                    return Answer(value, "primary")
        with self._replica(seconds) as connection:
            return Answer(work(connection), "replica")

    @contextmanager
    def connection(self, *, timeout_seconds: float | None = None) -> Iterator[Answer[Connection]]:
        """Yield a connection to whoever serves, with the side it is; a failure in the middle is raised.

        Raises:
            WarehouseUnavailable: If neither side can answer.
        """
        seconds = timeout_seconds or self._settings.primary_patience_seconds
        if self.serves() == "primary":
            try:
                self._ask_primary(lambda connection: None, seconds)
            except Exception as error:
                if not primary_failed(error, read_only=True):
                    raise
                self._record.failed(said(error))
            else:
                with self._primary_connection(seconds) as connection:
                    yield Answer(connection, "primary")
                return
        with self._replica(seconds) as connection:
            yield Answer(connection, "replica")

    def _ask_primary(self, work: Callable[[Connection], ResultT], seconds: float) -> ResultT:
        try:
            with self._primary_connection(seconds) as connection:
                return work(connection)
        except Exception as error:
            if not (isinstance(error, DBAPIError) and error.connection_invalidated):
                raise
            if self._pulse is not None and not self._pulse.alive():
                raise
        # The pooled connection may only have been older than the server's last restart.
        with self._primary_connection(seconds) as connection:
            return work(connection)

    @contextmanager
    def _primary_connection(self, seconds: float) -> Iterator[Connection]:
        if self._primary is None:
            raise WarehouseUnavailable("DATABASE_TYPE is sqlite, so there is no primary.")
        with self._primary.connect() as connection:
            raw: Any = connection.connection.driver_connection
            with self._in_use_lock:
                self._in_use.add(raw)
            with cut_after(raw, seconds + 1) as cut:
                try:
                    with _read_only(connection, seconds):
                        yield connection
                except Exception as error:
                    if cut.is_set():
                        raise WarehouseUnavailable(
                            f"The primary has not answered within {seconds + 1:g} seconds."
                        ) from error
                    raise
                finally:
                    with self._in_use_lock:
                        self._in_use.discard(raw)

    def _end_all(self, reason: str) -> None:
        """End the reads under way, which then run on the replica."""
        with self._in_use_lock:
            for raw in self._in_use:
                log.warning("A read is ended: %s", reason)
                end(raw)

    @contextmanager
    def _replica(self, seconds: float) -> Iterator[Connection]:
        end_at = time.monotonic() + seconds
        try:
            with replica.reading(self._settings) as connection:
                raw: Any = connection.connection.driver_connection
                raw.set_progress_handler(lambda: time.monotonic() > end_at, _REPLICA_STEPS)
                yield connection
        except ReplicaUnusable as error:
            if error.__cause__ is not None and timed_out(error.__cause__):
                raise WarehouseUnavailable(f"The replica has not answered within {seconds:g} seconds.") from error
            state = self._record.read()
            reason = state.reason or state.breaker.reason
            raise WarehouseUnavailable(
                f"Neither side answers. Primary: {reason} Replica: {error}" if self._primary is not None else str(error)
            ) from error


@contextmanager
def _read_only(connection: Connection, seconds: float) -> Iterator[None]:
    # All statements of a read see one state, whatever is published in between.
    connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        milliseconds = f"{round(seconds * 1000)}ms"
        connection.exec_driver_sql(
            "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true), "
            "set_config('transaction_read_only', 'on', true)",
            (milliseconds, milliseconds),
        )
        yield


def read(settings: Settings, work: Callable[[Connection], ResultT]) -> Answer[ResultT]:
    """Return what `work` finds with whoever serves; see `Warehouse.read`."""
    with Warehouse(settings, pool_size=1) as warehouse:
        return warehouse.read(work)


def serving_side(settings: Settings) -> Side:
    """Return who serves the next read.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is missing or unusable, or the record is damaged.
    """
    with Warehouse(settings, pool_size=1) as warehouse:
        return warehouse.serves()
