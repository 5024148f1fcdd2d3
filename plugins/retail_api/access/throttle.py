"""Failed sign-ins, counted by user and by address in one SQLite file for all workers.

An attempt counts as failed from before the password is looked at until it has turned out right, so that many at once
are no way around the limits. Names and addresses are kept as hashes.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil
from pathlib import Path

WIDER = 4
"""The limits of an address, and of a user from everywhere, as a multiple of that of a user from an address."""

KNOWN_DAYS = 30
"""A user who signed in from an address lately is not held up there by failures elsewhere: nobody can lock them out."""

_LOCK_SECONDS = 2.0
_IPV6_NETWORK_BITS = 64
"""What one customer of a provider is given; its addresses count as one."""

_TABLES = """
CREATE TABLE IF NOT EXISTS attempt (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, user TEXT NOT NULL, address TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS attempt_user ON attempt (user, at);
CREATE INDEX IF NOT EXISTS attempt_address ON attempt (address, at);
CREATE TABLE IF NOT EXISTS known (user TEXT NOT NULL, address TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (user, address)) WITHOUT ROWID;
"""
_WAIT = """
SELECT at FROM attempt WHERE at > :since AND {} ORDER BY at DESC LIMIT 1 OFFSET :limit - 1
"""
_OWN, _ADDRESS, _USER = "user = :user AND address = :address", "address = :address", "user = :user"


@dataclass(frozen=True)
class Attempt:
    """A sign-in that is being looked at.

    Attributes:
        wait_seconds: After how long the next may be made, if this one may not; 0 if it may.
    """

    user: str
    address: str
    number: int | None
    wait_seconds: int


class LoginThrottle:
    """Says who may try to sign in. Threads and processes may share the file."""

    def __init__(self, path: Path, failures: int, window_seconds: float) -> None:
        """Open nothing yet.

        Args:
            path: SQLite file, made if absent.
            failures: Failed attempts of a user from an address within the window after which more are refused.
            window_seconds: Length of the window.
        """
        self._path = path
        self._failures = failures
        self._window = window_seconds

    def attempt(self, username: str, address: str) -> Attempt:
        """Count an attempt as failed for now, unless there have been too many.

        Raises:
            sqlite3.Error: If the file cannot be used.
        """
        user, place = _hash(username.casefold()), _hash(_network(address))
        now = time.time()
        with self._transaction() as connection:
            waits = [self._wait(connection, _OWN, self._failures, user, place, now)]
            if not self._knows(connection, user, place, now):
                waits.append(self._wait(connection, _ADDRESS, self._failures * WIDER, user, place, now))
                waits.append(self._wait(connection, _USER, self._failures * WIDER, user, place, now))
            if any(waits):
                return Attempt(user, place, None, ceil(max(waits)))
            connection.execute("DELETE FROM attempt WHERE at <= ?", (now - self._window,))
            made = connection.execute("INSERT INTO attempt (at, user, address) VALUES (?, ?, ?)", (now, user, place))
            return Attempt(user, place, made.lastrowid, 0)

    def succeeded(self, attempt: Attempt) -> None:
        """Forget the failures of the user at this address, and remember the address as theirs.

        Raises:
            sqlite3.Error: If the file cannot be used.
        """
        now = time.time()
        with self._transaction() as connection:
            connection.execute("DELETE FROM attempt WHERE user = ? AND address = ?", (attempt.user, attempt.address))
            connection.execute("DELETE FROM known WHERE at <= ?", (now - KNOWN_DAYS * 86_400,))
            connection.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", (attempt.user, attempt.address, now))

    def withdraw(self, attempt: Attempt) -> None:
        """Take back an attempt that could not be checked.

        Raises:
            sqlite3.Error: If the file cannot be used.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM attempt WHERE id = ?", (attempt.number,))

    def _wait(
        self, connection: sqlite3.Connection, which: str, limit: int, user: str, address: str, now: float
    ) -> float:
        values = {"user": user, "address": address, "since": now - self._window, "limit": limit}
        row = connection.execute(_WAIT.format(which), values).fetchone()
        return max(0.0, row[0] + self._window - now) if row else 0.0

    def _knows(self, connection: sqlite3.Connection, user: str, address: str, now: float) -> bool:
        query = "SELECT 1 FROM known WHERE user = ? AND address = ? AND at > ?"
        return connection.execute(query, (user, address, now - KNOWN_DAYS * 86_400)).fetchone() is not None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_LOCK_SECONDS, isolation_level=None)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'known'").fetchone():
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_TABLES)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def _network(address: str) -> str:
    """Return the address, or the network of an IPv6 one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{int(parsed) >> (128 - _IPV6_NETWORK_BITS):x}/{_IPV6_NETWORK_BITS}"
    return str(parsed)
