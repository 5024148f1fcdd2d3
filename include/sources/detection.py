"""What kind of source a file is. Its content decides; the extension only tells JSON from JSON lines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile, ZipFile

from include.sources.defects import reject
from include.sources.model import SourceRejected
from include.sources.text import TextEncoding

Kind = Literal["text", "pdf", "xlsx", "xls", "xlsb", "ods", "parquet", "zip"]

HEAD_BYTES = 1 << 16
"""Bytes of a file that are looked at."""

_CONTROL_SHARE = 0.05
_CONVERT = "Export the data as CSV (UTF-8), JSON, Excel or PDF."
_UNPACK = "Unpack it and drop the files in it, or pack them as ZIP (.zip), gzip (.gz) or xz (.xz)."
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
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


def kind_of(path: Path) -> Kind:
    """Return what kind of source an uncompressed file is.

    The beginning of a file is enough, except to tell kinds of archives apart: there it is a guess.

    Raises:
        SourceRejected: empty_file, unsupported_type, not_text.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise reject("empty_file")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(_ZIP):
        return _kind_of_zip(path, head)
    if head.startswith(_OLE):
        return "xls"
    if head.startswith(b"PAR1"):
        return "parquet"
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


def is_zip_of_files(path: Path) -> bool:
    """Return whether a file is a ZIP archive and neither a workbook nor another document."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    try:
        return head.startswith(_ZIP) and _kind_of_zip(path, head) == "zip"
    except SourceRejected:
        return False


def _kind_of_zip(path: Path, head: bytes) -> Kind:
    """Return what a ZIP archive is: a workbook by the members that make one, else an archive of files."""
    try:
        with ZipFile(path) as archive:
            names = "\n".join(archive.namelist()).encode()
    except (BadZipFile, NotImplementedError, UnicodeError):
        names = head + (b"xl/workbook.xml" if b"[Content_Types].xml" in head else b"")
    if b"xl/workbook.bin" in names:
        return "xlsb"
    if b"xl/workbook.xml" in names:
        return "xlsx"
    if b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet" in head:
        return "ods"
    if b"word/document.xml" in names or b"ppt/presentation.xml" in names or b"mimetypeapplication/vnd" in head:
        raise reject("unsupported_type", kind="a document that is no workbook", advice=_CONVERT)
    return "zip"


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
