"""Circuit breakers whose state outlives the process and is shared between processes.

Each Airflow task is a process of its own, so the state is in a small SQLite file, one row a service. Three columns go
beyond what pybreaker asks of a storage: after the reset time only one process at a time may try the service again (it
holds `probe_owner` until `probe_until`), and a service that named a time to come back (`Retry-After`) is left alone
until `paused_until`.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pybreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN, CircuitBreakerError, CircuitBreakerStorage

_TABLE = """
CREATE TABLE IF NOT EXISTS breaker (
    service TEXT PRIMARY KEY,
    state TEXT NOT NULL DEFAULT 'closed',
    failures INTEGER NOT NULL DEFAULT 0,
    successes INTEGER NOT NULL DEFAULT 0,
    opened_at REAL,
    probe_owner TEXT,
    probe_until REAL NOT NULL DEFAULT 0,
    paused_until REAL NOT NULL DEFAULT 0
)
"""


class SqliteBreakerStorage(CircuitBreakerStorage):
    """State of one service's breaker in a SQLite file."""

    def __init__(self, path: Path, service: str, probe_seconds: float) -> None:
        """Open the file, made if absent.

        Args:
            path: SQLite file.
            service: Name of the service.
            probe_seconds: After how long the trial call of a process that says nothing more is taken for lost.

        Raises:
            sqlite3.Error: If the file cannot be written or is no SQLite file.
        """
        super().__init__(service)
        self._probe_seconds = probe_seconds
        self._me = uuid4().hex
        self._connection = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute(_TABLE)
            self._connection.execute(
                "INSERT INTO breaker (service) VALUES (?) ON CONFLICT (service) DO UPDATE SET service = service",
                (service,),
            )
        except sqlite3.Error:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`; while another process makes the trial call, the breaker is open."""
        state, owner = self._row("state, probe_owner")
        return STATE_OPEN if state == STATE_HALF_OPEN and owner != self._me else str(state)

    @state.setter
    def state(self, state: str) -> None:
        """Change the state.

        Raises:
            CircuitBreakerError: If the breaker is to be half-opened and another process has just done so.
        """
        if state != STATE_HALF_OPEN:
            self._update("state = ?, probe_owner = NULL, probe_until = 0", state)
            return
        now = time.time()
        taken = self._connection.execute(
            "UPDATE breaker SET state = ?, probe_owner = ?, probe_until = ? WHERE service = ? AND (state = ? OR"
            " (state = ? AND (probe_until < ? OR probe_owner = ?)))",
            (state, self._me, now + self._probe_seconds, self.name, STATE_OPEN, STATE_HALF_OPEN, now, self._me),
        )
        if taken.rowcount == 0:
            raise CircuitBreakerError("Another process is trying the service")

    @property
    def counter(self) -> int:
        """Failures in a row."""
        return int(self._row("failures")[0])

    def increment_counter(self) -> None:
        """Count a failure."""
        self._update("failures = failures + 1")

    def reset_counter(self) -> None:
        """Forget the failures."""
        self._update("failures = 0")

    @property
    def success_counter(self) -> int:
        """Successes since the breaker was half-opened."""
        return int(self._row("successes")[0])

    def increment_success_counter(self) -> None:
        """Count a success."""
        self._update("successes = successes + 1")

    def reset_success_counter(self) -> None:
        """Forget the successes."""
        self._update("successes = 0")

    @property
    def opened_at(self) -> datetime | None:
        """When the breaker was last opened."""
        opened_at = self._row("opened_at")[0]
        return None if opened_at is None else datetime.fromtimestamp(opened_at, UTC)

    @opened_at.setter
    def opened_at(self, moment: datetime) -> None:
        self._update("opened_at = ?", moment.timestamp())

    @property
    def pause_seconds(self) -> float:
        """For how many seconds the service still wants to be left alone, 0 if it does not."""
        return max(0.0, float(self._row("paused_until")[0]) - time.time())

    def pause(self, seconds: float) -> None:
        """Leave the service alone for some seconds."""
        self._update("paused_until = max(paused_until, ?)", time.time() + seconds)

    def stays_open(self, reset_seconds: float) -> bool:
        """Return whether the breaker is open and its reset time has not come."""
        opened_at = self.opened_at
        if self.state == STATE_CLOSED or opened_at is None:
            return False
        return self.state == STATE_OPEN and time.time() < opened_at.timestamp() + reset_seconds

    def _row(self, columns: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._connection.execute(
            f"SELECT {columns} FROM breaker WHERE service = ?", (self.name,)
        ).fetchone()
        return row

    def _update(self, assignments: str, *values: object) -> None:
        self._connection.execute(f"UPDATE breaker SET {assignments} WHERE service = ?", (*values, self.name))
