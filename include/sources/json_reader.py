"""The records of JSON lists and of JSON lines. Numbers keep the text they have in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from include.sources.columns import canonical, check_required, optional_column_warnings, unique_name
from include.sources.json_document import DECODER, Fields, JsonDocument, plain_json
from include.sources.model import CANONICAL_COLUMNS, FileDecisions
from include.sources.staged import Batch, RecordBuffer
from include.sources.text import TextEncoding, line_blocks, storable

_SURROGATE = re.compile("[\ud800-\udfff]")
_REMEMBERED_KEYS = 1_000


def read_json(path: Path, encoding: TextEncoding, max_record_bytes: int, decisions: FileDecisions) -> Iterator[Batch]:
    """Yield the records of a JSON list, or of the one list of objects inside an object.

    Args:
        path: Text file.
        encoding: As detected.
        max_record_bytes: Longest record that is read.
        decisions: Gets header, extra columns and warnings.

    Raises:
        SourceRejected: truncated_json, invalid_json, json_record_too_long, missing_columns.
    """
    records = _Records(encoding, decisions)
    document = JsonDocument(path, encoding, max_record_bytes)
    for ordinal, (value, raw) in enumerate(document.records(), start=1):
        records.add(ordinal, value, raw)
        if records.buffer.full:
            yield records.take()
    yield records.take()
    records.conclude()


def read_json_lines(
    path: Path, encoding: TextEncoding, max_line_bytes: int, decisions: FileDecisions
) -> Iterator[Batch]:
    """Yield the records of a JSON lines file; a line that is not one is a defective record.

    Args:
        path: Text file.
        encoding: As detected.
        max_line_bytes: Longest physical line that is read.
        decisions: Gets header, extra columns and warnings.

    Raises:
        SourceRejected: empty_file, missing_columns.
    """
    records = _Records(encoding, decisions)
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

    def __init__(self, encoding: TextEncoding, decisions: FileDecisions) -> None:
        self.damage = encoding.damage
        self.decisions = decisions
        self.buffer = RecordBuffer()
        self.objects = 0
        self._positions: dict[str, int | None] = {}
        self._header: dict[str, str] = {}
        self._extras: dict[str, None] = {}

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
            self.buffer.add_defect(number, "invalid_json_line", storable(text))
            return
        self.add(number, value, text)

    def add(self, number: int, value: object, raw: str) -> None:
        """Add a decoded record with its text."""
        row: list[str | None] = [None] * len(CANONICAL_COLUMNS)
        extras: dict[str, str] = {}
        defect = self._fill(row, extras, value, raw) if isinstance(value, Fields) else "not_an_object"
        if defect is not None:
            self.buffer.add_defect(number, defect, storable(raw))
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
            check_required(self._header, [*self._header.values(), *self._extras])
            self.decisions.warnings += optional_column_warnings(self._header)

    def _fill(self, row: list[str | None], extras: dict[str, str], fields: Fields, raw: str) -> str | None:
        """Fill `row` and `extras` from a record and return its defect, if any."""
        self.objects += 1
        defect: str | None = None
        names: set[str] = set()
        for key, value in fields:
            position = self._position(key)
            if position is None:
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
        if defect is None and ("\\u" in raw or (self.damage is not None and self.damage.search(raw))):
            text = "".join(filter(None, (*row, *extras, *extras.values())))
            if "\0" in text:
                return "nul_byte"
            if _SURROGATE.search(text) or (self.damage is not None and self.damage.search(text)):
                return "undecodable_bytes"
        return defect

    def _position(self, key: str) -> int | None:
        """Return the position of the canonical column that `key` means, None for one of the sender's own."""
        if key in self._positions:
            return self._positions[key]
        column = canonical(key)
        position = None if column is None else CANONICAL_COLUMNS.index(column)
        if column is not None:
            self._header.setdefault(column, storable(key))
        if len(self._positions) < _REMEMBERED_KEYS:
            self._positions[key] = position
        return position

    def _extra(self, key: str, taken: set[str]) -> str:
        """Return the name under which a field of the sender's own is kept, numbered if it is in `taken`."""
        name = unique_name(key, taken)
        if len(self._extras) < _REMEMBERED_KEYS:
            self._extras[storable(name)] = None
        return name
