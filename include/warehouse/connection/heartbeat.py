"""Bounded time on a primary that may be dead, slow or stopped.

The server's own timeouts do nothing when the server itself is stopped: its machine still takes packets. So a thread on
this side asks it for an answer on a connection of its own, and ends the connections of those who wait when none comes.
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
    primary_is_up,
    probe,
)

PROBE_EVERY_SECONDS = 2.0

PULSE_SECONDS = 0.9
"""How long the primary may take for the least of answers before readers take it for silent."""

PULSE_EVERY_SECONDS = 0.5

PULSE_TRUSTED_SECONDS = 3.0
"""For how long what the last answer, or its absence, told is taken for true."""

PULSE_IDLE_SECONDS = 30.0
"""How long nobody wants to know before the asking stops."""

_CONNECTING = 32
"""Connections that may be being made at a time."""


class Pulse:
    """Knows within about a second whether the primary answers: a thread asks it for as long as somebody wants to know.

    A reader need not wait for a time-out of its own that way: new reads are told beforehand, those under way are ended.

    Attributes:
        latency_ms: How long the last answer took.
    """

    def __init__(self, settings: Settings, on_silence: Callable[[str], None]) -> None:
        """Start nothing yet.

        Args:
            settings: Names the primary.
            on_silence: Called each time no answer comes, with a sentence that says so.
        """
        self.latency_ms: float | None = None
        self._settings = settings
        self._on_silence = on_silence
        self._connecting = ThreadPoolExecutor(_CONNECTING, thread_name_prefix="warehouse-connect")
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._wanted_at = self._heard_at = self._silent_at = float("-inf")
        self._verdicts = 0

    def alive(self) -> bool:
        """Return whether the primary has answered within the last seconds; waits at most `PULSE_SECONDS`."""
        with self._changed:
            now = self._wanted_at = time.monotonic()
            if self._silent_at > max(self._heard_at, now - PULSE_TRUSTED_SECONDS):
                return False
            if now - self._heard_at <= PULSE_TRUSTED_SECONDS:
                return True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="warehouse-pulse", daemon=True)
                self._thread.start()
            known = self._verdicts
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._verdicts > known, PULSE_SECONDS)
            return self._heard_at >= now

    def guard(self, engine: Engine) -> None:
        """Let an engine give up connecting as soon as the primary is known to be silent."""

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Dialect, _: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
            future = self._connecting.submit(dialect.connect, *arguments, **options)
            while not wait([future], PULSE_EVERY_SECONDS / 5).done:
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

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while self._is_wanted():
            try:
                connection = connection or self._connect()
                asked = time.perf_counter()
                with cut_after(connection, PULSE_SECONDS):
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
                self._verdicts += 1
                if problem:
                    self._silent_at = time.monotonic()
                else:
                    self._heard_at = time.monotonic()
                self._changed.notify_all()
            if problem:
                self._on_silence(f"The primary does not answer: {problem}")
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, PULSE_EVERY_SECONDS)
        if connection is not None:
            connection.close()

    def _is_wanted(self) -> bool:
        """Return whether to go on; forget the thread otherwise."""
        with self._changed:
            if self._stopping or time.monotonic() - self._wanted_at > PULSE_IDLE_SECONDS:
                self._thread = None
                return False
            return True

    def _connect(self) -> psycopg.Connection[Any]:
        url = warehouse_url(self._settings).set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(
            url,
            connect_timeout=2,  # the driver takes no less
            application_name=f"{APPLICATION_NAME} pulse",
            autocommit=True,
            prepare_threshold=None,
        )


def _close_late(future: Future[Any]) -> None:
    """Close a connection that nobody waits for any more."""
    if future.exception() is None:
        future.result().close()


class Watch:
    """A thread that probes the primary and ends an engine's connections when it has been silent too long.

    Attributes:
        ended: Why the connections were ended; empty if they were not.
    """

    def __init__(self, settings: Settings, engine: Engine, patience: float, limit: float) -> None:
        """Watch every connection that `engine` opens from now on.

        Args:
            settings: Names the primary.
            engine: Engine to watch.
            patience: Seconds without any answer after which the primary counts as gone.
            limit: Seconds after which the work is ended even though the primary answers.
        """
        self.ended = ""
        self._settings = settings
        self._patience = patience
        self._limit = limit
        self._connections: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warehouse-watch", daemon=True)
        event.listen(engine, "connect", self._remember)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; it may be in the middle of a probe."""
        with self._lock:
            self._done.set()

    def _remember(self, connection: psycopg.Connection[Any], _: Any) -> None:
        self._connections.add(connection)

    def _run(self) -> None:
        begun = heard = time.monotonic()
        every = min(PROBE_EVERY_SECONDS, self._patience / 3)
        while not self._done.wait(every):
            if primary_is_up(self._settings, max(1, min(PROBE_CONNECT_SECONDS, round(self._patience / 2)))):
                heard = time.monotonic()
            now = time.monotonic()
            if now - heard > self._patience:
                self._end_all(f"The primary has not answered for {now - heard:.0f} seconds.")
            elif now - begun > self._limit:
                self._end_all(f"The primary answers, but did not do its work within {self._limit:.0f} seconds.")

    def _end_all(self, reason: str) -> None:
        with self._lock:
            if not self._done.is_set():
                self.ended = reason
                for connection in list(self._connections):
                    abort_connection(connection)


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
    with open_engine(settings) as engine:
        watch = Watch(settings, engine, settings.primary_patience_seconds, limit)
        watch.start()
        try:
            yield engine
        except (DBAPIError, psycopg.Error) as error:
            if watch.ended and primary_failed(error):
                raise WarehouseUnavailable(watch.ended) from error
            raise
        finally:
            watch.stop()
