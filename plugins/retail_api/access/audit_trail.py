"""The audit trail: every change asked for and every refused caller, as a log line and in the warehouse.

Entries go to a SQLite file first and from there to the warehouse, so that none is lost while PostgreSQL is down or if
this process dies, and no request waits for it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pydantic import ValidationError
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from starlette.requests import HTTPConnection

from include.settings import Settings
from include.warehouse import AuditEntry, WarehouseUnavailable, error_text, save_entries, transaction, watched_engine

log = logging.getLogger(__name__)

BATCH = 200
RETRY_SECONDS = 5.0
LOOK_SECONDS = 30.0
"""How often a worker looks for entries that others left."""

ORPHANED_SECONDS = 3600.0
"""A change that has not ended after this long has lost its worker; its outcome is unknown."""

_LOCK_SECONDS = 5.0
_LIMIT_SECONDS = 30.0
_TABLE = """
CREATE TABLE IF NOT EXISTS entry (
    id TEXT PRIMARY KEY, at REAL NOT NULL, state TEXT NOT NULL, document TEXT NOT NULL
)
"""
_OPEN, _CLOSED, _REJECTED = "open", "closed", "rejected"


def note(request: HTTPConnection, **details: Any) -> None:
    """Add to the audit entry of a request what it changes, such as names of files or ids of runs."""
    request.scope.setdefault("state", {}).setdefault("audit_details", {}).update(details)


class AuditTrail:
    """Takes entries and brings them to the warehouse. Threads may share it; each worker has its own on one file."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet; `start` begins to bring entries to the warehouse."""
        self._settings = settings
        self._path: Path = settings.api / "audit.sqlite"
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start bringing entries to the warehouse; without PostgreSQL they stay in the file."""
        if self._settings.database_type != "sqlite" and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="retail-audit", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Bring what is left, if the warehouse answers."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=RETRY_SECONDS)
            self._thread = None

    def begin(self, entry: AuditEntry) -> None:
        """Keep a change before it is made.

        Raises:
            sqlite3.Error: If the file cannot be written.
        """
        self._put(entry, _OPEN)

    def finish(self, entry: AuditEntry) -> None:
        """Keep an entry with its outcome, and log it.

        Raises:
            sqlite3.Error: If the file cannot be written; it is in the log then.
        """
        log.info("audit %s", entry.model_dump_json())
        self._put(entry, _CLOSED)
        self._wake.set()

    def waiting(self) -> int:
        """Return how many entries the warehouse does not have yet.

        Raises:
            sqlite3.Error: If the file cannot be read.
        """
        if not self._path.exists():
            return 0
        with self._connection() as connection:
            found: int = connection.execute("SELECT count(*) FROM entry WHERE state = ?", (_CLOSED,)).fetchone()[0]
            return found

    def deliver(self) -> int:
        """Bring the warehouse the entries it lacks; return how many.

        Raises:
            WarehouseUnavailable: If it does not answer.
            sqlalchemy.exc.DBAPIError: If it does not take them, such as before its migration.
            sqlite3.Error: If the file cannot be used.
        """
        delivered = 0
        while batch := self._batch():
            with watched_engine(self._settings, _LIMIT_SECONDS) as engine:
                try:
                    with transaction(engine) as connection:
                        save_entries(connection, list(batch.values()))
                    refused = []
                except (DataError, IntegrityError):
                    refused = [key for key, entry in batch.items() if not _taken(engine, entry)]
            with self._connection() as connection:
                for key in batch:
                    if key in refused:
                        connection.execute("UPDATE entry SET state = ? WHERE id = ?", (_REJECTED, key))
                    else:
                        connection.execute("DELETE FROM entry WHERE id = ?", (key,))
            delivered += len(batch) - len(refused)
        return delivered

    def _batch(self) -> dict[str, AuditEntry]:
        """Return the next entries to bring; one that cannot be read is set aside."""
        query = "SELECT id, document FROM entry WHERE state = ? OR (state = ? AND at < ?) ORDER BY at LIMIT ?"
        found: dict[str, AuditEntry] = {}
        if not self._path.exists():
            return found
        with self._connection() as connection:
            values = (_CLOSED, _OPEN, time.time() - ORPHANED_SECONDS, BATCH)
            for key, document in connection.execute(query, values).fetchall():
                try:
                    found[key] = AuditEntry.model_validate_json(document)
                except ValidationError:
                    log.exception("Audit entry %s cannot be read; it stays in %s", key, self._path)
                    connection.execute("UPDATE entry SET state = ? WHERE id = ?", (_REJECTED, key))
        return found

    def _put(self, entry: AuditEntry, state: str) -> None:
        with self._connection() as connection:
            values = (str(entry.audit_id), entry.occurred_at.timestamp(), state, entry.model_dump_json())
            connection.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", values)

    def _run(self) -> None:
        quiet = True
        while True:
            stopping = self._stopping.is_set()
            pause = LOOK_SECONDS
            try:
                self.deliver()
                quiet = True
            except (WarehouseUnavailable, SQLAlchemyError, psycopg.Error, sqlite3.Error, OSError) as error:
                if quiet:
                    log.warning("Audit entries wait in %s: %s", self._path, error_text(error))
                quiet, pause = False, RETRY_SECONDS
            if stopping:
                return
            # After a failure new entries are no reason to hurry; only the end is.
            (self._wake if quiet else self._stopping).wait(pause)
            self._wake.clear()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction, flushed to disk when it ends."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                yield connection


def _taken(engine: Any, entry: AuditEntry) -> bool:
    """Return whether the warehouse takes an entry by itself."""
    try:
        with transaction(engine) as connection:
            save_entries(connection, [entry])
    except (DataError, IntegrityError) as error:
        log.error("The warehouse refuses audit entry %s: %s", entry.audit_id, error_text(error))
        return False
    return True
