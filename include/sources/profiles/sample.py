"""The first rows of a file that has no declared layout, under the names that its columns have there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
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
from include.sources.charges import words_of
from include.sources.dates import decide_dates
from include.sources.model import FileDecisions, SourceRejected
from include.sources.numbers import NumberStyle, decide_numbers
from include.sources.profiles.meanings import guess
from include.sources.profiles.sql import in_extras, quoted
from include.sources.profiles.unknown import KNOWN_LEAST, NAMES_LEAST, AnyLayout
from include.sources.staged import StagedWriter
from include.sources.staging import opened

SAMPLE_ROWS = 10_000
"""Rows that are looked at."""

NAME_LENGTH = 200
"""Longest name of a column that a profile can say."""

_NAMES_MOST = 400
_DATES_TRIED = 300
_NUMBERS = ("quantity", "price", "amount", "charge")
_MOSTLY = Decimal("0.9")


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
        found = in_extras(name, self.names)
        if found is None:
            raise KeyError(name)
        return found


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
    meaningful, width = KNOWN_LEAST, NAMES_LEAST
    while True:
        layout = AnyLayout(file=name, meaningful=meaningful, width=width)
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


def _copy(path: Path, name: str, settings: Settings, out: Path, layout: AnyLayout) -> tuple[FileDecisions, int, int]:
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
