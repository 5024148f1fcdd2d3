"""Proofs of identity that were verified lately, in this process's memory.

What was proven is found again by a keyed hash of the credentials; neither passwords nor tokens are kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

MOST = 1024
"""Proofs kept; the least recently used one gives way."""


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
class Proof:
    """Credentials that were right.

    Attributes:
        confirmed_at: When the account last was as the credentials need it, on the monotonic clock.
    """

    account: Account
    confirmed_at: float

    def age(self) -> float:
        """Return how many seconds ago it was confirmed."""
        return time.monotonic() - self.confirmed_at


class Proofs:
    """The proofs of a process. Threads may share it."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._proofs: OrderedDict[bytes, Proof] = OrderedDict()
        self._lock = threading.Lock()

    def name(self, *credentials: str) -> bytes:
        """Return what these credentials are kept under: an HMAC with a key that only this process has."""
        digest = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in credentials:
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return digest.digest()

    def get(self, name: bytes) -> Proof | None:
        """Return the proof, however old, or None."""
        with self._lock:
            proof = self._proofs.get(name)
            if proof is not None:
                self._proofs.move_to_end(name)
            return proof

    def put(self, name: bytes, account: Account) -> Proof:
        """Keep a proof that was just confirmed."""
        proof = Proof(account, time.monotonic())
        with self._lock:
            self._proofs[name] = proof
            self._proofs.move_to_end(name)
            while len(self._proofs) > MOST:
                self._proofs.popitem(last=False)
        return proof

    def drop(self, name: bytes) -> None:
        """Forget a proof."""
        with self._lock:
            self._proofs.pop(name, None)
