"""The records of JSON lists and of JSON lines. Numbers keep the text they have in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from include.sources.columns import unique_name
from include.sources.json_document import JsonDocument, JsonRecord
from include.sources.json_shapes import Lines, the_path
from include.sources.json_shapes import Path as LinePath
from include.sources.json_values import DECODER, Fields, plain_json
from include.sources.layout import moment, only_records, time_belongs
from include.sources.model import CANONICAL_COLUMNS, FileDecisions
from include.sources.profiles.names import Layouts
from include.sources.staged import Batch, RecordBuffer
from include.sources.text import TextEncoding, line_blocks, storable

_SURROGATE = re.compile("[\ud800-\udfff]")
_REMEMBERED_KEYS = 1_000
_DATE = CANONICAL_COLUMNS.index("invoice_date")


def read_json(
    path: Path, encoding: TextEncoding, max_record_bytes: int, decisions: FileDecisions, layouts: Layouts
) -> Iterator[Batch]:
    """Yield the records of a JSON document: a list of objects, or what `json_shapes` finds.

    Args:
        path: Text file.
        encoding: As detected.
        max_record_bytes: Longest record that is read.
        decisions: Gets profile, header, extra columns and warnings.
        layouts: Those it may have.

    Raises:
        SourceRejected: truncated_json, invalid_json, json_record_too_long, unnamed_values, ambiguous_json,
            json_too_large, missing_columns, ambiguous_profile.
    """
    records = _Records(encoding, decisions, Lines(layouts, decisions))
    yield from _only_records(_document_batches(path, encoding, max_record_bytes, records), records)


def _only_records(batches: Iterator[Batch], records: _Records) -> Iterator[Batch]:
    """Yield batches without the rows that are no records; the first shows the layout."""
    first = next(batches)
    yield from only_records(chain([first], batches), records.decisions, meaning=records.lines.meaning)


def _document_batches(path: Path, encoding: TextEncoding, max_record_bytes: int, records: _Records) -> Iterator[Batch]:
    document = JsonDocument(path, encoding, max_record_bytes, records.decisions.leave_out, records.lines)
    for ordinal, record in enumerate(document.records(), start=1):
        records.add(ordinal, record)
        if records.buffer.full:
            yield records.take()
    yield records.take()
    records.conclude()


def read_json_lines(
    path: Path, encoding: TextEncoding, max_line_bytes: int, decisions: FileDecisions, layouts: Layouts
) -> Iterator[Batch]:
    """Yield the records of a JSON lines file; a line that is not one is a defective record.

    Args:
        path: Text file.
        encoding: As detected.
        max_line_bytes: Longest physical line that is read.
        decisions: Gets profile, header, extra columns and warnings.
        layouts: Those it may have.

    Raises:
        SourceRejected: ambiguous_json, missing_columns, ambiguous_profile.
    """
    records = _Records(encoding, decisions, Lines(layouts, decisions))
    yield from _only_records(_line_batches(path, encoding, max_line_bytes, records), records)


def _line_batches(path: Path, encoding: TextEncoding, max_line_bytes: int, records: _Records) -> Iterator[Batch]:
    for block in line_blocks(path, encoding, max_line_bytes):
        for index, line in enumerate(block.lines):
            text = line.strip("\ufeff \t\r\n\x1a")
            if text:
                records.add_line(block.first + index, text, overlong=index in block.overlong)
            if records.buffer.full:
                yield records.take()
    yield records.take()
    records.conclude()


class _Records:
    """Turns decoded records into batches and remembers which names were used."""

    def __init__(self, encoding: TextEncoding, decisions: FileDecisions, lines: Lines) -> None:
        self.damage = encoding.damage
        self.lines = lines
        self.decisions = decisions
        self.buffer = RecordBuffer()
        self.objects = 0
        self._positions: dict[str, int | None] = {}
        self._header: dict[str, str] = {}
        self._extras: dict[str, None] = {}
        self._yielding: set[str] = set()
        self._times: set[str] = set()
        self._joins_time: bool | None = None
        self._path: LinePath | None = None

    def add_line(self, number: int, text: str, overlong: bool) -> None:
        """Add the record on one physical line."""
        if overlong:
            self.buffer.add_defect(number, "line_too_long", storable(text))
            return
        if "\0" in text:
            self.buffer.add_defect(number, "nul_byte", storable(text))
            return
        try:
            value = DECODER.decode(text)
        except (json.JSONDecodeError, RecursionError):
            self.buffer.add_defect(number, _line_defect(text), storable(text))
            return
        if self._path is None:
            self._path = the_path(self.lines.paths([value]))
        if not self._path:
            self.add(number, JsonRecord(value, text))
            return
        lines = [JsonRecord(line, text, alone=False) for line in self.lines.below(value, self._path)]
        for line in lines:
            self.add(number, line)
        if not lines:
            self.decisions.leave_out("invoice without lines", number, storable(text))

    def add(self, number: int, record: JsonRecord) -> None:
        """Add a record."""
        value = record.value
        row: list[str | None] = [None] * len(CANONICAL_COLUMNS)
        extras: dict[str, str] = {}
        defect = self._fill(row, extras, value, record.raw) if isinstance(value, Fields) else "not_an_object"
        if defect is not None:
            self.buffer.add_defect(number, defect, storable(record.text))
        else:
            self.buffer.add(number, row, json.dumps(extras, ensure_ascii=False) if extras else None)

    def take(self) -> Batch:
        """Return what was added since the last call."""
        batch, self.buffer = self.buffer.batch(), RecordBuffer()
        return batch

    def conclude(self) -> None:
        """Complete the decisions.

        Raises:
            SourceRejected: missing_columns, if no record has a required field.
        """
        self.decisions.header = {name: self._header[name] for name in CANONICAL_COLUMNS if name in self._header}
        self.decisions.extra_columns = list(self._extras)
        if self.objects:
            self.lines.meaning.check(self._header, [*self._header.values(), *self._extras])
            self.decisions.warnings += self.lines.meaning.warnings(self._header)

    def _fill(self, row: list[str | None], extras: dict[str, str], fields: Fields, raw: str) -> str | None:
        """Fill `row` and `extras` from a record and return its defect, if any."""
        self.objects += 1
        defect: str | None = None
        names: set[str] = set()
        times: list[tuple[str, str]] = []
        for key, value in fields:
            position = self._position(key)
            if position is not None and value is not None and row[position] is not None:
                before = next(name for name, other in fields if other is not None and self._position(name) == position)
                if before in self._yielding and key not in self._yielding and isinstance(value, str):
                    key, value, row[position] = before, row[position], value
                    position = None
                elif key in self._yielding and before not in self._yielding:
                    position = None
            if position is None and key in self._times and isinstance(value, str) and value:
                times.append((key, value))
            elif position is None:
                name = self._extra(key, names)
                if value is not None and value != "":
                    extras[name] = (
                        value if isinstance(value, str) else json.dumps(plain_json(value), ensure_ascii=False)
                    )
            elif value is None:
                continue
            elif not isinstance(value, str):
                defect = "nested_value"
            elif row[position] is not None:
                defect = "duplicate_field"
            else:
                row[position] = value
        if times:
            self._take_times(row, extras, times, names)
        if defect is None and ("\\u" in raw or (self.damage is not None and self.damage.search(raw))):
            text = "".join(filter(None, (*row, *extras, *extras.values())))
            if "\0" in text:
                return "nul_byte"
            if _SURROGATE.search(text) or (self.damage is not None and self.damage.search(text)):
                return "undecodable_bytes"
        return defect

    def _take_times(
        self, row: list[str | None], extras: dict[str, str], times: Sequence[tuple[str, str]], names: set[str]
    ) -> None:
        """Join the time of day to the date of a record, or keep it as a field of the sender's own.

        Which of the two is decided by the first record that has both.
        """
        date = row[_DATE]
        if len(times) == 1 and date is not None:
            ((key, time),) = times
            if self._joins_time is None:
                self._joins_time = time_belongs([date], [time])
                if self._joins_time:
                    self._header["invoice_date"] += f" and {storable(key)}"
            if self._joins_time:
                row[_DATE] = moment(date, time)
                return
        for key, time in times:
            extras[self._extra(key, names)] = time

    def _position(self, key: str) -> int | None:
        """Return the position of the canonical column that `key` means, None for one of the sender's own."""
        if key in self._positions:
            return self._positions[key]
        meaning = self.lines.meaning
        column = meaning.canonical(key)
        position = None if column is None else CANONICAL_COLUMNS.index(column)
        known = self._header.get(column or "")
        if meaning.is_general(key) or meaning.names_time(key):
            self._yielding.add(key)
        if meaning.names_time(key):
            self._times.add(key)
        if column is not None and (known is None or (known in self._yielding and key not in self._yielding)):
            self._header[column] = storable(key)
        if len(self._positions) < _REMEMBERED_KEYS:
            self._positions[key] = position
        return position

    def _extra(self, key: str, taken: set[str]) -> str:
        """Return the name under which a field of the sender's own is kept, numbered if it is in `taken`."""
        name = unique_name(key, taken)
        if len(self._extras) < _REMEMBERED_KEYS:
            self._extras[storable(name)] = None
        return name


def _line_defect(text: str) -> str:
    """Return the reason why a line is not JSON."""
    try:
        _, end = DECODER.raw_decode(text)
    except (json.JSONDecodeError, RecursionError):
        return "invalid_json_line"
    return "comma_after_json" if text[end:].strip() == "," else "text_after_json_line"
