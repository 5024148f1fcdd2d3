"""A JSON document as a stream of its records.

The standard library's scanner decodes one record at a time out of a sliding buffer: streaming parsers hand numbers over
as floats or Decimals, which loses how they were written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from include.sources.defects import reject
from include.sources.model import SourceRejected
from include.sources.text import TextEncoding, storable

_READ_CHARACTERS = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_PARTIAL_TOKEN = re.compile(r'[.eE]?[+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|N|Na|"?\\?(u[0-9a-fA-F]{0,4})?')
_MAX_MEMBERS = 1_000


class Fields(tuple[tuple[str, Any], ...]):
    """The members of a JSON object in order, repeated names included."""

    __slots__ = ()


def _constant(name: str) -> str | None:
    """Return what NaN and the infinities stand for: pandas writes NaN for an absent value."""
    return None if name == "NaN" else name


DECODER = json.JSONDecoder(object_pairs_hook=Fields, parse_float=str, parse_int=str, parse_constant=_constant)


def plain_json(value: object) -> object:
    """Return a decoded value with objects as dictionaries again."""
    if isinstance(value, Fields):
        return {key: plain_json(item) for key, item in value}
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    return value


class JsonDocument:
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
            record = Fields(members)
            yield record, json.dumps(plain_json(record))

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
                value, end = DECODER.raw_decode(self.buffer, self.position)
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
