"""What the reader of workbooks does not tell: how large a sheet is before it is read, and which cells seem empty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal
from xml.etree import ElementTree
from zipfile import ZipFile

from include.sources.compression import UnpackLimits
from include.sources.defects import reject

WorkbookFormat = Literal["xlsx", "xls", "xlsb", "ods"]

MAX_CELLS = 1 << 25
"""Largest area of a sheet that is read: an empty cell inside it takes as much memory as a full one."""

_PIECE_BYTES = 1 << 18
_CELL_BYTES = 1 << 16
"""Most that a cell with a formula takes up."""

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_RELATION = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
_DIMENSION = re.compile(rb'<(?:\w+:)?dimension\s+ref="[A-Z]+[0-9]+:([A-Z]+)([0-9]+)"')
_UNSOLVED = re.compile(
    rb"<(?:\w+:)?c\s([^>]*)>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_ADDRESS = re.compile(rb'\br="([A-Z]+[0-9]+)"')
_ODS_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_ODS_ERROR = b'calcext:value-type="error"'


def check_size(path: Path, form: WorkbookFormat, limits: UnpackLimits) -> None:
    """Refuse a workbook that would take too much memory.

    Raises:
        SourceRejected: archive_too_large, sheet_too_large.
        BadZipFile: If it is no archive.
    """
    if form == "xls":
        return
    with ZipFile(path) as archive:
        allowed = limits.allowed(path.stat().st_size)
        if sum(member.file_size for member in archive.infolist()) > allowed:
            raise reject("archive_too_large", limit=f"{allowed:,} bytes")
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as stream:
                    area = _DIMENSION.search(stream.read(4_096))
                if area and (rows := int(area[2])) * _column_number(area[1].decode()) > MAX_CELLS:
                    raise reject("sheet_too_large", rows=f"{rows:,}", column=area[1].decode())


def unsolved_formulas(path: Path, sheet: str) -> list[str]:
    """Return the addresses of cells of an .xlsx whose formulas have no stored result."""
    found = []
    with ZipFile(path) as archive, archive.open(_part(archive, sheet)) as stream:
        for piece in _pieces(stream):
            if b"<f" in piece or b":f" in piece:
                found += [attributes for attributes in _UNSOLVED.findall(piece) if b't="str"' not in attributes]
    return [cell[1].decode() for attributes in found if (cell := _ADDRESS.search(attributes))]


def errors_of_ods(path: Path, sheet: str) -> list[str]:
    """Return the addresses of cells of an .ods that hold errors."""
    found: list[str] = []
    with ZipFile(path) as archive:
        with archive.open("content.xml") as stream:
            if not any(_ODS_ERROR in piece for piece in _pieces(stream)):
                return found
        inside, row, column = False, 0, 0
        with archive.open("content.xml") as stream:
            for event, node in ElementTree.iterparse(stream, ("start", "end")):
                tag = node.tag.rpartition("}")[2]
                if event == "start":
                    if tag == "table":
                        inside, row = node.get(f"{_ODS_TABLE}name") == sheet, 0
                elif inside and tag in {"table-cell", "covered-table-cell"}:
                    if any(value == "error" for name, value in node.items() if name.endswith("}value-type")):
                        found.append(address(row, column))
                    column += int(node.get(f"{_ODS_TABLE}number-columns-repeated") or 1)
                elif tag == "table-row":
                    row, column = row + int(node.get(f"{_ODS_TABLE}number-rows-repeated") or 1), 0
                    node.clear()
    return found


def address(row: int, column: int) -> str:
    """Return the address of a cell by its position from 0, such as `F4`."""
    return f"{column_letters(column)}{row + 1}"


def column_letters(column: int) -> str:
    """Return the letters of a column by its position from 0, such as `F`."""
    letters = ""
    while column >= 0:
        column, letter = divmod(column, 26)
        letters = chr(ord("A") + letter) + letters
        column -= 1
    return letters


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _part(archive: ZipFile, sheet: str) -> str:
    """Return the name of the archive's member that holds a sheet."""
    book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    entry = next(node for node in book.iter() if node.tag.endswith("}sheet") and node.get("name") == sheet)
    relation = entry.get(_RELATION) or entry.get(_STRICT_RELATION)
    relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    target = next(str(node.get("Target")) for node in relations if node.get("Id") == relation)
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the content in pieces that end with the end of a tag, if possible of a cell's."""
    rest = b""
    while chunk := stream.read(_PIECE_BYTES):
        text = rest + chunk
        cut = max(text.rfind(b"c>") + 2, len(text) - _CELL_BYTES)
        yield text[:cut]
        rest = text[cut:]
    yield rest
