"""How many lines there are by country, kind and day: exact counts of what would take long to count at each request."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, Date, func, literal_column, select, type_coerce

from include.enrichment.country_names import member
from include.warehouse import FACT, star_table

NOT_A_SALE = star_table(FACT).c.kind != literal_column("'sale'")
"""Condition of the index on rare kinds, word for word, as SQLite compares words."""


class CellCount(NamedTuple):
    """Lines of a country, kind and day."""

    country_key: int
    kind: str
    day: date
    lines: int


class DayCount(NamedTuple):
    """Lines of a day."""

    day: date
    lines: int


class DayRange(NamedTuple):
    """The days that hold a page of a list by time.

    Attributes:
        first_day: Earliest day.
        last_day: Latest day.
        skip: Lines of these days that come before the page.
    """

    first_day: date
    last_day: date
    skip: int


class LineCounts:
    """Counts of one state of the data."""

    def __init__(self, cells: Iterable[CellCount], countries: dict[str, int]) -> None:
        self._cells: dict[tuple[int, str], list[DayCount]] = {}
        for cell in cells:
            self._cells.setdefault((cell.country_key, cell.kind), []).append(DayCount(cell.day, cell.lines))
        self._countries = countries
        self._folded = {name.casefold(): key for name, key in countries.items()}

    def country_key(self, name: str) -> int | None:
        """Return the key of a country by its name in any case, or by another name or code; None if there is none."""
        found = self._countries.get(name)
        if found is None:
            found = self._folded.get(name.casefold(), self._folded.get(member(name).casefold()))
        return found

    def days(self, country_key: int | None, kind: str | None) -> list[DayCount]:
        """Return the days with lines of a country, if one is given, and of a kind, if one is given, in order."""
        found: dict[date, int] = {}
        for (of_country, of_kind), counts in self._cells.items():
            if country_key in (None, of_country) and kind in (None, of_kind):
                for day, lines in counts:
                    found[day] = found.get(day, 0) + lines
        return [DayCount(day, lines) for day, lines in sorted(found.items())]


def days_of_page(days: Iterable[DayCount], offset: int, size: int) -> DayRange | None:
    """Return the days of the page of `size` lines after the first `offset`, None if there are no more lines.

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
    return DayRange(min(first, last), max(first, last), skip)


def count_lines(connection: Connection) -> LineCounts:
    """Return the counts of the state that a connection reads."""
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
    cells = [CellCount(*row) for row in connection.execute(others)]
    sales = {(row.country_key, row.day): row.lines for row in connection.execute(every)}
    for cell in cells:
        sales[cell.country_key, cell.day] -= cell.lines
    cells += [CellCount(key, "sale", of_day, lines) for (key, of_day), lines in sales.items() if lines]
    names = connection.execute(select(country.c.country, country.c.country_key))
    return LineCounts(cells, {row.country: row.country_key for row in names})
