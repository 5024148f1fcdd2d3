"""The first rows of a file that has no declared layout, under the names that its columns have there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from include.settings import Settings
from include.sources.canonical import NOTHING, StagedValues
from include.sources.columns import ColumnNames
from include.sources.dates import DateStyle, decide_dates
from include.sources.json_values import Fields
from include.sources.model import FileDecisions, Format, SourceRejected
from include.sources.numbers import NumberStyle, decide_numbers
from include.sources.profiles.meanings import guess, words_of
from include.sources.profiles.names import Layouts
from include.sources.profiles.sql import pointer, quoted
from include.sources.staged import StagedWriter
from include.sources.staging import opened

SAMPLE_ROWS = 10_000
"""Rows that are looked at."""

NAME_LENGTH = 200
"""Longest name of a column that a profile can say."""

_NAMES_LEAST = 4
"""Columns that a table of lines has at least."""

_NAMES_MOST = 400
_KNOWN_LEAST = 3
"""Names among them that seem to mean something, where any do."""

_DEPTH = 5
_DATES_TRIED = 300
_NUMBERS = ("quantity", "price", "amount", "charge")
_MOSTLY = Decimal("0.9")
_LINE_MEANINGS = frozenset({"stock_code", "description", "quantity", "price", "amount"})


class _AnyNames(ColumnNames):
    """Column names none of which means anything yet."""

    profile = "unknown"
    columns: frozenset[str] = frozenset()

    def __init__(self, names: Sequence[str], lines: str | None = None) -> None:
        self.names = [name.strip() for name in names if name.strip()]
        self.lines = lines

    def canonical(self, name: str) -> str | None:
        """Return None."""
        return None

    def is_general(self, name: str) -> bool:
        """Return False."""
        return False

    def names_time(self, name: str) -> bool:
        """Return False."""
        return False

    def is_header(self, names: Iterable[str]) -> bool:
        """Return whether these are the column names once more."""
        return [name.strip() for name in names] == self.names

    def check(self, present: object, names: Sequence[str], *, line: int | None = None) -> None:
        """Check nothing."""

    def warnings(self, present: Iterable[str]) -> list[str]:
        """Return nothing."""
        return []


@dataclass(frozen=True)
class _AnyLayout(Layouts):
    """Takes the first row for the column names that looks like some, and objects as they are.

    Attributes:
        meaningful: How many names have to seem to mean something.
        width: How many names there have to be.
        taken: What was taken so far; other sheets of a workbook must have the same names.
    """

    meaningful: int = _KNOWN_LEAST
    width: int = _NAMES_LEAST
    taken: list[_AnyNames] = field(default_factory=list)

    def of_header(self, names: Sequence[str], form: Format) -> ColumnNames | None:
        """Return names that mean nothing if these may be column names, else None."""
        found = _AnyNames(names)
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
        self.taken.append(_AnyNames(list(found[path]), ".".join(path) or None))
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
            else:
                fields[key] = None
    return found


def _is_date(text: str) -> bool:
    return any(char.isdigit() for char in text) and DateStyle(ZoneInfo("UTC"), "named").read(text) is not None


@dataclass
class Sample:
    """The first rows of a file.

    Attributes:
        decisions: How it was read.
        values: The staged file, with the rows as extras.
        columns: Name -> texts, "" where there is nothing; members of JSON objects by their paths.
        names: The columns as they stand in the file.
        lines: In JSON, the path of the list of lines below each invoice; None if each object is a line.
        zone: The shop's.
    """

    decisions: FileDecisions
    values: StagedValues
    columns: dict[str, list[str]]
    names: list[str]
    lines: str | None
    zone: ZoneInfo
    _numbers: dict[str, list[Decimal | None]] = field(default_factory=dict)
    _dates: dict[str, bool] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), []))

    def is_of_order(self, name: str) -> bool:
        """Return whether a field of JSON stands outside the list of lines, so that it is one of the whole invoice."""
        return self.lines is not None and not name.startswith(f"{self.lines}.")

    @cached_property
    def style(self) -> NumberStyle:
        """How numbers are written."""
        texts = [text for name in self.columns if self.means(name, *_NUMBERS) for text in self.columns[name] if text]
        try:
            return decide_numbers(Counter(texts), self.decisions.model_copy(deep=True), "auto")
        except SourceRejected:
            return NumberStyle()

    def means(self, name: str, *meanings: str) -> bool:
        """Return whether the name of a column seems to mean one of these."""
        found = guess(name)
        return found is not None and found[0] in meanings

    def numbers(self, name: str) -> list[Decimal | None]:
        """Return the numbers of a column, None where there is none."""
        if name not in self._numbers:
            read = {text: self.style.read(text) for text in set(self.columns[name])}
            numbers = {text: Decimal(number.text) for text, number in read.items() if number is not None}
            self._numbers[name] = [numbers.get(text) for text in self.columns[name]]
        return self._numbers[name]

    def is_number(self, name: str) -> bool:
        """Return whether nearly all texts of a column are numbers."""
        texts = [text for text in self.columns[name] if text]
        fitting = sum(number is not None for number in self.numbers(name))
        return bool(texts) and fitting >= _MOSTLY * len(texts)

    def is_date(self, name: str) -> bool:
        """Return whether nearly all texts of a column are dates; mere digits are, if the name says so."""
        if name not in self._dates:
            self._dates[name] = self._reads_as_date(name)
        return self._dates[name]

    def _reads_as_date(self, name: str) -> bool:
        texts = dict.fromkeys(islice((text for text in self.columns[name] if text), _DATES_TRIED), 1)
        digits = any(text.replace(".", "").isdigit() for text in texts)
        if not texts or (digits and not self.means(name, "invoice_date")):
            return False
        try:
            style = decide_dates(texts, FileDecisions(format="csv"), "auto", self.zone)
        except SourceRejected:
            return True  # dates of which it is not clear which number is the month
        return sum(style.read(text) is not None for text in texts) >= _MOSTLY * len(texts)

    def is_money(self, name: str) -> bool:
        """Return whether the numbers of a column seem to be amounts: some have decimals or the sign of a currency."""
        if not self.is_number(name) or words_of(name) & {"zip", "postcode", "phone", "weight", "rate", "percent"}:
            return False
        read = [number for text in self.columns[name] if text and (number := self.style.read(text)) is not None]
        return any(number.currency for number in read) or any("." in number.text for number in read)

    def texts(self, name: str) -> dict[str, int]:
        """Return all texts of a column in the whole file and how often each occurs, "" for none."""
        expression = f"coalesce(trim({self._expression(name)}, $space), '')"
        nothing = ", ".join(map(quoted, NOTHING))
        counted = self.values.ask(
            f"SELECT CASE WHEN lower(text) IN ({nothing}) THEN '' ELSE text END AS said, count(*) FROM "
            f"(SELECT {expression} AS text FROM read_parquet($path) WHERE defect IS NULL) GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        return dict(counted.fetchall())

    def _expression(self, name: str) -> str:
        steps = name.split(".")
        for length in range(len(steps), 0, -1):
            if (own := ".".join(steps[:length])) in self.names:
                member = f"json_extract_string(extras, {quoted(pointer(own))})"
                rest = steps[length:]
                return f"json_extract_string({member}, {quoted(pointer(*rest))})" if rest else member
        raise KeyError(name)


@contextmanager
def sampled(path: Path, name: str, settings: Settings, scratch: Path) -> Iterator[Sample]:
    """Yield the first rows of a file that has no declared layout.

    Args:
        path: The file.
        name: Its name.
        settings: Give the shop's zone and the longest line.
        scratch: Folder for what is made on the way.

    Raises:
        SourceRejected: If no table is found.
    """
    staged = scratch / "unknown.parquet"
    meaningful, width = _KNOWN_LEAST, _NAMES_LEAST
    while True:
        layout = _AnyLayout(file=name, meaningful=meaningful, width=width)
        try:
            decisions, rows, too_wide = _copy(path, name, settings, staged, layout)
        except SourceRejected as error:
            if error.code != "missing_columns" or not meaningful:
                raise
            meaningful = 0
            continue
        if 2 * too_wide <= rows or width > _NAMES_MOST:
            break
        width = len(layout.taken[0].names) + 1  # that was a title: the rows below have more values
    with StagedValues(staged) as values:
        extras = values.connection.execute(
            "SELECT extras FROM read_parquet($path) WHERE defect IS NULL ORDER BY line_number LIMIT $rows",
            {"path": str(staged), "rows": SAMPLE_ROWS},
        )
        records = [json.loads(text) if text else {} for (text,) in extras.fetchall()]
        names = list(dict.fromkeys([*decisions.extra_columns, *(key for record in records for key in record)]))
        lines = layout.taken[-1].lines
        yield Sample(decisions, values, _columns(records, names), names, lines, ZoneInfo(settings.time_zone))


def _copy(path: Path, name: str, settings: Settings, out: Path, layout: _AnyLayout) -> tuple[FileDecisions, int, int]:
    """Write all rows of a file; return the decisions, the number of rows, and that of rows with too many values."""
    reading = opened(path, name, out.parent, settings.max_line_bytes, layout)
    with reading as (decisions, batches), StagedWriter(out) as writer:
        for batch in batches:
            writer.write(batch)
    return decisions, writer.rows, writer.defects["too_many_columns"]


def _columns(records: Sequence[dict[str, str]], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts by column; of a column of JSON objects those of its members."""
    columns: dict[str, list[str]] = {}
    for name in names:
        if len(name) > NAME_LENGTH:
            continue
        texts = [_text(record.get(name, "")) for record in records]
        held = [_object(text) for text in texts]
        members = {key: None for one in held if one is not None for key in one}
        if not members:
            columns[name] = texts
        for key in (key for key in members if len(name) + len(key) < NAME_LENGTH):
            columns[f"{name}.{key}"] = [_text(one.get(key)) if one is not None else "" for one in held]
    return columns


def _object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is, None if it is none."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text, parse_float=str, parse_int=str)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str:
    text = value.strip() if isinstance(value, str) else "" if value is None else json.dumps(value)
    return "" if text.casefold() in NOTHING else text
