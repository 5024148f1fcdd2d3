"""Credentials that were verified lately, in this process's memory.

They are found again by a keyed hash; neither passwords nor tokens are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

MAX_ENTRIES = 1024
"""Credentials kept; the least recently used ones are dropped."""


@dataclass(frozen=True)
class Account:
    """A user of Airflow as its database had them.

    Attributes:
        user: The auth manager's user.
        password_hash: As the database has it; empty for a user without a password.
    """

    user: Any
    username: str
    password_hash: str
    can_read: bool
    can_edit: bool


@dataclass(frozen=True)
class Verified:
    """Credentials that were right.

    Attributes:
        confirmed_at: When the account last matched the credentials, on the monotonic clock.
    """

    account: Account
    confirmed_at: float

    def age(self) -> float:
        """Return how many seconds ago the account was confirmed."""
        return time.monotonic() - self.confirmed_at


class CredentialCache:
    """The verified credentials of a process; for use on its event loop alone."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._entries: LRUCache[bytes, Verified] = LRUCache(MAX_ENTRIES)

    def key(self, *credentials: str) -> bytes:
        """Return what these credentials are kept under: an HMAC with a secret that only this process has."""
        digest = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in credentials:
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.digest()

    def get(self, key: bytes) -> Verified | None:
        """Return what was verified, however long ago, or None."""
        return self._entries.get(key)

    def put(self, key: bytes, account: Account) -> Verified:
        """Keep credentials that were just confirmed."""
        verified = self._entries[key] = Verified(account, time.monotonic())
        return verified

    def drop(self, key: bytes) -> None:
        """Forget credentials."""
        self._entries.pop(key, None)
