"""The layout of a file that has none: any row that looks like column names, and any objects that look like lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from include.sources.columns import ColumnNames
from include.sources.dates import DateStyle
from include.sources.json_values import Fields
from include.sources.model import Format
from include.sources.numbers import NumberStyle
from include.sources.profiles.meanings import guess
from include.sources.profiles.names import Layouts, OwnNames

NAMES_LEAST = 4
"""Columns that a table of lines has at least."""

KNOWN_LEAST = 3
"""Names among them that seem to mean something, where any do."""

_DEPTH = 5
_LINE_MEANINGS = frozenset({"stock_code", "description", "quantity", "price", "amount"})


class AnyNames(OwnNames):
    """Column names none of which means anything yet."""

    profile = "unknown"
    columns: frozenset[str] = frozenset()

    def __init__(self, names: Sequence[str], lines: str | None = None) -> None:
        self.names = [name.strip() for name in names if name.strip()]
        self.lines = lines

    def canonical(self, name: str) -> str | None:
        """Return None."""
        return None

    def is_header(self, names: Iterable[str]) -> bool:
        """Return whether these are the column names once more."""
        return [name.strip() for name in names] == self.names


@dataclass(frozen=True)
class AnyLayout(Layouts):
    """Takes the first row for the column names that looks like some, and objects as they are.

    Attributes:
        meaningful: How many names have to seem to mean something.
        width: How many names there have to be.
        taken: What was taken so far; other sheets of a workbook must have the same names.
    """

    meaningful: int = KNOWN_LEAST
    width: int = NAMES_LEAST
    taken: list[AnyNames] = field(default_factory=list)

    def of_header(self, names: Sequence[str], form: Format) -> ColumnNames | None:
        """Return names that mean nothing if these may be column names, else None."""
        found = AnyNames(names)
        if self.taken:
            return found if found.names == self.taken[0].names else None
        if len(set(found.names)) < self.width or self.known(found.names, form) < self.meaningful:
            return None
        if any(NumberStyle().read(name) is not None or _is_date(name) for name in found.names):
            return None
        self.taken.append(found)
        return found

    def of_objects(self, values: Iterable[object], form: Format) -> ColumnNames | None:
        """Return names that mean nothing, and where the lines are, if the objects seem to be or to hold lines."""
        found = _fields_by_path(values)
        path = max(found, key=lambda one: (len(_LINE_MEANINGS & _meanings(found[one])), -len(one)), default=())
        around = set().union(*(_meanings(found.get(path[:depth], {})) for depth in range(len(path) + 1)))
        if len(_LINE_MEANINGS & around) < 2 or not around & {"price", "amount"}:
            return None
        self.taken.append(AnyNames(list(found[path]), ".".join(path) or None))
        return self.taken[-1]

    def known(self, names: Sequence[str], form: Format) -> int:
        """Return how many different things the names seem to mean."""
        return len(_meanings(names))


def _meanings(names: Iterable[str]) -> set[str]:
    return {found[0] for name in names if (found := guess(name)) is not None}


def _fields_by_path(values: Iterable[object]) -> dict[tuple[str, ...], dict[str, None]]:
    """Return the path of each list of objects -> names of the fields of these; () is that of the values themselves."""
    found: dict[tuple[str, ...], dict[str, None]] = {}
    waiting: list[tuple[tuple[str, ...], object]] = [((), value) for value in values]
    while waiting:
        path, value = waiting.pop()
        if not isinstance(value, Fields):
            continue
        fields = found.setdefault(path, {})
        for key, item in value:
            if isinstance(item, list) and any(isinstance(one, Fields) for one in item) and len(path) < _DEPTH:
                waiting += [((*path, key), one) for one in item]
            elif isinstance(item, Fields):
                fields.update({f"{key}.{name}": None for name, _ in item})
                if any(isinstance(one, list) for _, one in item) and len(path) < _DEPTH:
                    waiting.append(((*path, key), item))
            else:
                fields[key] = None
    return found


def _is_date(text: str) -> bool:
    return any(char.isdigit() for char in text) and DateStyle(ZoneInfo("UTC"), "named").read(text) is not None
