"""Workbooks: all sheets with lines, values as stored, and nothing lost, shifted or left out in silence."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from include.sources.compression import UnpackLimits
from include.sources.model import CANONICAL_COLUMNS
from tests.support.source_files import Reject, Stage
from tests.support.workbooks import HEADER, LINE, Formula, workbook

DATA = Path(__file__).parent / "data"


def line(**changed: Any) -> tuple[Any, ...]:
    """Return a line in the order of the header, with some values changed."""
    return tuple((dict(zip(CANONICAL_COLUMNS, LINE, strict=True)) | changed).values())


def test_csv_and_workbook_are_staged_alike(stage: Stage) -> None:
    rows = [
        line(),
        line(invoice="C536366", stock_code=22041, quantity=-1, price=0.123456789),
        line(description=None, customer_id=None, price=1234567.8901),
        line(description='A "quoted", one', price=1, country="EIRE"),
    ]
    text = [
        "536365,85123A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850,France",
        "C536366,22041,MEADOW MUG,-1,2010-12-01 08:26:00,0.123456789,17850,France",
        "536365,85123A,,6,2010-12-01 08:26:00,1234567.8901,,France",
        '536365,85123A,"A ""quoted"", one",6,2010-12-01 08:26:00,1,17850,EIRE',
    ]
    from_csv = stage("\n".join([",".join(HEADER), *text]))
    from_workbook = stage(workbook({"Sales": [HEADER, *rows]}), "sales.xlsx")
    assert [row | {"page": None} for row in from_workbook.rows] == from_csv.rows
    assert from_workbook.reading.amount == from_csv.reading.amount
    assert from_workbook.reading.decisions.format == "xlsx"
    assert from_workbook.column("page") == [1] * 4


@pytest.mark.parametrize("date_1904", [False, True])
def test_dates_of_both_systems(stage: Stage, date_1904: bool) -> None:
    moments = [datetime(2010, 12, 1, 8, 26), date(2010, 12, 1), "1/12/2010", 40513.5, datetime(2010, 12, 1, 8, 26, 30)]
    sheet = [HEADER, *(line(invoice_date=moment) for moment in moments)]
    staged = stage(workbook({"Sales": sheet}, date_1904=date_1904), "sales.xlsx")
    assert staged.column("invoice_date") == [
        "2010-12-01 08:26:00",
        "2010-12-01",
        "1/12/2010",
        "40513.5",
        "2010-12-01 08:26:30",
    ]


def test_times_and_lengths_of_time(stage: Stage) -> None:
    header = (*HEADER, "Time", "Waited")
    sheet = [header, (*LINE, time(8, 26), None), (*LINE, None, timedelta(minutes=12))]
    staged = stage(workbook({"Sales": sheet}, default_date_format="hh:mm"), "sales.xlsx")
    assert staged.column("extras") == ['{"Time": "08:26:00"}', '{"Waited": "00:12:00"}']


def test_integers_in_a_column_of_text_and_text_in_one_of_numbers(stage: Stage) -> None:
    sheet = [HEADER, *(line(stock_code=code, quantity=5) for code in ("85123A", 22041, "000123", 1e15, True, 0.0))]
    sheet.append(line(quantity="five"))
    staged = stage(workbook({"Sales": sheet}), "sales.xlsx")
    assert staged.column("stock_code")[:6] == ["85123A", "22041", "000123", "1000000000000000", "true", "0"]
    assert staged.column("quantity") == ["5"] * 6 + ["five"]


@pytest.mark.parametrize(
    ("number", "text"), [(1.5e-7, "0.00000015"), (1.5e22, "15000000000000000000000"), (2.0, "2"), (100, "100")]
)
def test_numbers_have_no_exponent(stage: Stage, number: float, text: str) -> None:
    assert stage(workbook({"Sales": [HEADER, line(price=number)]}), "sales.xlsx").column("price") == [text]


def test_errors_and_formulas_without_result_are_told_by_cell(stage: Stage) -> None:
    sheet = [HEADER, line(price="=#N/A"), line(customer_id="=#REF!"), line(price=Formula("=1+1")), line(price="#N/A")]
    staged = stage(workbook({"Sales": sheet}), "sales.xlsx")
    assert staged.column("price") == [None, "2.55", None, None]
    assert 'Sheet "Sales": errors such as #N/A count as empty; cells with errors: 2 (F2, G3).' in staged.warnings
    assert "formulas whose result is not stored count as empty; such cells: 1 (F4)." in staged.warnings


def test_a_formula_that_yields_no_text_is_no_oddity(stage: Stage) -> None:
    content = workbook({"Sales": [HEADER, line(description=Formula('=""'))]})
    packed = changed(content, "xl/worksheets/sheet1.xml", b'<c r="C2"><f>', b'<c r="C2" t="str"><f>')
    assert stage(packed, "sales.xlsx").reading.decisions.warnings == []


def test_sheets_with_headers_of_their_own(stage: Stage) -> None:
    other = ("Country", "Units", "Date", "Invoice Number", "SKU", "Unit Price", "Colour")
    sheets: dict[str, Any] = {
        "2009": [("Sales of 2009",), (), HEADER, LINE],
        "Read me": [("Nothing here",)],
        "Empty": [],
        "2010": [other, ("EIRE", 2, datetime(2011, 1, 2), "C5", 22041, 0.5, "red"), (), ("EIRE", 3)],
    }
    staged = stage(workbook(sheets), "sales.xlsx")
    decisions = staged.reading.decisions
    assert [(row["page"], row["line_number"], row["invoice"]) for row in staged.rows] == [
        (1, 4, "536365"),
        (4, 2, "C5"),
        (4, 4, None),
    ]
    assert staged.rows[1]["extras"] == '{"Colour": "red"}'
    assert decisions.sheets == list(sheets)
    assert decisions.extra_columns == ["Colour"]
    assert decisions.header["invoice"] == "Invoice"
    assert [(left.what, left.count, left.first_line, left.example) for left in decisions.left_out] == [
        ("title row", 1, 1, "Sales of 2009"),
        ("row of a sheet without lines", 1, 1, "sheet Read me"),
    ]
    assert 'Sheet "2010": There is no description column' in staged.warnings


def test_hidden_sheets_are_read_and_told(stage: Stage) -> None:
    staged = stage(workbook({"Front": [("x",)], "Sales": [HEADER, LINE]}, hidden=["Sales"]), "sales.xlsx")
    assert len(staged.sound) == 1
    assert 'Sheet "Sales" is hidden' in staged.warnings


def test_merged_and_hidden_cells_shift_nothing(stage: Stage) -> None:
    book = io.BytesIO()
    with xlsxwriter.Workbook(book) as made:
        sheet = made.add_worksheet("Sales")
        sheet.merge_range("B2:C2", "Invoice")
        sheet.write_row("D2", HEADER[1:])
        sheet.merge_range("B3:B4", 536365)
        sheet.write_row("D3", ["85123A", "MUG", 6, "2010-12-01", 2.55, 17850, "France"])
        sheet.write_row("D4", ["85123B", "CUP", 1, "2010-12-01", 1.25, 17850, "France"])
        sheet.set_row(3, options={"hidden": True})
        sheet.set_column("F:F", options={"hidden": True})
    staged = stage(book.getvalue(), "sales.xlsx")
    assert [(row["line_number"], row["invoice"], row["stock_code"], row["quantity"]) for row in staged.rows] == [
        (3, "536365", "85123A", "6"),
        (4, None, "85123B", "1"),
    ]
    assert staged.reading.decisions.extra_columns == []


@pytest.mark.parametrize("form", ["xls", "xlsb", "ods"])
def test_other_workbooks(stage: Stage, form: str) -> None:
    staged = stage(DATA / f"sales.{form}", f"sales.{form}")
    assert staged.reading.decisions.format == form
    assert staged.reading.decisions.sheets == ["Sales", "Notes", "Returns"]
    wanted = [
        (2, 1, "536365", "85123A", "MEADOW MUG", "6", "2010-12-01 08:26:00", "2.55", "17850", "France"),
        (3, 1, "536366", "22041", "COUNTED", "-1", "2010-12-02", "0.25", None, "EIRE"),
        (4, 1, "536367", "85123A", None, "2", "2010-12-02 09:30:00", None, "17850", "France"),
        (2, 3, "C536368", "000123", None, "-6", "2010-12-03 10:00:00", "2.5", None, "France"),
    ]
    names = ("line_number", "page", *CANONICAL_COLUMNS)
    assert [tuple(row[name] for name in names) for row in staged.rows] == wanted
    assert 'Sheet "Sales": errors such as #N/A count as empty; cells with errors: 2 (C4, F4).' in staged.warnings


def test_cells_are_named_as_the_spreadsheet_names_them(stage: Stage) -> None:
    turned = [(None, None), (None, *reversed(HEADER)), (None, *reversed(line(description="=#N/A", price="x")))]
    decisions = stage(
        workbook({"Good": [HEADER, LINE], "Notes": [("x",)], "Bad": turned}), "sales.xlsx"
    ).reading.decisions
    assert decisions.cell(1, 17, "quantity") == "Good!D17"
    assert decisions.cell(3, 3, "price") == "Bad!D3"
    assert decisions.cell(3, 3, "invoice") == "Bad!I3"
    assert decisions.cell(3, 3, None) is decisions.cell(2, 1, "price") is None
    assert "cells with errors: 1 (G3)." in " ".join(decisions.warnings)


def test_a_sheet_of_lines_without_a_required_column(rejection: Reject) -> None:
    error = rejection(workbook({"Good": [HEADER, LINE], "Bad": [("x",), HEADER[1:], LINE[1:]]}), "sales.xlsx")
    assert (error.code, error.line) == ("missing_columns", 2)
    assert error.problem.startswith('Sheet "Bad": The columns invoice are missing')


def test_no_sheet_with_lines(rejection: Reject) -> None:
    error = rejection(workbook({"A": [("x",)], "B": [("Invoice", "Price"), (1, 2)]}), "sales.xlsx")
    assert error.code == "missing_columns"
    assert error.problem.startswith('Sheet "B": ')
    assert "'Invoice', 'Price'" in error.problem
    assert rejection(workbook({"A": [], "B": []}), "sales.xlsx").code == "empty_file"


def test_columns_with_one_meaning(rejection: Reject) -> None:
    error = rejection(workbook({"Sales": [(*HEADER, "Qty"), (*LINE, 1)]}), "sales.xlsx")
    assert error.code == "duplicate_columns"
    assert 'Sheet "Sales"' in error.problem


def test_a_workbook_under_another_name_and_packed(stage: Stage) -> None:
    content = gzip.compress(workbook({"Sales": [HEADER, LINE]}))
    assert stage(content, "sales.csv").reading.decisions.format == "xlsx"


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_cut_off(rejection: Reject, share: float) -> None:
    content = workbook({"Sales": [HEADER, LINE]})
    assert rejection(content[: int(len(content) * share)], "sales.xlsx").code == "corrupt_workbook"
    old = (DATA / "sales.xls").read_bytes()
    assert rejection(old[: int(len(old) * share)], "sales.xls").code == "corrupt_workbook"


def test_protected_by_a_password(rejection: Reject) -> None:
    assert rejection(DATA / "encrypted.xlsx", "sales.xlsx").code == "encrypted_workbook"


def test_a_stray_cell_far_away(rejection: Reject, stage: Stage) -> None:
    book = io.BytesIO()
    with xlsxwriter.Workbook(book) as made:
        sheet = made.add_worksheet("Sales")
        sheet.write_row(0, 0, HEADER)
        sheet.write("XFD1048576", "x")
    error = rejection(book.getvalue(), "sales.xlsx")
    assert error.code == "sheet_too_large"
    assert "row 1,048,576 of column XFD" in error.problem


def test_bombs_are_bounded(rejection: Reject) -> None:
    content = workbook({"Sales": [HEADER, *[line(description="x" * 30_000)] * 50]})
    limits = UnpackLimits(max_ratio=2, harmless_bytes=1_000)
    assert rejection(content, "sales.xlsx", limits=limits).code == "archive_too_large"


def changed(content: bytes, member: str, old: bytes, new: bytes) -> bytes:
    """Return a workbook with a piece of one member replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = source.read(name)
            if name == member:
                assert old in data
                data = data.replace(old, new)
            target.writestr(name, data)
    return out.getvalue()
