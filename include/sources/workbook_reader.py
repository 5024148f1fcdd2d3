"""Workbooks (.xlsx, .xls, .xlsb, .ods): the lines of all sheets that hold some, with the values as stored."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import fastexcel
import pyarrow as pa
import pyarrow.compute as pc

from include.sources.columns import TABLE_COLUMNS, USUAL, ColumnNames, Header, canonical, check_required
from include.sources.compression import UnpackLimits
from include.sources.defects import reject
from include.sources.layout import moments, only_records, time_belongs
from include.sources.model import FileDecisions, LeftOut, SourceRejected
from include.sources.profiles.names import Layouts
from include.sources.staged import Batch
from include.sources.typed import batch_of
from include.sources.workbook_cells import (
    WorkbookFormat,
    address,
    check_size,
    column_letters,
    errors_of_ods,
    unsolved_formulas,
)

_HEADER_ROWS = 50
"""Rows of a sheet among which the column names are looked for."""

_BATCH_ROWS = 20_000
_SHOWN_CELLS = 5
_LENGTH_OF_TIME = re.compile(r"DurationIso\(\"PT([0-9]+)H([0-9]+)M([0-9]+)S\"\)")

_TIDIED = (
    ("T", "^([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})", r"\1 \2"),
    (" 00:00:00", "^([0-9]{4}-[0-9]{2}-[0-9]{2}) 00:00:00$", r"\1"),
    ("-12-3", "^1899-12-3[01] ([0-9]{2}:[0-9]{2}:[0-9]{2})", r"\1"),
    ("1904-01-01 ", "^1904-01-01 ([0-9]{2}:[0-9]{2}:[0-9]{2})", r"\1"),
)
"""Of moments: a part that those to change have, how they look, and what they become. A time of day comes with day 0."""


def read_workbook(path: Path, decisions: FileDecisions, limits: UnpackLimits, layouts: Layouts) -> Iterator[Batch]:
    """Yield the records of all sheets that hold lines; the number of the sheet is their page.

    Numbers have up to 9 decimals: what a spreadsheet stores beyond is the noise of its binary arithmetic.

    Args:
        path: The workbook.
        decisions: Says the format; gets sheets, profile, header, extra columns, what was left out, and warnings.
        limits: How much it may unpack to.
        layouts: Those it may have.

    Raises:
        SourceRejected: encrypted_workbook, corrupt_workbook, archive_too_large, sheet_too_large, empty_file,
            missing_columns, duplicate_columns, ambiguous_profile, mixed_profiles.
    """
    form = cast(WorkbookFormat, decisions.format)
    nearest: tuple[int, str, list[str]] | None = None
    read = False
    with _readable():
        check_size(path, form, limits)
        workbook = fastexcel.read_excel(path)
        decisions.sheets = workbook.sheet_names
        for page, name in enumerate(decisions.sheets, 1):
            # The library lets go of the interpreter's lock, so that both go on at once.
            with ThreadPoolExecutor(max_workers=1) as beside:
                unsolved = beside.submit(unsolved_formulas, path, name) if form == "xlsx" else None
                sheet = workbook.load_sheet(name, header_row=None, skip_rows=0, dtypes="string")
                visible = sheet.visible == "visible"
                left = next((column.absolute_index for column in sheet.available_columns()), 0)
                cells, errors = _cells(sheet, left)
                del sheet  # what it holds takes more memory than the cells
            _return_memory()
            top = _rows(cells.slice(0, _HEADER_ROWS))
            found = header_row(top, layouts, form)
            if found is not None:
                at, meaning = found
                if read and meaning.profile != decisions.profile:
                    raise reject("mixed_profiles", sheet=repr(name))
                decisions.profile, read = meaning.profile, True
                if not visible:
                    decisions.warnings.append(f'Sheet "{name}" is hidden; its lines are read like the others.')
                with _in_sheet(name):
                    lines = _lines(cells, top, at, page, left, decisions, meaning)
                    yield from only_records(lines, decisions, meaning=meaning)
                errors += errors_of_ods(path, name) if form == "ods" else []
                decisions.warnings += _warnings(name, errors, unsolved.result() if unsolved else [])
            elif cells.num_columns:
                what = "row of a sheet without lines"
                filled = _filled([_tidied(column) for column in cells.columns])
                count, first = pc.sum(filled).as_py(), pc.index(filled, True).as_py() + 1
                if count:
                    decisions.left_out.append(
                        LeftOut(what=what, count=count, first_line=first, example=f"sheet {name}")
                    )
                known, names = max(((len(_named(row)), row) for row in top), key=lambda row: row[0])
                nearest = max(nearest or (-1, "", []), (known, name, names), key=lambda sheet: sheet[0])
            del cells
            _return_memory()
    if not read:
        if nearest is None:
            raise reject("empty_file")
        with _in_sheet(nearest[1]):
            check_required(_named(nearest[2]), nearest[2])


def header_row(rows: Sequence[Sequence[str]], layouts: Layouts, form: WorkbookFormat) -> tuple[int, ColumnNames] | None:
    """Return the index of the row that holds the column names, and what they mean.

    It is the first that has those of a layout; if none does, the first that names product, quantity and price.
    """
    for index, row in enumerate(rows):
        meaning = layouts.of_header(row, form)
        if meaning is not None:
            return index, meaning
    for index, row in enumerate(rows):
        if _named(row).issuperset(TABLE_COLUMNS):
            return index, USUAL
    return None


def _named(row: Sequence[str]) -> set[str]:
    """Return the canonical columns that a row names."""
    return {column for cell in row if (column := canonical(cell)) is not None}


def _rows(cells: pa.RecordBatch) -> list[list[str]]:
    """Return cells row by row, with empty text for empty ones."""
    return [[cell or "" for cell in row] for row in zip(*(column.to_pylist() for column in cells.columns), strict=True)]


def _cells(sheet: fastexcel.ExcelSheet, left: int) -> tuple[pa.RecordBatch, list[str]]:
    """Return the cells of a sheet, whose first column is `left`, as text, and the addresses of those with errors."""
    cells, found = sheet.to_arrow_with_errors()
    errors = []
    lengths: dict[int, dict[int, str]] = {}
    for error in found.errors if found is not None else ():
        row, column = error.position
        if length := _LENGTH_OF_TIME.search(error.detail):
            lengths.setdefault(column, {})[row] = ":".join(length.groups())
        else:
            errors.append(address(row, left + column))
    for column, texts in lengths.items():
        filled = [texts.get(row, cell) for row, cell in enumerate(cells.column(column).to_pylist())]
        cells = cells.set_column(column, cells.schema.field(column), pa.array(filled, pa.string()))
    return cells, errors


def _lines(
    cells: pa.RecordBatch,
    top: list[list[str]],
    at: int,
    page: int,
    left: int,
    decisions: FileDecisions,
    meaning: ColumnNames,
) -> Iterator[Batch]:
    """Yield the records of a sheet.

    Args:
        cells: All its cells.
        top: Its first rows.
        at: Index of the column names among them.
        page: Its number.
        left: Position of its first column, from 0: empty ones before it are not read.
        decisions: As for `read_workbook`.
        meaning: What the column names mean.
    """
    names = top[at]
    header = Header.of(names, at + 1, meaning)
    meaning.check(header.positions, names, line=at + 1)
    date, time = header.positions.get("invoice_date", -1), header.time
    below = top[at + 1 :]
    joined = time is not None and time_belongs([row[date] for row in below], [row[time] for row in below])
    if joined:
        header.join_time()
    for number, row in enumerate(top[:at], 1):
        if text := " ".join(filter(None, row)):
            decisions.leave_out("title row", number, text)
    decisions.header = header.spellings | decisions.header
    decisions.sheet_columns[decisions.sheets[page - 1]] = {
        column: column_letters(left + position) for column, position in header.positions.items()
    }
    decisions.warnings += [
        f'Sheet "{decisions.sheets[page - 1]}": {text}' for text in meaning.warnings(header.positions)
    ]
    filled = {position for position in header.extras if names[position].strip()}
    for first in range(at + 1, cells.num_rows, _BATCH_ROWS):
        columns = [_tidied(column) for column in cells.slice(first, _BATCH_ROWS).columns]
        filled |= {position for position, column in enumerate(columns) if column.null_count < len(column)}
        numbers: Sequence[int] = range(first + 1, first + 1 + len(columns[0]))
        if all(column.null_count for column in columns):
            written = _filled(columns)
            columns = [column.filter(written) for column in columns]
            numbers = [number for number, row in zip(numbers, written.to_pylist(), strict=True) if row]
        if joined and time is not None:
            columns[date] = moments(columns[date], columns[time])
        yield batch_of(header, columns, numbers, page)
    extras = [name for position, name in header.extras.items() if position in filled]
    decisions.extra_columns += [name for name in extras if name not in decisions.extra_columns]


def _filled(columns: Sequence[pa.Array]) -> pa.Array:
    """Return which rows have a value in some column."""
    return reduce(pc.or_, [column.is_valid() for column in columns])


def _tidied(texts: pa.Array) -> pa.Array:
    """Return cells with null for empty text, and days and times of day without what they gained by being moments."""
    texts = pc.if_else(pc.equal(texts, ""), None, texts)  # a copy: a part of the sheet would keep the whole in memory
    for part, pattern, replacement in _TIDIED:
        if pc.any(pc.match_substring(texts, part)).as_py():
            texts = pc.replace_substring_regex(texts, pattern, replacement)
    return texts


def _return_memory() -> None:
    """Give freed memory back to the system: the next sheet takes large pieces, for which it is too scattered."""
    pa.default_memory_pool().release_unused()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # of glibc
        libc.malloc_trim(0)


def _warnings(sheet: str, errors: list[str], unsolved: list[str]) -> list[str]:
    """Return sentences about the cells of a sheet that count as empty without being so."""
    told = []
    if errors:
        told.append(
            f'Sheet "{sheet}": errors such as #N/A count as empty; cells with errors: {len(errors)} ({_some(errors)}).'
        )
    if unsolved:
        told.append(
            f'Sheet "{sheet}": formulas whose result is not stored count as empty; such cells: {len(unsolved)} '
            f"({_some(unsolved)}). Open the workbook in a spreadsheet program, save it and drop it again."
        )
    return told


def _some(cells: list[str]) -> str:
    return ", ".join(cells[:_SHOWN_CELLS]) + (" and more" if len(cells) > _SHOWN_CELLS else "")


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what the library raises into the refusal of the file."""
    try:
        yield
    except (fastexcel.FastExcelError, BadZipFile) as error:
        if "password" in str(error):
            raise reject("encrypted_workbook") from None
        detail = str(error).splitlines()[0].removeprefix("calamine error: ")
        raise reject("corrupt_workbook", detail=detail) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the library's Rust part, which has no class to import
            raise
        raise reject("corrupt_workbook", detail="its parts contradict each other") from error


@contextmanager
def _in_sheet(name: str) -> Iterator[None]:
    """Say of a refusal which sheet it is about."""
    try:
        yield
    except SourceRejected as error:
        problem = f'Sheet "{name}": {error.problem}'
        raise SourceRejected(error.code, problem, error.remedy, error.line, error.value) from None
