"""How the system is doing, answered within two seconds even if something it depends on is silent."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from datetime import UTC, datetime

from include.failover import FailoverState, ReplicaUnusable, Side, StateFile, open_side, replica_state
from include.warehouse import WarehouseUnavailable, error_text
from retail_api.data.health import data_age, pipeline_gauges
from retail_api.domain.health import DataHealth, Health, Reading, SideHealth, WarehouseHealth
from retail_api.resources import Resources

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.3
"""How long any one thing may take to answer; all are asked at once. A silent primary is known after a second."""

READ_SECONDS = 0.8

_checks = ThreadPoolExecutor(8, thread_name_prefix="retail-health")


def health(resources: Resources) -> Health:
    """Return how the system is doing without Airflow's database; blocks for little more than `CHECK_SECONDS`."""
    primary_asked, replica_asked = _checks.submit(_primary, resources), _checks.submit(_replica, resources)
    data_asked, waiting_asked = _checks.submit(_data, resources), _checks.submit(_waiting, resources)
    end = time.monotonic() + CHECK_SECONDS
    primary = _side(primary_asked.result, end)
    copy = _side(replica_asked.result, end)
    try:
        data, serves, trouble = data_asked.result(max(0.0, end - time.monotonic()))
    except NotInTime:
        data, serves, trouble = DataHealth(), None, "Reads are not answered in time."
    if serves == "replica" and primary.answers:
        primary = _side(_checks.submit(_primary, resources).result, end)  # the read has found out since
    warehouse, problems = _warehouse(resources, serves, primary, copy)
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
        warnings=_warnings(resources),
        checked_at=datetime.now(UTC),
        warehouse=warehouse,
        airflow_metadata=None,
        data=data,
        audit_waiting=waiting,
    )


def with_airflow_database(found: Health, database: SideHealth) -> Health:
    """Return how the system is doing together with Airflow's database."""
    if database.answers:
        return found.model_copy(update={"airflow_metadata": database})
    return found.model_copy(
        update={
            "airflow_metadata": database,
            "status": "down" if found.status == "down" else "degraded",
            "problems": [*found.problems, "Airflow's database does not answer."],
        }
    )


def _warnings(resources: Resources) -> list[str]:
    warnings = []
    if resources.warming_up:
        warnings.append("This worker is warming up: its first answers may take seconds longer.")
    if resources.settings.search_nodes and not resources.settings.typesense_search_key.get_secret_value():
        warnings.append("Searches use TYPESENSE_API_KEY, which can change the index: set TYPESENSE_SEARCH_KEY.")
    return warnings


def _side(result: Callable[[float], SideHealth], end: float) -> SideHealth:
    try:
        return result(max(0.0, end - time.monotonic()))
    except NotInTime:
        return SideHealth(answers=False, problem="It does not answer in time.")


def _warehouse(
    resources: Resources, serves: Side | None, primary: SideHealth, copy: SideHealth
) -> tuple[WarehouseHealth, list[str]]:
    only_replica = resources.settings.database_type == "sqlite"
    problems = []
    if not primary.answers and not only_replica:
        problems.append("The primary does not answer.")
    if not copy.answers:
        problems.append("The replica cannot stand in.")
    try:
        state = StateFile(resources.settings).read()
    except WarehouseUnavailable as error:
        unknown = WarehouseHealth(serves=serves, state="unknown", breaker="closed", primary=primary, replica=copy)
        log.warning("The state of the warehouse cannot be read: %s", error)
        return unknown, [*problems, "Which side serves cannot be read."]
    if state.state != "primary":
        problems.append("The replica serves, as the primary lacks batches.")
    if state.refused():
        problems.append("Batches that the primary refused are set aside.")
    found = WarehouseHealth(
        serves=serves,
        state=state.state,
        reason=_reason(state),
        breaker="open" if state.breaker.retry_at else "closed",
        retry_at=state.breaker.retry_at,
        pending_batches=[batch.batch_id for batch in state.batches_in_state("pending")],
        replica_lacks=[batch.batch_id for batch in state.batches_in_state("done")],
        refused_batches=list(state.refused()),
        primary=primary,
        replica=copy,
    )
    return found, problems


def _reason(state: FailoverState) -> str:
    """Return why the replica serves; what the server said names hosts, which a reader has no need to know."""
    if state.state != "primary":
        return "The primary lacks batches that it could not take."
    return "The primary did not answer lately." if state.breaker.reason else ""


def _primary(resources: Resources) -> SideHealth:
    if resources.settings.database_type == "sqlite":
        return SideHealth(answers=False, problem="DATABASE_TYPE is sqlite: the replica is the whole warehouse.")
    try:
        answers = resources.warehouse.primary_answers()
    except WarehouseUnavailable as error:
        log.warning("The primary cannot be asked: %s", error)
        return SideHealth(answers=False, problem="Its settings cannot work: see /retail/api/v1/supabase/config.")
    if not answers:
        return SideHealth(answers=False, problem="It does not answer within a second.")
    return SideHealth(answers=True, latency_ms=resources.warehouse.primary_latency_ms)


def _replica(resources: Resources) -> SideHealth:
    started = time.perf_counter()
    try:
        with open_side(resources.settings, "replica") as connection:
            replica_state(connection)
    except ReplicaUnusable as error:
        log.warning("The replica cannot stand in: %s", error)
        return SideHealth(
            answers=False, problem="It cannot be used. Make a new one: python -m include.operate refresh-replica."
        )
    return SideHealth(answers=True, latency_ms=_since(started))


def _data(resources: Resources) -> tuple[DataHealth, Side | None, str]:
    try:
        answer = resources.warehouse.read(data_age, timeout_seconds=READ_SECONDS)
    except WarehouseUnavailable as error:
        log.warning("Reads are not answered: %s", error)
        return DataHealth(), None, "Reads are not answered: neither side of the warehouse does."
    except Exception as error:
        # A primary without its tables, say: whatever it is, the rest of the picture is wanted all the same.
        log.exception("Reads fail")
        return DataHealth(), None, f"Reads fail: {type(error).__name__}."
    return answer.value, answer.side, ""


def _waiting(resources: Resources) -> int | None:
    try:
        return resources.audit.waiting()
    except sqlite3.Error:
        log.exception("The audit trail cannot be read")
        return None


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def gauges(resources: Resources) -> list[Reading]:
    """Return the gauges of warehouse and pipeline; what cannot be asked is left out, `retail_warehouse_up` says so."""
    found: list[Reading] = []
    try:
        answer = resources.warehouse.read(pipeline_gauges, timeout_seconds=READ_SECONDS)
        state = StateFile(resources.settings).read()
    except Exception as error:
        log.warning("Gauges of the pipeline are missing: %s", error_text(error))
    else:
        found += answer.value
        pending = float(len(state.batches_in_state("pending")))
        found.append(Reading("retail_warehouse_pending_batches", "Batches that the primary lacks", {}, pending))
        refused = float(len(state.refused()))
        found.append(Reading("retail_warehouse_refused_batches", "Batches that the primary refused", {}, refused))
        for side in ("primary", "replica"):
            serves = float(answer.side == side)
            found.append(Reading("retail_warehouse_serves", "Which side answers reads", {"side": side}, serves))
    found.append(Reading("retail_warehouse_up", "Whether reads are answered", {}, float(bool(found))))
    waiting = _waiting(resources)
    if waiting is not None:
        found.append(Reading("retail_audit_waiting", "Audit entries not in the warehouse yet", {}, float(waiting)))
    return found
