"""Who is ahead, primary or replica: one durable record that every process on the data folder reads and changes.

`state.json` in the replica folder is replaced whole, flushed to disk, under a lock that the operating system releases
when its holder dies. Readers need no lock. `docs/failover.md` describes the states.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from include.domain.model import Model
from include.files import lock, write_durably
from include.lake.in_use import LakeNotFree, require_whole_lake
from include.settings import Settings
from include.warehouse import GoldBatch, PublishReport, WarehouseUnavailable

FAILURES_TO_OPEN = 2
"""Failures of the primary in a row after which reads stop asking it."""

OPEN_SECONDS = 15.0
"""How long reads then go to the replica before the primary is tried again."""

PUBLISH_LOCK_SECONDS = 1800.0
"""How long a publish waits for those before it on this host."""

Side = Literal["primary", "replica"]
State = Literal["primary", "failed_over", "catching_up"]
Whereabouts = Literal["trying", "pending", "done", "refused"]


class OpenBatch(Model):
    """A batch that the two sides do not both have for certain.

    Attributes:
        primary: `trying`: a process is, or was when it died, publishing it there; `pending`: the primary lacks it and
            the replica has it or is about to; `done`: the primary has it, the replica lacks it; `refused`: it does not
            fit the primary and was set aside, so neither side serves it until a person applies or discards it.
        reason: Why it is pending or was refused.
        report: What the primary reported, if it has the batch.
    """

    batch: GoldBatch
    primary: Whereabouts
    since: datetime
    reason: str = ""
    report: PublishReport | None = None


class Breaker(Model):
    """What reads have met at the primary lately.

    Attributes:
        failures: Failures in a row.
        retry_at: When the primary is tried again; None while it is trusted.
    """

    failures: int = 0
    retry_at: datetime | None = None
    reason: str = ""


class FailoverState(Model):
    """The record.

    Attributes:
        state: `primary`: it serves whenever it answers; `failed_over`: the replica serves, whatever the primary
            answers; `catching_up`: as `failed_over`, and a process is bringing the primary up to date.
        reason: Why the replica serves.
        batches: Batches that the sides do not both have, in the order they were published.
        unverified_days: Invoice days that were brought to the primary and not compared yet.
        receipts: Runs whose receipts the primary lacks.
    """

    version: int = 0
    state: State = "primary"
    since: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    reason: str = ""
    batches: list[OpenBatch] = Field(default_factory=list)
    unverified_days: list[date] = Field(default_factory=list)
    receipts: list[str] = Field(default_factory=list)
    breaker: Breaker = Field(default_factory=Breaker)

    def note_batch(
        self,
        batch: GoldBatch,
        primary: Whereabouts,
        reason: str = "",
        report: PublishReport | None = None,
    ) -> None:
        """Note a batch, or what has become of it; a batch keeps its place."""
        entry = OpenBatch(batch=batch, primary=primary, since=datetime.now(UTC), reason=reason, report=report)
        for place, known in enumerate(self.batches):
            if known.batch.batch_id == batch.batch_id:
                self.batches[place] = entry
                return
        self.batches.append(entry)

    def forget(self, batch: GoldBatch) -> None:
        """Drop a batch that both sides have, or that was refused."""
        self.batches = [known for known in self.batches if known.batch.batch_id != batch.batch_id]

    def batches_in_state(self, *states: str) -> list[GoldBatch]:
        """Return the batches that the primary has in one of `states`."""
        return [known.batch for known in self.batches if known.primary in states]

    def refused(self) -> dict[str, str]:
        """Return why batches were set aside, by batch."""
        return {known.batch.batch_id: known.reason for known in self.batches if known.primary == "refused"}

    def change_state(self, state: State, reason: str = "") -> None:
        """Change the state."""
        if state != self.state:
            self.since = datetime.now(UTC)
        self.state, self.reason = state, reason


class StateFile:
    """The record on disk."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.replica
        self.path = self.folder / "state.json"
        self._settings = settings

    def read(self) -> FailoverState:
        """Return the record; of a warehouse that never had one, that of a primary that serves.

        Raises:
            WarehouseUnavailable: If the file is damaged.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return FailoverState()
        try:
            return FailoverState.model_validate_json(content)
        except ValidationError as error:
            raise WarehouseUnavailable(
                f"{self.path} is damaged, so nobody can know whether the primary or the replica is ahead. Delete it; "
                "the next publish finds out by comparing the batches that each has."
            ) from error

    @contextmanager
    def change(self) -> Iterator[FailoverState]:
        """Yield the record for changing; it is written on leaving, unless an exception leaves or nothing changed.

        Raises:
            WarehouseUnavailable: If the file is damaged.
        """
        with locked(self.folder / "state.lock", 60.0):
            record = self.read()
            before = record.model_copy(deep=True)
            yield record
            if record != before:
                record.version += 1
                write_durably(self.path, record.model_dump_json(indent=2))

    @contextmanager
    def publishing(self, *, restoring: bool = False) -> Iterator[None]:
        """Hold the lock of publishes, catch-ups, refreshes, backups and restores on this host.

        Args:
            restoring: Whether the caller is a restore, which may follow one that was cut off.

        Raises:
            WarehouseUnavailable: If others hold it too long, or a restore was cut off.
        """
        with locked(self.folder / "publish.lock", PUBLISH_LOCK_SECONDS):
            if not restoring:
                try:
                    require_whole_lake(self._settings)
                except LakeNotFree as error:
                    raise WarehouseUnavailable(str(error)) from error
            yield

    def failed(self, reason: str) -> None:
        """Note that the primary failed a read, unless reads have stopped asking it already."""
        retry_at = self.read().breaker.retry_at
        if retry_at is not None and retry_at > datetime.now(UTC):
            return
        with self.change() as record:
            record.breaker.failures += 1
            record.breaker.reason = reason
            if record.breaker.failures >= FAILURES_TO_OPEN:
                record.breaker.retry_at = datetime.now(UTC) + timedelta(seconds=OPEN_SECONDS)

    def answered(self) -> None:
        """Note that the primary answers."""
        if self.read().breaker != Breaker():
            with self.change() as record:
                record.breaker = Breaker()

    def claim_trial(self) -> bool:
        """Return whether the caller is the one to try a primary that has failed; others keep away meanwhile."""
        now = datetime.now(UTC)
        with self.change() as record:
            retry_at = record.breaker.retry_at
            if retry_at is None or now < retry_at:
                return False
            record.breaker.retry_at = now + timedelta(seconds=OPEN_SECONDS)
        return True


def locked(path: Path, seconds: float) -> AbstractContextManager[object]:
    """Hold a lock, one at a time on the host.

    Args:
        path: File that stands for the lock; made if absent.
        seconds: How long to wait for who holds it.

    Raises:
        WarehouseUnavailable: If it is held too long.
    """
    try:
        return lock(path, seconds)
    except TimeoutError as error:
        raise WarehouseUnavailable(str(error)) from None
