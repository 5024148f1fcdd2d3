"""Text files: which encoding, and their physical lines one block at a time."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from charset_normalizer import from_bytes

_READ_BYTES = 1 << 20
_NO_BREAK_SPACE = 0xA0
"""Of Windows-1252; spreadsheets pad cells with it, which makes a text no more foreign."""
_BLOCK_CHARACTERS = 4 << 20
_SAMPLE_BYTES = 1 << 18
RAW_LIMIT = 1 << 16
"""Characters of a defective record's text that are kept."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16"),
)
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_REPLACED = re.compile("\ufffd")


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How the bytes of a file become text.

    Attributes:
        name: Python codec name, as shown to people.
        codec: Codec to open the file with.
        byte_order_mark: Whether the file begins with one.
        errors: Error handler to open the file with.
        damage: Finds the places where bytes could not be decoded; None if all could.
        warnings: Sentences a person should read.
    """

    name: str
    codec: str
    byte_order_mark: bool = False
    errors: str = "strict"
    damage: re.Pattern[str] | None = None
    warnings: list[str] = field(default_factory=list)

    def open(self, path: Path) -> io.TextIOWrapper:
        """Open `path` for reading with its line ends untouched."""
        return path.open("r", encoding=self.codec, errors=self.errors, newline="")


def encoding_of(path: Path) -> TextEncoding:
    """Return the encoding of a whole text file.

    A byte-order mark decides; else strict UTF-8 over every byte; else UTF-8 with a few damaged places, if it is mostly
    that; else Windows-1252, unless that fails or the text is mostly accented letters, which asks charset-normalizer.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
    for mark, name, codec in _MARKS:
        if head.startswith(mark):
            return _marked(path, name, codec)
    if _decodes(path, "utf-8"):
        return TextEncoding("utf-8", "utf-8")
    return _without_mark(path)


def _marked(path: Path, name: str, codec: str) -> TextEncoding:
    if _decodes(path, codec):
        return TextEncoding(name, codec, byte_order_mark=True)
    warning = f"Some bytes are not valid {name}; the records that hold them are kept out."
    if name == "utf-8":
        return TextEncoding(name, codec, True, "surrogateescape", _ESCAPED_BYTE, [warning])
    return TextEncoding(name, codec, True, "replace", _REPLACED, [warning])


def _without_mark(path: Path) -> TextEncoding:
    multibyte, broken = _utf8_evidence(path)
    if multibyte > 4 * broken:
        warning = "Some bytes are not valid utf-8; the records that hold them are kept out."
        return TextEncoding("utf-8", "utf-8", False, "surrogateescape", _ESCAPED_BYTE, [warning])
    sample = _accented_sample(path)
    strict = _decodes(path, "cp1252")
    if not strict or _mostly_accented(sample):
        best = from_bytes(sample).best()
        guess = best.encoding if best is not None else None
        if guess is not None and _decodes(path, guess):
            return TextEncoding(guess, guess, warnings=[_not_utf8(guess)])
    if strict:
        return TextEncoding("cp1252", "cp1252", warnings=[_not_utf8("cp1252 (Windows)")])
    return TextEncoding("cp1252", "cp1252", False, "surrogateescape", _ESCAPED_BYTE, [_not_utf8("cp1252 (Windows)")])


def _not_utf8(name: str) -> str:
    return f"The file is not UTF-8; it was read as {name}. Check accented letters and currency signs."


def _decodes(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _utf8_evidence(path: Path) -> tuple[int, int]:
    """Return how many characters are valid multi-byte UTF-8 and how many bytes are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    multibyte = broken = 0
    for chunk in (*_chunks(path), b""):
        text = decoder.decode(chunk, final=not chunk)
        if not text.isascii():
            escaped = len(_ESCAPED_BYTE.findall(text))
            broken += escaped
            multibyte += sum(1 for character in text if character > "\x7f") - escaped
    return multibyte, broken


def _accented_sample(path: Path) -> bytes:
    """Return the first lines that are not plain ASCII."""
    sample = bytearray()
    for chunk in _chunks(path):
        for line in chunk.splitlines(keepends=True):
            if not line.isascii():
                sample += line[: _SAMPLE_BYTES - len(sample)]
            if len(sample) >= _SAMPLE_BYTES:
                return bytes(sample)
    return bytes(sample)


def _mostly_accented(sample: bytes) -> bool:
    letters = sum(1 for byte in sample if 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A)
    accented = sum(1 for byte in sample if byte >= 0x80 and byte != _NO_BREAK_SPACE)
    return accented > letters


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            yield chunk


@dataclass(slots=True)
class LineBlock:
    """Consecutive physical lines.

    Attributes:
        first: Number of the first line, from 1.
        lines: The lines with their line ends; an overlong one is cut to `RAW_LIMIT` and has none.
        overlong: Indices in `lines` of those over the limit.
        suspect: Whether some line holds a NUL or an undecodable byte.
    """

    first: int
    lines: list[str]
    overlong: set[int] = field(default_factory=set)
    suspect: bool = False

    def after(self, count: int) -> LineBlock:
        """Return the block without its first `count` lines."""
        overlong = {index - count for index in self.overlong if index >= count}
        return LineBlock(self.first + count, self.lines[count:], overlong, self.suspect)

    def followed_by(self, other: LineBlock) -> LineBlock:
        """Return one block of the lines of both."""
        overlong = self.overlong | {index + len(self.lines) for index in other.overlong}
        return LineBlock(self.first, self.lines + other.lines, overlong, self.suspect or other.suspect)


def line_blocks(path: Path, encoding: TextEncoding, max_line_bytes: int) -> Iterator[LineBlock]:
    """Yield the physical lines of a file; LF, CRLF and CR all end a line.

    Memory is bounded by the block size and `max_line_bytes`, whatever the length of a line.

    Args:
        path: Text file.
        encoding: As `encoding_of` decided.
        max_line_bytes: Longest line in UTF-8 bytes, line end included, that is returned whole.
    """
    number = 1
    carry = ""
    skipping = False
    with encoding.open(path) as stream:
        while chunk := stream.read(_BLOCK_CHARACTERS):
            if chunk.endswith("\r"):
                chunk += stream.read(1)  # the other half of a CRLF, or the next line's first character
            if skipping:
                end = _line_end(chunk)
                if end < 0:
                    continue
                yield LineBlock(number, [carry], {0}, suspect=True)
                number += 1
                carry, chunk, skipping = "", chunk[end:], False
            text = carry + chunk
            suspect = "\0" in text or (encoding.damage is not None and encoding.damage.search(text) is not None)
            # StringIO with newline="" splits exactly where the csv module does; str.splitlines knows more line ends
            lines = list(io.StringIO(text, newline=""))
            carry = lines.pop() if lines and not lines[-1].endswith(("\n", "\r")) else ""
            if len(carry) > max_line_bytes:
                carry, skipping = carry[:RAW_LIMIT], True
            if lines:
                yield _checked(LineBlock(number, lines, set(), suspect), max_line_bytes)
                number += len(lines)
    if carry:
        block = LineBlock(number, [carry], {0} if skipping else set(), suspect=True)
        yield _checked(block, max_line_bytes)


def _line_end(text: str) -> int:
    """Return the index after the first line end in `text`, -1 if there is none."""
    found = re.search("\r\n|\n|\r", text)
    return found.end() if found else -1


def _checked(block: LineBlock, max_line_bytes: int) -> LineBlock:
    """Mark and cut the lines over the limit."""
    if max(map(len, block.lines)) * 4 > max_line_bytes:
        for index, line in enumerate(block.lines):
            if len(line) * 4 > max_line_bytes and len(line.encode("utf-8", "surrogatepass")) > max_line_bytes:
                block.lines[index] = line[:RAW_LIMIT]
                block.overlong.add(index)
    return block


def without_accents(text: str) -> str:
    """Return `text` in lower case without accents, compatibility characters as plain ones."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def storable(text: str) -> str:
    r"""Return `text` cut to `RAW_LIMIT`, with undecodable bytes written as `\xNN`."""
    kept = text[:RAW_LIMIT]
    try:
        return kept.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return kept.encode("utf-8", "backslashreplace").decode("utf-8")
