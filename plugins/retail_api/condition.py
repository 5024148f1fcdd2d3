"""How the system is doing, told within two seconds whatever does not answer."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from datetime import UTC, datetime
from typing import Literal, TypeVar

from pydantic import Field
from sqlalchemy import Connection, func, select

from include.domain.model import Model
from include.failover import FailoverState, ReplicaUnusable, Side, StateFile, open_side, replica_state
from include.warehouse import WarehouseUnavailable, error_text, newest_batch, star_table
from retail_api.metrics import Figures
from retail_api.state import State

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

CHECK_SECONDS = 1.3
"""How long any one thing may take to answer; all are asked at once. A silent primary is known after a second."""

READ_SECONDS = 0.8


class SideHealth(Model):
    """One side of the warehouse.

    Attributes:
        problem: Why it does not answer; empty if it does.
        latency_ms: How long it took to answer.
    """

    answers: bool
    problem: str = ""
    latency_ms: float | None = None


class WarehouseHealth(Model):
    """The warehouse.

    Attributes:
        serves: Who answers reads: the primary (PostgreSQL) or the replica (SQLite); none if neither can.
        state: `primary`; `failed_over` if the primary lacks batches, `catching_up` while it is brought them.
        reason: Why the replica serves; `python -m include.operate status` says what the server said.
        breaker: Whether reads go past a primary that did not answer lately.
        pending_batches: Batches that the primary lacks.
        replica_lacks: Batches that the replica lacks.
        refused_batches: Batches that the primary refused; neither side serves them until a person decides.
    """

    serves: Side | None
    state: str
    reason: str = ""
    breaker: Literal["closed", "open"]
    retry_at: datetime | None = None
    pending_batches: list[str] = Field(default_factory=list)
    replica_lacks: list[str] = Field(default_factory=list)
    refused_batches: list[str] = Field(default_factory=list)
    primary: SideHealth
    replica: SideHealth


class DataHealth(Model):
    """How old what is served is.

    Attributes:
        newest_batch: Batch that was published last.
        age_seconds: How long ago that was.
        last_run: Run that ended last, with its receipt.
    """

    newest_batch: str | None = None
    published_at: datetime | None = None
    age_seconds: float | None = None
    last_run: str | None = None
    last_run_status: str | None = None
    last_run_finished_at: datetime | None = None


class Health(Model):
    """How the system is doing.

    Attributes:
        status: `ok`; `degraded`: reads are answered, but something listed in `problems` is not as it should be; `down`:
            reads cannot be answered (HTTP status 503).
        airflow_metadata: Airflow's own database; none outside of Airflow.
        audit_waiting: Entries of the audit trail that the warehouse does not have yet.
    """

    status: Literal["ok", "degraded", "down"]
    problems: list[str]
    checked_at: datetime
    warehouse: WarehouseHealth
    airflow_metadata: SideHealth | None
    data: DataHealth
    audit_waiting: int | None


_checks = ThreadPoolExecutor(8, thread_name_prefix="retail-health")


def health(state: State) -> Health:
    """Return how the system is doing without Airflow's database; blocks for little more than `CHECK_SECONDS`."""
    primary_asked, replica_asked = _checks.submit(_primary, state), _checks.submit(_replica, state)
    data_asked, waiting_asked = _checks.submit(_data, state), _checks.submit(_waiting, state)
    end = time.monotonic() + CHECK_SECONDS
    primary = _side(primary_asked.result, end)
    copy = _side(replica_asked.result, end)
    try:
        data, serves, trouble = data_asked.result(max(0.0, end - time.monotonic()))
    except NotInTime:
        data, serves, trouble = DataHealth(), None, "Reads are not answered in time."
    if serves == "replica" and primary.answers:
        primary = _side(_checks.submit(_primary, state).result, end)  # the read has found out since
    warehouse, problems = _warehouse(state, serves, primary, copy)
    problems += [trouble] if trouble else []
    try:
        waiting = waiting_asked.result(max(0.0, end - time.monotonic()))
    except NotInTime:
        waiting = None
    if waiting is None:
        problems.append("The audit trail cannot be read.")
    return Health(
        status="down" if serves is None else "degraded" if problems else "ok",
        problems=problems,
        checked_at=datetime.now(UTC),
        warehouse=warehouse,
        airflow_metadata=None,
        data=data,
        audit_waiting=waiting,
    )


def with_metadata(found: Health, metadata: SideHealth) -> Health:
    """Return how the system is doing together with Airflow's database."""
    if metadata.answers:
        return found.model_copy(update={"airflow_metadata": metadata})
    return found.model_copy(
        update={
            "airflow_metadata": metadata,
            "status": "down" if found.status == "down" else "degraded",
            "problems": [*found.problems, "Airflow's database does not answer."],
        }
    )


def _side(result: Callable[[float], SideHealth], end: float) -> SideHealth:
    try:
        return result(max(0.0, end - time.monotonic()))
    except NotInTime:
        return SideHealth(answers=False, problem="It does not answer in time.")


def _warehouse(
    state: State, serves: Side | None, primary: SideHealth, copy: SideHealth
) -> tuple[WarehouseHealth, list[str]]:
    only_replica = state.settings.database_type == "sqlite"
    problems = []
    if not primary.answers and not only_replica:
        problems.append("The primary does not answer.")
    if not copy.answers:
        problems.append("The replica cannot stand in.")
    try:
        record = StateFile(state.settings).read()
    except WarehouseUnavailable as error:
        unknown = WarehouseHealth(serves=serves, state="unknown", breaker="closed", primary=primary, replica=copy)
        log.warning("The record of the warehouse cannot be read: %s", error)
        return unknown, [*problems, "The record of which side serves cannot be read."]
    if record.state != "primary":
        problems.append("The replica serves, as the primary lacks batches.")
    if record.refused():
        problems.append("Batches that the primary refused are set aside.")
    told = WarehouseHealth(
        serves=serves,
        state=record.state,
        reason=_reason(record),
        breaker="open" if record.breaker.retry_at else "closed",
        retry_at=record.breaker.retry_at,
        pending_batches=[batch.batch_id for batch in record.batches_in_state("pending")],
        replica_lacks=[batch.batch_id for batch in record.batches_in_state("done")],
        refused_batches=list(record.refused()),
        primary=primary,
        replica=copy,
    )
    return told, problems


def _reason(record: FailoverState) -> str:
    """Return why the replica serves; what the server said names hosts, which a reader has no need to know."""
    if record.state != "primary":
        return "The primary lacks batches that it could not take."
    return "The primary did not answer lately." if record.breaker.reason else ""


def _primary(state: State) -> SideHealth:
    if state.settings.database_type == "sqlite":
        return SideHealth(answers=False, problem="DATABASE_TYPE is sqlite: the replica is the whole warehouse.")
    try:
        answers = state.warehouse.primary_answers()
    except WarehouseUnavailable as error:
        log.warning("The primary cannot be asked: %s", error)
        return SideHealth(answers=False, problem="Its settings cannot work: see /retail/api/v1/supabase/config.")
    if not answers:
        return SideHealth(answers=False, problem="It does not answer within a second.")
    return SideHealth(answers=True, latency_ms=state.warehouse.primary_latency_ms)


def _replica(state: State) -> SideHealth:
    started = time.perf_counter()
    try:
        with open_side(state.settings, "replica") as connection:
            replica_state(connection)
    except ReplicaUnusable as error:
        log.warning("The replica cannot stand in: %s", error)
        return SideHealth(
            answers=False, problem="It cannot be used. Make it anew: python -m include.operate refresh-replica."
        )
    return SideHealth(answers=True, latency_ms=_since(started))


def _data(state: State) -> tuple[DataHealth, Side | None, str]:
    try:
        answer = state.warehouse.read(_age, timeout_seconds=READ_SECONDS)
    except WarehouseUnavailable as error:
        log.warning("Reads are not answered: %s", error)
        return DataHealth(), None, "Reads are not answered: neither side of the warehouse does."
    except Exception as error:
        # A primary without its tables, say: whatever it is, the rest of the picture is wanted all the same.
        log.exception("Reads fail")
        return DataHealth(), None, f"Reads fail: {type(error).__name__}."
    return answer.value, answer.side, ""


def _age(connection: Connection) -> DataHealth:
    newest = newest_batch(connection)
    receipt = star_table("etl_receipt")
    last = connection.execute(
        select(receipt.c.run_id, receipt.c.status, receipt.c.finished_at)
        .order_by(receipt.c.finished_at.desc())
        .limit(1)
    ).first()
    found = DataHealth()
    if newest is not None:
        found.newest_batch, found.published_at = newest.batch_id, newest.published_at
        found.age_seconds = round((datetime.now(UTC) - newest.published_at).total_seconds(), 1)
    if last is not None:
        found.last_run, found.last_run_status, found.last_run_finished_at = last
    return found


def _waiting(state: State) -> int | None:
    try:
        return state.audit.waiting()
    except sqlite3.Error:
        log.exception("The audit trail cannot be read")
        return None


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def figures(state: State) -> Figures:
    """Return the gauges of warehouse and pipeline; what cannot be asked is left out, `retail_warehouse_up` says so."""
    found: Figures = []
    try:
        answer = state.warehouse.read(_pipeline, timeout_seconds=READ_SECONDS)
        record = StateFile(state.settings).read()
    except Exception as error:
        log.warning("Figures of the pipeline are missing: %s", error_text(error))
    else:
        found += answer.value
        pending = float(len(record.batches_in_state("pending")))
        found.append(("retail_warehouse_pending_batches", "Batches that the primary lacks", {}, pending))
        refused = float(len(record.refused()))
        found.append(("retail_warehouse_refused_batches", "Batches that the primary refused", {}, refused))
        for side in ("primary", "replica"):
            serves = float(answer.side == side)
            found.append(("retail_warehouse_serves", "Which side answers reads", {"side": side}, serves))
    found.append(("retail_warehouse_up", "Whether reads are answered", {}, float(bool(found))))
    waiting = _waiting(state)
    if waiting is not None:
        found.append(("retail_audit_waiting", "Audit entries not in the warehouse yet", {}, float(waiting)))
    return found


def _pipeline(connection: Connection) -> Figures:
    receipt, quality = star_table("etl_receipt"), star_table("etl_quality")
    rows = {name: receipt.c[f"rows_{name}"] for name in ("in", "loaded", "duplicate", "quarantined", "already_seen")}
    found: Figures = []
    for status, count in connection.execute(select(receipt.c.status, func.count()).group_by(receipt.c.status)):
        found.append(("retail_receipts", "Runs with a receipt, by outcome", {"status": status}, float(count)))
    sums = connection.execute(select(*(func.sum(column).label(name) for name, column in rows.items()))).mappings().one()
    found += [
        ("retail_rows", "Rows of all runs, by what became of them", {"outcome": name}, float(value or 0))
        for name, value in sums.items()
    ]
    last = connection.execute(select(receipt).order_by(receipt.c.finished_at.desc()).limit(1)).mappings().first()
    if last is not None:
        finished, started = last["finished_at"], last["started_at"]
        found += [
            ("retail_last_run_timestamp_seconds", "When the last run ended", {}, finished.timestamp()),
            ("retail_last_run_seconds", "How long the last run took", {}, (finished - started).total_seconds()),
            ("retail_last_run_rows_in", "Rows that came in with the last run", {}, float(last["rows_in"])),
        ]
    newest = newest_batch(connection)
    if newest is not None:
        published = newest.published_at.timestamp()
        found.append(("retail_published_timestamp_seconds", "When a batch was published last", {}, published))
    scored = connection.execute(
        select(quality.c.score, quality.c.bar)
        .where(quality.c.level == "overall", quality.c.score.is_not(None))
        .order_by(quality.c.scored_at.desc())
        .limit(1)
    ).first()
    if scored is not None:
        found += [
            ("retail_quality_score", "Overall quality score of the last scored batch, 0 to 1", {}, float(scored.score)),
            ("retail_quality_bar", "Score that batch had to reach", {}, float(scored.bar)),
        ]
    return found
