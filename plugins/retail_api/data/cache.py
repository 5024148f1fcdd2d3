"""What was read of a state of the data, kept until the data changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from cachetools import LRUCache, cached
from sqlalchemy import Connection, RowMapping

from retail_api.data.line_counts import DayCount, LineCounts, count_lines
from retail_api.data.version import DataVersion

ValueT = TypeVar("ValueT")
Cached = Callable[[Hashable, DataVersion, Callable[[], ValueT]], ValueT]
"""Returns the value of a key for a state of the data; one thread works it out, others wait for it."""


class DataCache:
    """The cache of a process, for any number of threads.

    Attributes:
        totals: Lines of filters that the line counts do not cover.
        sums: Sums by day, country or product.
    """

    def __init__(self) -> None:
        self._line_counts: Cached[LineCounts] = _cached(2)
        self._days: Cached[list[DayCount]] = _cached(512)
        self.totals: Cached[int] = _cached(512)
        self.sums: Cached[Sequence[RowMapping]] = _cached(64)

    def line_counts(self, connection: Connection, version: DataVersion) -> LineCounts:
        """Return the line counts of the state that a connection reads."""
        return self._line_counts("all", version, lambda: count_lines(connection))

    def days(
        self, counts: LineCounts, version: DataVersion, country_key: int | None, kind: str | None
    ) -> list[DayCount]:
        """Return `counts.days`, kept."""
        return self._days((country_key, kind), version, lambda: counts.days(country_key, kind))


def _cached(size: int) -> Cached[Any]:
    def key(name: Hashable, version: DataVersion, _: Callable[[], Any]) -> Hashable:
        return name, version

    @cached(LRUCache(size), key, condition=threading.Condition())
    def value(name: Hashable, version: DataVersion, work: Callable[[], Any]) -> Any:
        return work()

    return value
