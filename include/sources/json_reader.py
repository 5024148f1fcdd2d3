"""JSON lists, read as a stream, and JSON lines. Numbers keep the text they have in the file.

The standard library's scanner decodes one record at a time out of a sliding buffer: streaming parsers hand numbers over
as floats or Decimals, which loses how they were written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.sources.columns import (
    REQUIRED_COLUMNS,
    accepted_spellings,
    canonical,
    optional_column_warnings,
    unique_name,
)
from include.sources.defects import reject, shortened
from include.sources.model import CANONICAL_COLUMNS, FileDecisions, SourceRejected
from include.sources.staged import Batch, RecordBuffer
from include.sources.text import TextEncoding, line_blocks, storable

_READ_CHARACTERS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PARTIAL_TOKEN = re.compile(r'[.eE]?[+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|N|Na|"?\\?(u[0-9a-fA-F]{0,4})?')
_REMEMBERED_KEYS = 1_000
_MAX_MEMBERS = 1_000


class _Fields(tuple[tuple[str, Any], ...]):
    """The members of a JSON object in order, repeated names included."""

    __slots__ = ()


def _constant(name: str) -> str | None:
    """Return what NaN and the infinities stand for: pandas writes NaN for an absent value."""
    return None if name == "NaN" else name


_DECODER = json.JSONDecoder(object_pairs_hook=_Fields, parse_float=str, parse_int=str, parse_constant=_constant)


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
    document = _Document(path, encoding, max_record_bytes)
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
            value = _DECODER.decode(text)
        except (json.JSONDecodeError, RecursionError):
            self.buffer.add_defect(number, "invalid_json_line", storable(text))
            return
        self.add(number, value, text)

    def add(self, number: int, value: object, raw: str) -> None:
        """Add a decoded record with its text."""
        row: list[str | None] = [None] * len(CANONICAL_COLUMNS)
        extras: dict[str, str] = {}
        defect = self._fill(row, extras, value, raw) if isinstance(value, _Fields) else "not_an_object"
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
        missing = [name for name in REQUIRED_COLUMNS if name not in self._header]
        if self.objects and missing:
            names = [*self._header.values(), *self._extras]
            raise reject(
                "missing_columns",
                missing=", ".join(missing),
                found=", ".join(repr(shortened(name, 40)) for name in names[:20]) or "none",
                accepted=accepted_spellings(missing),
            )
        if self.objects:
            self.decisions.warnings += optional_column_warnings(self._header)

    def _fill(self, row: list[str | None], extras: dict[str, str], fields: _Fields, raw: str) -> str | None:
        """Fill `row` and `extras` from a record and return its defect, if any."""
        self.objects += 1
        defect: str | None = None
        names: set[str] = set()
        for key, value in fields:
            position = self._position(key)
            if position is None:
                name = self._extra(key, names)
                if value is not None and value != "":
                    extras[name] = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
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


def _plain(value: object) -> object:
    """Return a decoded value with objects as dictionaries again."""
    if isinstance(value, _Fields):
        return {key: _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


class _Document:
    """A JSON document read through a sliding buffer."""

    def __init__(self, path: Path, encoding: TextEncoding, max_record_bytes: int) -> None:
        self.path = path
        self.encoding = encoding
        self.max_record = max_record_bytes
        self.buffer = ""
        self.position = 0
        self.at_end = False
        self.line = 1

    def records(self) -> Iterator[tuple[object, str]]:
        """Yield each record with its text.

        Raises:
            SourceRejected: truncated_json, invalid_json, json_record_too_long.
        """
        with self.encoding.open(self.path) as self.stream:
            self._more()
            self.position = 1 if self.buffer.startswith("\ufeff") else 0
            if self._peek() == "[":
                yield from self._elements()
            else:
                yield from self._wrapped()
            if self._peek().strip("\x1a"):
                raise self._invalid("there is more text after its end")

    def _elements(self) -> Iterator[tuple[object, str]]:
        self.position += 1
        if self._peek() == "]":
            self.position += 1
            return
        while True:
            yield self._value()
            if self._separator("]"):
                return

    def _wrapped(self) -> Iterator[tuple[object, str]]:
        """Yield the records of the one list of objects in an object; an object without a list is a record itself."""
        members: list[tuple[str, object]] = []
        lists = 0
        self.position += 1
        if self._peek() == "}":
            raise self._invalid("the object is empty")
        while True:
            if self._peek() != '"':
                raise self._invalid("a name in double quotes is expected") if self._peek() else self._truncated()
            key, _ = self._value()
            if self._peek() != ":":
                raise self._invalid('":" is expected after a name') if self._peek() else self._truncated()
            self.position += 1
            if self._peek() == "[" and self._holds_objects():
                lists += 1
                if lists > 1:
                    raise self._invalid("the object holds more than one list of records")
                yield from self._elements()
            else:
                value, _ = self._value()
                members.append((str(key), value))
                if len(members) > _MAX_MEMBERS:
                    raise self._invalid(f"the object has more than {_MAX_MEMBERS} members besides its list")
            if self._separator("}"):
                break
        if not lists:
            record = _Fields(members)
            yield record, json.dumps(_plain(record))

    def _holds_objects(self) -> bool:
        """Return whether the list at the current position is empty or begins with an object."""
        while True:
            found = _SPACE.match(self.buffer, self.position + 1)
            end = found.end() if found else self.position + 1
            if end < len(self.buffer) or not self._more():
                return self.buffer[end : end + 1] in {"{", "]"}

    def _separator(self, closing: str) -> bool:
        """Step over "," or the closing bracket and return whether it was the latter."""
        found = self._peek()
        if not found:
            raise self._truncated()
        if found not in {",", closing}:
            raise self._invalid(f'"," or "{closing}" is expected')
        self.position += 1
        return found == closing

    def _value(self) -> tuple[object, str]:
        """Decode the value at the current position."""
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.buffer, self.position)
            except json.JSONDecodeError as error:
                if not self._more_for_record():
                    raise self._broken(error) from error
            except RecursionError as error:
                raise self._invalid("its values are nested too deeply") from error
            else:
                # a number at the very end of the buffer may go on in the next piece
                if end < len(self.buffer) or not self._more_for_record():
                    raw = self.buffer[self.position : end]
                    if len(raw) > self.max_record:
                        raise reject("json_record_too_long", line=self._line(), value=raw, limit=self.max_record)
                    self.position = end
                    return value, raw

    def _more_for_record(self) -> bool:
        if len(self.buffer) - self.position > self.max_record + _READ_CHARACTERS:
            return False
        return self._more()

    def _peek(self) -> str:
        """Return the next character that is not white space, "" at the end."""
        while True:
            found = _SPACE.match(self.buffer, self.position)
            self.position = found.end() if found else self.position
            if self.position < len(self.buffer) or not self._more():
                return self.buffer[self.position : self.position + 1]

    def _more(self) -> bool:
        """Drop what was read, append the next piece of the file and return whether there was one."""
        if self.at_end:
            return False
        piece = self.stream.read(_READ_CHARACTERS)
        self.at_end = not piece
        if piece:
            self.line += self.buffer.count("\n", 0, self.position)
            self.buffer = self.buffer[self.position :] + piece
            self.position = 0
        return bool(piece)

    def _line(self, position: int | None = None) -> int:
        return self.line + self.buffer.count("\n", 0, self.position if position is None else position)

    def _broken(self, error: json.JSONDecodeError) -> SourceRejected:
        """Return the rejection for a value that cannot be decoded: cut off, too long or wrong."""
        rest = self.buffer[error.pos :].rstrip()
        unfinished = "Unterminated string" in error.msg or _PARTIAL_TOKEN.fullmatch(rest) is not None
        if self.at_end and unfinished:
            return self._truncated()
        if not self.at_end and (unfinished or error.pos - self.position > self.max_record):
            limit = self.max_record
            return reject("json_record_too_long", line=self._line(), value=self._excerpt(self.position), limit=limit)
        return reject(
            "invalid_json", line=self._line(error.pos), value=self._excerpt(error.pos), detail=_sentence_part(error.msg)
        )

    def _truncated(self) -> SourceRejected:
        return reject("truncated_json", line=self._line(len(self.buffer)), value=storable(self.buffer[-60:]))

    def _invalid(self, detail: str) -> SourceRejected:
        return reject("invalid_json", line=self._line(), value=self._excerpt(self.position), detail=detail)

    def _excerpt(self, position: int) -> str:
        return storable(self.buffer[max(0, position - 20) : position + 60])


def _sentence_part(message: str) -> str:
    return message[:1].lower() + message[1:]
