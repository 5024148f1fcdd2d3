"""A JSON document as a stream of its records.

The standard library's scanner decodes one record at a time out of a sliding buffer: streaming parsers hand numbers over
as floats or Decimals, which loses how they were written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from include.sources.defects import reject
from include.sources.json_shapes import Lines, named, the_path
from include.sources.json_shapes import Path as LinePath
from include.sources.json_values import DECODER, Fields, plain_json
from include.sources.model import SourceRejected
from include.sources.text import TextEncoding, storable

_READ_CHARACTERS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_PARTIAL_TOKEN = re.compile(r'[.eE]?[+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|N|Na|"?\\?(u[0-9a-fA-F]{0,4})?')
_SAMPLE_RECORDS = 100
WHOLE_CHARACTERS = 32 << 20
"""Characters of a document that is not simply a list of records, which must be held as a whole."""


class JsonRecord(NamedTuple):
    """A record of a document.

    Attributes:
        value: What it is.
        raw: The text it was decoded from, which may hold other records beside it.
        alone: Whether the text is that of the record alone.
    """

    value: object
    raw: str
    alone: bool = True

    @property
    def text(self) -> str:
        """The record's own text."""
        return self.raw if self.alone else json.dumps(plain_json(self.value), ensure_ascii=False)


class JsonDocument:
    """A JSON document read through a sliding buffer."""

    def __init__(
        self,
        path: Path,
        encoding: TextEncoding,
        max_record_bytes: int,
        leave_out: Callable[[str, int, str], None],
        lines: Lines,
    ) -> None:
        """Begin at the start.

        Args:
            path: Text file.
            encoding: As detected.
            max_record_bytes: Longest record that is read.
            leave_out: Is told what is no record: its kind, ordinal number and text.
            lines: Finds the lines.
        """
        self.path = path
        self.leave_out = leave_out
        self.lines = lines
        self.encoding = encoding
        self.max_record = max_record_bytes
        self.buffer = ""
        self.position = 0
        self.at_end = False
        self.line = 1

    def records(self) -> Iterator[JsonRecord]:
        """Yield each record.

        Raises:
            SourceRejected: truncated_json, invalid_json, json_record_too_long, unnamed_values, ambiguous_json,
                json_too_large.
        """
        with self.encoding.open(self.path) as self.stream:
            self._more()
            self.position = 1 if self.buffer.startswith("\ufeff") else 0
            if self._peek() == "[":
                if self._first_element() == "[":
                    raise reject("unnamed_values", line=self._line(), value=self._excerpt(self.position))
                sample, elements = self._sampled()
                yield from self._lines(elements, the_path(self.lines.paths(value for value, _ in sample)) or ())
            else:
                yield from self._object()
            if self._peek().strip("\x1a"):
                raise reject("text_after_json", line=self._line(), value=self._excerpt(self.position))

    def _elements(self) -> Iterator[tuple[object, str]]:
        self.position += 1
        if self._peek() == "]":
            self.position += 1
            return
        while True:
            yield self._value()
            if self._separator("]"):
                return

    def _sampled(self) -> tuple[list[tuple[object, str]], Iterator[tuple[object, str]]]:
        """Return the first elements of the list at the current position, and all of them."""
        elements = self._elements()
        sample: list[tuple[object, str]] = []
        length = 0
        for element in elements:
            sample.append(element)
            length += len(element[1])
            if len(sample) == _SAMPLE_RECORDS or length > self.max_record:
                break
        return sample, chain(sample, elements)

    def _lines(
        self, elements: Iterable[tuple[object, str]], path: LinePath, *, alone: bool = True
    ) -> Iterator[JsonRecord]:
        """Yield the lines at a path below each element; `alone` if an element is what its text says."""
        for ordinal, (value, raw) in enumerate(elements, start=1):
            if not path:
                yield JsonRecord(value, raw, alone)
                continue
            empty = True
            for line in self.lines.below(value, path):
                empty = False
                yield JsonRecord(line, raw, alone=False)
            if empty:
                self.leave_out("invoice without lines", ordinal, storable(raw))

    def _object(self) -> Iterator[JsonRecord]:
        """Yield the records of an object: of the one list with lines in it, else of the object as a whole."""
        members: list[tuple[str, object]] = []
        found: list[LinePath] = []
        columns: object = None
        room = WHOLE_CHARACTERS
        for key in self._keys():
            begins = self._first_element() if self._peek() == "[" else ""
            if begins == "{":
                sample, elements = self._sampled()
                paths = self.lines.paths(value for value, _ in sample)
                found += [(key, *path) for path in paths]
                if the_path(found) is not None and paths:
                    yield from self._lines(elements, paths[0])
                    continue
                values: list[object] = []
                members.append((key, values))
                for value, raw in elements:
                    values.append(value)
                    room = self._room(room - len(raw), found)
            elif begins == "[" and key == "data" and isinstance(columns, list):
                found.append((key,))
                the_path(found)
                sample, elements = self._sampled()
                path = self.lines.declared(named(columns, value) for value, _ in sample) or ()
                yield from self._lines(((named(columns, value), raw) for value, raw in elements), path, alone=False)
            elif begins and key == "index":
                for _ in self._elements():
                    continue  # row numbers of pandas, one for each record
            else:
                value, raw = self._value(WHOLE_CHARACTERS)
                members.append((key, value))
                columns = value if key == "columns" else columns
                room = self._room(room - len(raw), found)
        if not found:
            for record in self.lines.of_document(Fields(members)):
                yield JsonRecord(record, json.dumps(plain_json(record)))
            return
        for key, beside in members:
            for ordinal, entry in enumerate(beside if isinstance(beside, list) else (), start=1):
                if isinstance(entry, Fields):
                    self.leave_out(f"entry of {key}", ordinal, storable(json.dumps(plain_json(entry))))

    def _room(self, room: int, found: list[LinePath]) -> int:
        """Return the room that is left for what must be held as a whole; all of it once the lines are found."""
        if room < 0 and not found:
            raise reject("json_too_large", line=self._line(), limit=WHOLE_CHARACTERS)
        return room

    def _keys(self) -> Iterator[str]:
        """Yield the names of an object's members; the value of each is to be read before the next is asked for."""
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
            yield str(key)
            if self._separator("}"):
                return

    def _first_element(self) -> str:
        """Return the character with which the first element of the list at the current position begins, or "]"."""
        while True:
            found = _SPACE.match(self.buffer, self.position + 1)
            end = found.end() if found else self.position + 1
            if end < len(self.buffer) or not self._more():
                return self.buffer[end : end + 1]

    def _separator(self, closing: str) -> bool:
        """Step over "," or the closing bracket and return whether it was the latter."""
        found = self._peek()
        if not found:
            raise self._truncated()
        if found not in {",", closing}:
            raise self._invalid(f'"," or "{closing}" is expected')
        self.position += 1
        if found == "," and self._peek() == closing:
            raise self._invalid(f'a comma stands before the closing "{closing}"')
        return found == closing

    def _value(self, limit: int | None = None) -> tuple[object, str]:
        """Decode the value at the current position, of at most `limit` characters, by default those of a record."""
        limit = self.max_record if limit is None else limit
        self._peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self.buffer, self.position)
            except json.JSONDecodeError as error:
                if not self._more_for(limit):
                    raise self._broken(error, limit) from error
            except RecursionError as error:
                raise self._invalid("its values are nested too deeply") from error
            else:
                # a number at the very end of the buffer may go on in the next piece
                if end < len(self.buffer) or not self._more_for(limit):
                    raw = self.buffer[self.position : end]
                    if len(raw) > limit:
                        raise reject("json_record_too_long", line=self._line(), value=raw, limit=limit)
                    self.position = end
                    return value, raw

    def _more_for(self, limit: int) -> bool:
        """Append as much again as there is of the value, for it is decoded anew; False if it is longer than `limit`."""
        length = len(self.buffer) - self.position
        return length <= limit + _READ_CHARACTERS and self._more(max(length, _READ_CHARACTERS))

    def _peek(self) -> str:
        """Return the next character that is not white space, "" at the end."""
        while True:
            found = _SPACE.match(self.buffer, self.position)
            self.position = found.end() if found else self.position
            if self.position < len(self.buffer) or not self._more():
                return self.buffer[self.position : self.position + 1]

    def _more(self, size: int | None = None) -> bool:
        """Drop what was read, append the next piece of the file and return whether there was one."""
        if self.at_end:
            return False
        piece = self.stream.read(size or _READ_CHARACTERS)
        self.at_end = not piece
        if piece:
            self.line += self.buffer.count("\n", 0, self.position)
            self.buffer = self.buffer[self.position :] + piece
            self.position = 0
        return bool(piece)

    def _line(self, position: int | None = None) -> int:
        return self.line + self.buffer.count("\n", 0, self.position if position is None else position)

    def _broken(self, error: json.JSONDecodeError, limit: int) -> SourceRejected:
        """Return the rejection for a value that cannot be decoded: cut off, too long or wrong."""
        rest = self.buffer[error.pos :].rstrip()
        unfinished = "Unterminated string" in error.msg or _PARTIAL_TOKEN.fullmatch(rest) is not None
        if self.at_end and unfinished:
            return self._truncated()
        if not self.at_end and (unfinished or error.pos - self.position > limit):
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
