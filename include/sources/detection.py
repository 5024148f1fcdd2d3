"""What kind of source a file is. Its content decides; the extension only tells JSON from JSON lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal

from include.sources.defects import reject
from include.sources.text import TextEncoding

HEAD_BYTES = 1 << 16
"""Bytes of a file that are looked at."""

_CONTROL_SHARE = 0.05
_CONVERT = "Export the data as CSV (UTF-8), JSON or PDF."
_EXCEL = "Open it in a spreadsheet program and save the sheet as CSV (UTF-8)."
_UNPACK = "Unpack it and drop the files in it, or compress a single file with gzip (.gz) or xz (.xz)."
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office document", _EXCEL),
    (0, b"PAR1", "a Parquet file", _CONVERT),
    (0, b"Obj\x01", "an Avro file", _CONVERT),
    (0, b"SQLite format 3\0", "an SQLite database", _CONVERT),
    (0, b"BZh", "a bzip2 archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip archive inside another archive", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz archive inside another archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
)
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_NAME_IN_BRACKETS = re.compile(r'\[[^\[\]{}"\n\r]+\][ \t]*[,;\t|]')
"""How a CSV header such as `[Invoice],[StockCode]` begins. No JSON goes on like that after a list."""

_PRINTING = frozenset(b"\t\n\r\f\v\x1a\x1b\b\x00")


def kind_of(path: Path) -> Literal["pdf", "text"]:
    """Return whether an uncompressed file is a PDF or text.

    Raises:
        SourceRejected: empty_file, unsupported_type, not_text.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise reject("empty_file")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        excel = b"xl/" in head or b"[Content_Types].xml" in head
        kind, advice = ("an Excel workbook", _EXCEL) if excel else ("a ZIP archive", _UNPACK)
        raise reject("unsupported_type", kind=kind, advice=advice)
    for offset, signature, kind, advice in _SIGNATURES:
        if head[offset:].startswith(signature):
            raise reject("unsupported_type", kind=kind, advice=advice)
    if head.startswith(_BYTE_ORDER_MARKS):
        return "text"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise reject("unsupported_type", kind="a web page or XML document", advice=_CONVERT)
    if _is_binary(head):
        raise reject("not_text")
    return "text"


def _is_binary(head: bytes) -> bool:
    """Return whether the bytes are more than text with a few damaged places."""
    control = sum(1 for byte in head if byte < 0x20 and byte not in _PRINTING)
    nul = head.count(0)
    return control > _CONTROL_SHARE * len(head) or nul > len(head) * _CONTROL_SHARE * 4


def text_format(path: Path, encoding: TextEncoding, hint: str) -> Literal["csv", "json", "jsonl"]:
    """Return the format of a text file.

    Args:
        path: Text file.
        encoding: As detected.
        hint: File name; `.jsonl` and `.ndjson` settle what begins like an object.
    """
    with encoding.open(path) as stream:
        head = stream.read(HEAD_BYTES)
    named_json_lines = any(part in {".jsonl", ".ndjson"} for part in Path(hint.lower()).suffixes)
    start = head.lstrip("\ufeff \t\r\n")
    if not start.startswith(("[", "{")) or _NAME_IN_BRACKETS.match(start):
        return "jsonl" if named_json_lines and start else "csv"
    if start.startswith("{") and named_json_lines:
        return "jsonl"
    first, _, rest = start.partition("\n")
    if start.startswith("[") and not named_json_lines:
        return "json"
    return "jsonl" if rest.strip() and _is_json(first) else "json"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
