"""How the system is doing, as health and metrics report it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import Field

from include.domain.model import Model
from include.failover import Side


class Reading(NamedTuple):
    """A number that Prometheus reads."""

    name: str
    meaning: str
    labels: dict[str, str]
    value: float


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
        serves: The side that answers reads: the primary (PostgreSQL) or the replica (SQLite); none if neither can.
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
    """The age of the data.

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
        warnings: What is worth knowing and does not keep the system from answering.
        audit_waiting: Entries of the audit trail that the warehouse does not have yet.
    """

    status: Literal["ok", "degraded", "down"]
    problems: list[str]
    warnings: list[str] = Field(default_factory=list)
    checked_at: datetime
    warehouse: WarehouseHealth
    airflow_metadata: SideHealth | None
    data: DataHealth
    audit_waiting: int | None
