"""A thread that keeps asking the primary for a sign of life, so that nobody waits long for one that is silent.

The server's own timeouts do nothing when the server itself is stopped: its machine still takes packets. So this side
asks for an answer on a connection of its own, and ends the connections of those who wait when none comes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import psycopg
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.exc import DBAPIError

from include.settings import Settings
from include.warehouse.connection.engine import APPLICATION_NAME, WarehouseUnavailable, open_engine, warehouse_url
from include.warehouse.connection.liveness import (
    PROBE_CONNECT_SECONDS,
    abort_connection,
    cut_after,
    error_text,
    primary_failed,
    probe,
)

PULSE_SECONDS = 0.9
"""How long the primary may take for the least of answers before readers take it for silent."""

PULSE_EVERY_SECONDS = 0.5
PULSE_TRUSTED_SECONDS = 3.0
"""For how long the last answer, or its absence, is taken for true."""

PULSE_IDLE_SECONDS = 30.0
"""How long nobody wants to know before the asking stops."""

WATCH_EVERY_SECONDS = 2.0
"""How often the primary is asked while longer work is done on it."""

_CONNECTING = 32
"""Connections that may be being made at a time."""


class Pulse:
    """Knows within about a second whether the primary answers: a thread asks it for as long as somebody wants to know.

    A reader need not wait for a time-out of its own that way: new reads know beforehand, those under way are ended.

    Attributes:
        latency_ms: How long the last answer took.
    """

    def __init__(
        self,
        settings: Settings,
        on_verdict: Callable[[float, str], None],
        *,
        answer_seconds: float = PULSE_SECONDS,
        every_seconds: float = PULSE_EVERY_SECONDS,
    ) -> None:
        """Start nothing yet.

        Args:
            settings: Names the primary.
            on_verdict: Called after each time of asking with the seconds since the last answer, 0 if it has just come,
                and with what went wrong.
            answer_seconds: How long an answer may take.
            every_seconds: How long to wait before asking again.
        """
        self.latency_ms: float | None = None
        self._settings = settings
        self._on_verdict = on_verdict
        self._answer_seconds = answer_seconds
        self._every_seconds = every_seconds
        self._connecting = ThreadPoolExecutor(_CONNECTING, thread_name_prefix="warehouse-connect")
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wanted_at = self._heard_at = self._silent_at = float("-inf")
        self._verdicts = 0

    def alive(self) -> bool:
        """Return whether the primary has answered within the last seconds; waits at most for one answer."""
        with self._changed:
            now = self._wanted_at = time.monotonic()
            if self.silent():
                return False
            if now - self._heard_at <= PULSE_TRUSTED_SECONDS:
                return True
            if self._thread is None:
                self._start()
            known = self._verdicts
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._verdicts > known, self._answer_seconds)
            return self._heard_at >= now

    def silent(self) -> bool:
        """Return whether the primary is known not to answer; does not ask."""
        with self._changed:
            return self._silent_at > max(self._heard_at, time.monotonic() - PULSE_TRUSTED_SECONDS)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep asking during the block, for the first time after a while; there is no verdict any more after it."""
        with self._changed:
            self._wanted_at = float("inf")
            self._heard_at = time.monotonic()
            self._start(self._every_seconds)
        try:
            yield
        finally:
            self.close()

    def guard(self, engine: Engine) -> None:
        """Let an engine give up connecting as soon as the primary is known to be silent."""

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Dialect, _: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
            future = self._connecting.submit(dialect.connect, *arguments, **options)
            while not wait([future], self._every_seconds / 5).done:
                if not self.alive():
                    future.add_done_callback(_close_late)
                    raise WarehouseUnavailable("The primary does not answer.")
            return future.result()

    def close(self) -> None:
        """Stop the thread; it may be in the middle of asking."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._connecting.shutdown(wait=False)

    def _start(self, delay: float = 0.0) -> None:
        self._thread = threading.Thread(target=self._run, args=[delay], name="warehouse-pulse", daemon=True)
        self._thread.start()

    def _run(self, delay: float) -> None:
        connection: psycopg.Connection[Any] | None = None
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, delay)
        while self._is_wanted():
            try:
                connection = connection or self._connect()
                asked = time.perf_counter()
                with cut_after(connection, self._answer_seconds):
                    connection.execute("SELECT 1")
                self.latency_ms = round((time.perf_counter() - asked) * 1000, 2)
                problem = ""
            except (psycopg.Error, WarehouseUnavailable) as error:
                problem = error_text(error)
                if connection is not None:
                    abort_connection(connection)
                    connection.close()
                connection = None
            with self._changed:
                now = time.monotonic()
                self._verdicts += 1
                if problem:
                    self._silent_at = now
                else:
                    self._heard_at = now
                self._changed.notify_all()
                if not self._stopping:
                    # Under the lock, so that nobody's connections are ended once `close` has returned.
                    self._on_verdict(now - self._heard_at, problem)
                self._changed.wait_for(lambda: self._stopping, self._every_seconds)
        if connection is not None:
            connection.close()

    def _is_wanted(self) -> bool:
        """Return whether to go on; forget the thread if not."""
        with self._changed:
            if self._stopping or time.monotonic() - self._wanted_at > PULSE_IDLE_SECONDS:
                self._thread = None
                return False
            return True

    def _connect(self) -> psycopg.Connection[Any]:
        """Connect in another thread, as the driver waits two seconds at least for a server that is stopped.

        Raises:
            WarehouseUnavailable: If that takes longer than an answer may.
        """
        url = warehouse_url(self._settings).set(drivername="postgresql").render_as_string(hide_password=False)
        future = self._connecting.submit(
            lambda: psycopg.connect(
                url,
                connect_timeout=max(2, round(self._answer_seconds)),
                application_name=f"{APPLICATION_NAME} pulse",
                autocommit=True,
                prepare_threshold=None,
            )
        )
        if not wait([future], self._answer_seconds).done:
            future.add_done_callback(_close_late)
            raise WarehouseUnavailable(f"No connection within {self._answer_seconds:g} seconds.")
        return future.result()


def _close_late(future: Future[Any]) -> None:
    """Close a connection that nobody waits for any more."""
    if future.exception() is None:
        future.result().close()


@contextmanager
def watched_engine(settings: Settings, limit: float) -> Iterator[Engine]:
    """Yield an engine on the primary whose work ends with an error once the primary has been silent too long.

    Args:
        settings: Names the primary and says how long to be patient.
        limit: Seconds after which the work is ended in any case.

    Raises:
        WarehouseUnavailable: If the primary does not answer at all, or fell silent.
    """
    try:
        probe(settings)
    except psycopg.Error as error:
        raise WarehouseUnavailable(f"The primary does not answer: {error_text(error)}") from error
    patience, begun, ended = settings.primary_patience_seconds, time.monotonic(), ""
    connections: WeakSet[psycopg.Connection[Any]] = WeakSet()

    def judge(silent_seconds: float, _: str) -> None:
        nonlocal ended
        if silent_seconds > patience:
            ended = f"The primary has not answered for {silent_seconds:.0f} seconds."
        elif time.monotonic() - begun > limit:
            ended = f"The primary answers, but did not do its work within {limit:.0f} seconds."
        for connection in list(connections) if ended else ():
            abort_connection(connection)

    pulse = Pulse(
        settings,
        judge,
        answer_seconds=max(1.0, min(PROBE_CONNECT_SECONDS, patience / 2)),
        every_seconds=min(WATCH_EVERY_SECONDS, patience / 3),
    )
    with open_engine(settings) as engine, pulse.watching():
        event.listen(engine, "connect", lambda connection, _: connections.add(connection))
        try:
            yield engine
        except (DBAPIError, psycopg.Error) as error:
            if ended and primary_failed(error):
                raise WarehouseUnavailable(ended) from error
            raise
