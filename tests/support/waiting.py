"""Waiting for what comes true by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 60.0
"""Long enough for a machine with much other work; what is waited for comes within a second on an idle one."""

FoundT = TypeVar("FoundT")


def eventually(check: Callable[[], FoundT], seconds: float = PATIENCE_SECONDS) -> FoundT:
    """Return what `check` returns once that is true.

    Raises:
        AssertionError: If it does not come true in time.
    """
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "It did not come true in time."
        time.sleep(0.05)
    return found
