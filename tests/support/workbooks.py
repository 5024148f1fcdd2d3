"""Made-up workbooks."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import xlsxwriter

HEADER = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
LINE = (536365, "85123A", "MEADOW MUG", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "France")
EPOCH = datetime(1899, 12, 30)
_NUMBER = re.compile("-?(0|[1-9][0-9]*)([.][0-9]+)?")
FIRST_YEAR_ROWS = 525_461
"""Rows in the first sheet of the published workbook."""


class Formula(str):
    """A formula whose result was not stored."""


def workbook(sheets: Mapping[str, Iterable[Sequence[Any]]], hidden: Sequence[str] = (), **options: Any) -> bytes:
    """Return an .xlsx workbook.

    Args:
        sheets: Name -> rows; a cell whose text is an error such as `#N/A` behind an equals sign becomes that error.
        hidden: Sheets to hide.
        options: For XlsxWriter, such as `date_1904`.
    """
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"default_date_format": "m/d/yyyy h:mm", **options}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            if name in hidden:
                sheet.hide()
            for row, cells in enumerate(rows):
                for column, cell in enumerate(cells):
                    if isinstance(cell, Formula):
                        sheet.write_formula(row, column, str(cell), value="")
                    elif isinstance(cell, str) and cell.startswith("=#"):
                        sheet.write_formula(row, column, "=NA()", value=cell[1:])
                    elif isinstance(cell, str):
                        sheet.write_string(row, column, cell)
                    else:
                        sheet.write(row, column, cell)
    return content.getvalue()


def published_workbook(data: Path, out: Path, first_rows: int = FIRST_YEAR_ROWS) -> None:
    """Write a CSV such as that of the whole data set as the workbook that it was published as: two sheets, one a year.

    Args:
        data: The CSV.
        out: The workbook.
        first_rows: Rows in the first sheet.
    """
    with data.open(encoding="utf-8-sig", newline="") as stream, xlsxwriter.Workbook(out) as book:
        date_format = book.add_format({"num_format": "m/d/yyyy h:mm"})
        rows = csv.reader(stream)
        header = next(rows)
        for name, count in (("Year 2009-2010", first_rows), ("Year 2010-2011", None)):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, header)
            for row, values in enumerate(islice(rows, count), 1):
                for column, value in enumerate(values):
                    _write(sheet, row, column, value, date_format)


def _write(sheet: Any, row: int, column: int, value: str, date_format: Any) -> None:
    """Write a value as a spreadsheet takes it when it is typed in."""
    if not value:
        return
    if column == HEADER.index("InvoiceDate"):
        sheet.write_number(row, column, (datetime.fromisoformat(value) - EPOCH).total_seconds() / 86_400, date_format)
        return
    if _NUMBER.fullmatch(value):
        sheet.write_number(row, column, float(value))
    else:
        sheet.write_string(row, column, value)
