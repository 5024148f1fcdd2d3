"""How many lines there are, by country, kind and day: exact counts of what would take long to count at each request.

Read once for each state of the data and kept until it changes. A page deep in a list is found by its day.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Date, RowMapping, func, literal_column, select, type_coerce

from include.warehouse import FACT, star_table
from retail_api.data.version import DataVersion, data_version

KEPT = 512

NOT_A_SALE = star_table(FACT).c.kind != literal_column("'sale'")
"""Condition of the index on rare kinds, word for word, as SQLite compares words."""

ValueT = TypeVar("ValueT")


class Cell(NamedTuple):
    """Lines of a country, kind and day."""

    country_key: int
    kind: str
    day: date
    lines: int


class DayCount(NamedTuple):
    """Lines of a day."""

    day: date
    lines: int


class Stretch(NamedTuple):
    """Where in time a page is: its lines are among those of these days, after `skip` of them.

    Attributes:
        first_day: Earliest day.
        last_day: Latest day.
        skip: Lines of these days that come before the page.
    """

    first_day: date
    last_day: date
    skip: int


class Census:
    """Counts of one state of the data."""

    def __init__(self, cells: Iterable[Cell], countries: dict[str, int]) -> None:
        self._cells: dict[tuple[int, str], list[DayCount]] = {}
        for cell in cells:
            self._cells.setdefault((cell.country_key, cell.kind), []).append(DayCount(cell.day, cell.lines))
        self.countries = countries
        self._folded = {name.casefold(): key for name, key in countries.items()}

    def country_key(self, name: str) -> int | None:
        """Return the key of a country, whatever the case of its name; None if there is none of that name."""
        found = self.countries.get(name)
        return self._folded.get(name.casefold()) if found is None else found

    def days(self, country_key: int | None, kind: str | None) -> list[DayCount]:
        """Return the days with lines of a country, if one is given, and of a kind, if one is given, in order."""
        found: dict[date, int] = {}
        for (of_country, of_kind), counts in self._cells.items():
            if country_key in (None, of_country) and kind in (None, of_kind):
                for day, lines in counts:
                    found[day] = found.get(day, 0) + lines
        return [DayCount(day, lines) for day, lines in sorted(found.items())]


def stretch(days: Iterable[DayCount], offset: int, size: int) -> Stretch | None:
    """Return where the page of `size` lines after the first `offset` is, None if there are no more lines.

    Args:
        days: In the order of the list, earliest or latest first.
        offset: Lines before the page.
        size: Lines of the page.
    """
    before, first, skip = 0, None, 0
    last = None
    for day, lines in days:
        if first is None and before + lines > offset:
            first, skip = day, offset - before
        before += lines
        if first is not None:
            last = day
            if before >= offset + size:
                break
    if first is None or last is None:
        return None
    return Stretch(min(first, last), max(first, last), skip)


class Kept(Generic[ValueT]):
    """What was worked out for a state of the data: the newest of each key, the least used dropped."""

    def __init__(self, size: int = KEPT) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, tuple[DataVersion, ValueT]] = OrderedDict()
        self._lock = threading.Lock()
        self._working: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, version: DataVersion, work: Callable[[], ValueT]) -> ValueT:
        """Return the value of `key` for a state of the data; one thread works it out, others wait for it."""
        if (found := self._find(key, version)) is not None:
            return found[0]
        with self._lock:
            working = self._working.setdefault(key, threading.Lock())
        with working:
            if (found := self._find(key, version)) is not None:
                return found[0]
            value = work()
            with self._lock:
                self._values[key] = (version, value)
                self._values.move_to_end(key)
                while len(self._values) > self._size:
                    self._working.pop(self._values.popitem(last=False)[0], None)
        return value

    def _find(self, key: Hashable, version: DataVersion) -> tuple[ValueT] | None:
        with self._lock:
            found = self._values.get(key)
            if found is None or found[0] != version:
                return None
            self._values.move_to_end(key)
            return (found[1],)


class CensusTaker:
    """Takes the census of whichever side answers and keeps it; one a process.

    Attributes:
        counts: Lines of filters that the census does not tell.
        sums: Sums by day, country or product.
    """

    def __init__(self) -> None:
        self._censuses: Kept[Census] = Kept(2)
        self._days: Kept[list[DayCount]] = Kept()
        self.counts: Kept[int] = Kept()
        self.sums: Kept[Sequence[RowMapping]] = Kept(64)

    def census(self, connection: Connection, version: DataVersion) -> Census:
        """Return the census of the state that a connection reads."""
        return self._censuses.get(version.dialect, version, lambda: _taken(connection))

    def days(self, census: Census, version: DataVersion, country_key: int | None, kind: str | None) -> list[DayCount]:
        """Return `census.days`, kept."""
        key = (version.dialect, country_key, kind)
        return self._days.get(key, version, lambda: census.days(country_key, kind))

    def version(self, connection: Connection) -> DataVersion:
        """Return the state that a connection reads."""
        return data_version(connection)


def _taken(connection: Connection) -> Census:
    fact, country = star_table(FACT), star_table("dim_country")
    day: Any = type_coerce(func.date(fact.c.sold_at), Date)
    # Nearly all lines are sales. Counting all from the index on country and time, and the others from the index on
    # kind, reads no line of the table.
    every = select(fact.c.country_key, day.label("day"), func.count().label("lines")).group_by(fact.c.country_key, day)
    others = (
        select(fact.c.country_key, fact.c.kind, day.label("day"), func.count().label("lines"))
        .where(NOT_A_SALE)
        .group_by(fact.c.country_key, fact.c.kind, day)
    )
    cells = [Cell(*row) for row in connection.execute(others)]
    sales = {(row.country_key, row.day): row.lines for row in connection.execute(every)}
    for cell in cells:
        sales[cell.country_key, cell.day] -= cell.lines
    cells += [Cell(key, "sale", of_day, lines) for (key, of_day), lines in sales.items() if lines]
    names = {
        row.country: row.country_key for row in connection.execute(select(country.c.country, country.c.country_key))
    }
    return Census(cells, names)
