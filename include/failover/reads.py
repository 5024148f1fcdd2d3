"""Reading the active side of the warehouse."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, QueuePool
from sqlalchemy.exc import DBAPIError

from include.failover import replica
from include.failover.replica.file import ReplicaUnusable
from include.failover.state import Side, StateFile
from include.settings import Settings
from include.warehouse import (
    Pulse,
    WarehouseUnavailable,
    abort_connection,
    cut_after,
    error_text,
    lock_timed_out,
    make_engine,
    primary_failed,
    primary_is_up,
    timed_out,
)

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

HEADER = "X-Warehouse"
"""Header by which an answer says which side gave it."""

LACKS_HEADER = "X-Warehouse-Lacks"
"""Header by which an answer of a replica that is behind names the batches it lacks."""

READ_PROBE_SECONDS = 2

READ_LOCK_SECONDS = 0.5
"""How long a read waits for a table that is locked, as by a publish that makes indices, before the replica answers."""

_REPLICA_STEPS = 20_000
"""Steps of SQLite between two looks at the clock, some milliseconds."""


@dataclass(frozen=True)
class Answer(Generic[ResultT]):
    """What a read found.

    Attributes:
        value: What the work returned.
        side: The side that answered.
        lacks: Published batches that the replica, if it answered, lacks or may lack.
    """

    value: ResultT
    side: Side
    lacks: tuple[str, ...] = ()

    @property
    def headers(self) -> dict[str, str]:
        """Headers that tell a client which side answered, and what it lacks."""
        return {HEADER: self.side} | ({LACKS_HEADER: ", ".join(self.lacks)} if self.lacks else {})


class Warehouse:
    """Read access to the active side (primary or replica). Create one per process; thread-safe. Close it at the end."""

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
        self._record = StateFile(settings)
        # A ping of a pooled connection has no time limit on this side; a stale one is found out by its use.
        self._primary = (
            None if settings.database_type == "sqlite" else make_engine(settings, pool_size=pool_size, ping=False)
        )
        self._pulse = Pulse(settings, self._on_verdict) if pulse and self._primary is not None else None
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
        """Return the side that serves the next read; a primary that has failed is asked again now and then.

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
        if record.breaker.retry_at <= datetime.now(UTC) and self._record.claim_trial() and self.primary_answers():
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
        return self._pulse.alive() if self._pulse is not None else primary_is_up(self._settings, READ_PROBE_SECONDS)

    def read(self, work: Callable[[Connection], ResultT], *, timeout_seconds: float | None = None) -> Answer[ResultT]:
        """Return what `work` finds on a connection to the active side.

        If the primary fails or is too slow in the middle of it, `work` runs again on the replica; so it has to be a
        read that may be repeated, and return rows rather than a cursor.

        Args:
            work: Is given a connection; statements go to the configured schema.
            timeout_seconds: How long it may take on either side; `primary_patience_seconds` if not given.

        Raises:
            WarehouseUnavailable: If neither side can answer.
        """
        seconds = timeout_seconds or self._settings.primary_patience_seconds
        reason = ""
        if self.serves() == "primary":
            try:
                value = self._ask_primary(work, seconds)
            except Exception as error:
                if not primary_failed(error, read_only=True):
                    raise
                reason = error_text(error)
                log.warning("The replica answers instead of the primary: %s", reason)
                if not lock_timed_out(error):  # a table is locked, which is no failure of the primary
                    self._record.failed(reason)
            else:
                # What was read before the replica took over is behind what readers may have seen since.
                if self._record.read().state == "primary":
                    self._record.answered()
                    return Answer(value, "primary")
        with self._replica(seconds, reason) as connection:
            return Answer(work(connection), "replica", self._replica_lacks())

    @contextmanager
    def connection(self, *, timeout_seconds: float | None = None) -> Iterator[Answer[Connection]]:
        """Yield a connection to the active side, with which one it is; a failure in the middle is raised.

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
                self._record.failed(error_text(error))
            else:
                with self._primary_connection(seconds, seconds) as connection:
                    yield Answer(connection, "primary")
                return
        with self._replica(seconds) as connection:
            yield Answer(connection, "replica", self._replica_lacks())

    def _ask_primary(self, work: Callable[[Connection], ResultT], seconds: float) -> ResultT:
        lock_seconds = min(seconds, READ_LOCK_SECONDS)
        try:
            with self._primary_connection(seconds, lock_seconds) as connection:
                return work(connection)
        except Exception as error:
            if not (isinstance(error, DBAPIError) and error.connection_invalidated):
                raise
            if self._pulse is not None and not self._pulse.alive():
                raise
        # The pooled connection may only have been older than the server's last restart.
        with self._primary_connection(seconds, lock_seconds) as connection:
            return work(connection)

    @contextmanager
    def _primary_connection(self, seconds: float, lock_seconds: float) -> Iterator[Connection]:
        if self._primary is None:
            raise WarehouseUnavailable("DATABASE_TYPE is sqlite, so there is no primary.")
        with self._primary.connect() as connection:
            raw: Any = connection.connection.driver_connection
            with self._in_use_lock:
                self._in_use.add(raw)
            with cut_after(raw, seconds + 1) as cut:
                try:
                    # From here on a verdict ends this read; one that came before would have missed it.
                    if self._pulse is not None and self._pulse.silent():
                        raise WarehouseUnavailable("The primary does not answer.")
                    with _read_only(connection, seconds, lock_seconds):
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

    def _replica_lacks(self) -> tuple[str, ...]:
        return tuple(batch.batch_id for batch in self._record.read().batches_in_state("done", "trying"))

    def _on_verdict(self, _: float, problem: str) -> None:
        """End the reads under way on a primary that is silent; they then run on the replica."""
        with self._in_use_lock:
            for raw in self._in_use if problem else ():
                log.warning("A read is ended, as the primary does not answer: %s", problem)
                abort_connection(raw)

    @contextmanager
    def _replica(self, seconds: float, reason: str = "") -> Iterator[Connection]:
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
            reason = reason or state.reason or state.breaker.reason
            raise WarehouseUnavailable(
                f"Neither side answers. Primary: {reason} Replica: {error}" if self._primary is not None else str(error)
            ) from error


@contextmanager
def _read_only(connection: Connection, seconds: float, lock_seconds: float) -> Iterator[None]:
    # All statements of a read see one state, whatever is published in between.
    connection.execution_options(isolation_level="REPEATABLE READ")
    with connection.begin():
        connection.exec_driver_sql(
            "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true), "
            "set_config('transaction_read_only', 'on', true)",
            (f"{round(seconds * 1000)}ms", f"{round(lock_seconds * 1000)}ms"),
        )
        yield


def read(settings: Settings, work: Callable[[Connection], ResultT]) -> Answer[ResultT]:
    """Return what `work` finds on the active side; see `Warehouse.read`."""
    with Warehouse(settings, pool_size=1) as warehouse:
        return warehouse.read(work)


def serving_side(settings: Settings) -> Side:
    """Return the side that serves the next read.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is missing or unusable, or the record is damaged.
    """
    with Warehouse(settings, pool_size=1) as warehouse:
        return warehouse.serves()
