"""What a file is written to that is sent while it is written."""

from __future__ import annotations

import io
from typing import Any


class Sink(io.RawIOBase):
    """A file that forgets what has been taken from it."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._written = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._written

    def write(self, content: Any) -> int:
        """Hold some bytes until they are taken."""
        self._held += content
        self._written += len(content)
        return len(content)

    def take(self) -> bytes:
        """Return what is held, and hold it no more."""
        taken = bytes(self._held)
        self._held.clear()
        return taken
