"""CSV: header, delimiter, line ends, and what a damaged line costs."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from include.sources.model import CANONICAL_COLUMNS
from tests.support.source_files import HEADER, Reject, Stage, csv_lines, read_rows, text_of


def test_values_are_staged_exactly_as_written(stage: Stage) -> None:
    staged = stage(text_of([HEADER, '536365,85123A," MEADOW 7"" MUG ",6,2010-12-01 08:26:00,2.550,17850.0,France']))
    assert staged.rows == [
        {
            "line_number": 2,
            "page": None,
            "invoice": "536365",
            "stock_code": "85123A",
            "description": ' MEADOW 7" MUG ',
            "quantity": "6",
            "invoice_date": "2010-12-01 08:26:00",
            "price": "2.550",
            "customer_id": "17850.0",
            "country": "France",
            "amount": None,
            "currency": None,
            "occurrence": None,
            "extras": None,
            "written": None,
            "defect": None,
            "raw": None,
        }
    ]


def test_empty_cells_are_null(stage: Stage) -> None:
    staged = stage(text_of([HEADER, "536365,85123A,,6,2010-12-01,2.55,,", '536366,85123A,"",6,2010-12-01,2.55,,']))
    assert staged.column("description") == [None, None]
    assert staged.column("customer_id") == [None, None]
    assert staged.column("country") == [None, None]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_detected(stage: Stage, delimiter: str) -> None:
    staged = stage(text_of(csv_lines(3)).replace(",", delimiter))
    assert staged.reading.decisions.delimiter == delimiter
    assert staged.column("country") == ["France"] * 3


def test_separator_hint_of_a_spreadsheet_is_obeyed(stage: Stage) -> None:
    staged = stage("sep=;\r\n" + text_of(csv_lines(2), "\r\n").replace(",", ";"))
    assert staged.column("line_number") == [3, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(stage: Stage, end: str) -> None:
    staged = stage(text_of(csv_lines(3), end))
    assert staged.column("line_number") == [2, 3, 4]
    assert staged.column("country") == ["France"] * 3


def test_last_line_needs_no_line_end(stage: Stage) -> None:
    assert len(stage(text_of(csv_lines(3)).rstrip("\n")).rows) == 3


def test_blank_lines_are_no_rows(stage: Stage) -> None:
    header, *rest = csv_lines(3)
    staged = stage(text_of(["", "  ", header, "", *rest, "", "\t", "\x1a"]))
    assert staged.column("line_number") == [5, 6, 7]
    assert staged.reading.defects == {}


@pytest.mark.parametrize(
    "names",
    [
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        "invoice_no,stock_code,description,qty,invoice_timestamp,unit_price,customer_id,country",
        "INVOICE NUMBER,SKU,PRODUCT DESCRIPTION,QTY,INVOICE DATE,UNIT PRICE,CUSTOMER NO,COUNTRY",
        '"Invoice No.","Stock Code"," Description ","Quantity","Invoice Date","Unit Price (GBP)",Customer #ID,Country',
    ],
)
def test_header_spellings(stage: Stage, names: str) -> None:
    staged = stage(text_of(csv_lines(1, names)))
    assert tuple(staged.reading.decisions.header) == CANONICAL_COLUMNS
    assert staged.column("price") == ["2.55"]
    assert staged.column("customer_id") == ["17850.0"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_names_in_brackets_are_no_json(stage: Stage, delimiter: str) -> None:
    names = delimiter.join(f"[{name}]" for name in HEADER.split(","))
    staged = stage(text_of([names, *(line.replace(",", delimiter) for line in csv_lines(2)[1:])]))
    assert staged.reading.decisions.format == "csv"
    assert staged.column("invoice") == ["536365", "536366"]
    assert staged.reading.decisions.header["invoice"] == "[Invoice]"


@pytest.mark.parametrize("block", [16, 4 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "names",
    [
        'Invoice,StockCode,Description,Quantity,InvoiceDate,Price,"Customer\nID",Country',
        '"Invoice\nNo.",StockCode,Description,Quantity,"Invoice\n\nDate",Price,Customer ID,"Country\n"',
    ],
)
def test_a_column_name_may_run_over_lines(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, names: str, end: str, block: int
) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", block)
    lines = [*names.split("\n"), *csv_lines(3)[1:]]
    staged = stage(text_of(lines, end))
    assert tuple(staged.reading.decisions.header) == CANONICAL_COLUMNS
    assert staged.column("invoice") == ["536365", "536366", "536367"]
    first = names.count("\n") + 2
    assert staged.column("line_number") == [first, first + 1, first + 2]
    assert staged.reading.defects == {}


def test_a_last_column_of_the_senders_own_may_run_over_lines(stage: Stage) -> None:
    staged = stage(text_of([f'{HEADER},"Note\nfor us"', *(f"{line},x" for line in csv_lines(2)[1:])]))
    assert staged.reading.decisions.extra_columns == ["Note\nfor us"]
    assert staged.column("line_number") == [3, 4]


@pytest.mark.parametrize("stray", ['"Note', 'No"te', 'Note"'])
@pytest.mark.parametrize("below", ["7", '"7"', '7"', '""'])
def test_a_stray_quote_in_the_header_takes_no_record_with_it(stage: Stage, stray: str, below: str) -> None:
    staged = stage(text_of([f"{HEADER},{stray}", *(f"{line},{below}" for line in csv_lines(3)[1:])]))
    assert staged.column("line_number") == [2, 3, 4]
    assert len(staged.sound) == 3


def test_columns_in_any_order_and_of_the_senders_own(stage: Stage) -> None:
    header = "Country,Till,Price,InvoiceDate,Quantity,,StockCode,Invoice,Till"
    staged = stage(text_of([header, "France,7,2.55,2010-12-01,6,x,85123A,536365,", "France,,2.55,2010-12-01,6,,1,2,"]))
    assert staged.reading.decisions.extra_columns == ["Till", "column_6", "Till_2"]
    assert [json.loads(text) if text else None for text in staged.column("extras")] == [
        {"Till": "7", "column_6": "x"},
        None,
    ]
    assert staged.column("invoice") == ["536365", "2"]


def test_optional_columns_may_be_absent_with_a_warning(stage: Stage) -> None:
    staged = stage("Invoice,StockCode,Quantity,InvoiceDate,Price,Country\n1,2,3,2010-12-01,4,France\n")
    assert staged.column("description") == [None]
    assert "no description column" in staged.warnings
    assert "no customer_id column" in staged.warnings


def test_header_without_rows_is_no_error(stage: Stage) -> None:
    staged = stage(HEADER)
    assert staged.rows == []
    assert "The file has column names but no records." in staged.warnings


def test_missing_columns_are_named_with_their_spellings(rejection: Reject) -> None:
    error = rejection("Invoice;StockCode;Bestand;InvoiceDate;Country\n1;2;3;2010-12-01;France\n")
    assert error.code == "missing_columns"
    assert "quantity, price" in error.problem
    assert "'Bestand'" in error.problem
    assert "Unit Price" in error.remedy
    assert error.line == 1


def test_a_file_without_header_is_rejected(rejection: Reject) -> None:
    assert rejection(text_of(csv_lines(3)[1:])).code == "missing_columns"


def test_two_columns_of_one_meaning_are_rejected(rejection: Reject) -> None:
    error = rejection(text_of([f"{HEADER},UnitPrice", "1,2,3,4,5,6,7,8,9"]))
    assert error.code == "duplicate_columns"
    assert "'Price' and 'UnitPrice'" in error.problem


@pytest.mark.parametrize("content", ["", "\n\n  \n", "\ufeff"])
def test_empty_file(rejection: Reject, content: str) -> None:
    assert rejection(content).code == "empty_file"


def test_a_header_that_never_ends_is_rejected(rejection: Reject) -> None:
    error = rejection("x" * 3_000_000, max_line_bytes=1_000_000)
    assert error.code == "header_too_long"
    assert error.value is not None
    assert len(error.value) <= 200


def test_ragged_lines_cost_only_themselves(stage: Stage) -> None:
    lines = csv_lines(5)
    lines[2] = "536366,85123A,MUG"
    lines[4] += ",more"
    staged = stage(text_of(lines))
    assert staged.defects == [(3, "too_few_columns"), (5, "too_many_columns")]
    assert staged.rows[1]["raw"] == "536366,85123A,MUG"
    assert staged.rows[1]["invoice"] is None
    assert [row["invoice"] for row in staged.sound] == ["536365", "536367", "536369"]


def test_nul_costs_only_its_record(stage: Stage) -> None:
    lines = csv_lines(5)
    lines[3] = lines[3].replace("MUG", "M\0UG")
    staged = stage(text_of(lines))
    assert staged.defects == [(4, "nul_byte")]
    assert len(staged.sound) == 4


@pytest.mark.parametrize(
    "damaged",
    [
        '536366,85123A,"MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850.0,France',
        '536366,85123A,"MEADOW" MUG,6,2010-12-01 08:26:00,2.55,17850.0,France',
        '"536366,85123A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850.0,France',
        '536366,85123A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850.0,"France',
    ],
)
@pytest.mark.parametrize("position", [1, 3, 6])
def test_a_stray_quote_costs_only_its_line(stage: Stage, damaged: str, position: int) -> None:
    lines = csv_lines(6)
    lines[position] = damaged
    staged = stage(text_of(lines))
    assert staged.defects == [(position + 1, "unbalanced_quote")]
    assert staged.rows[position - 1]["raw"] == damaged
    assert len(staged.sound) == 5


def test_a_stray_quote_does_not_join_with_a_quote_lines_below(stage: Stage) -> None:
    lines = csv_lines(6)
    lines[2] = '536366,85123A,"MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850.0,France'
    lines[5] = '536369,85123A,FRAME 7",6,2010-12-01 08:26:00,2.55,17850.0,France'
    staged = stage(text_of(lines))
    assert staged.defects == [(3, "unbalanced_quote")]
    assert staged.rows[4]["description"] == 'FRAME 7"'


def test_a_quote_inside_an_unquoted_value_is_literal(stage: Stage) -> None:
    staged = stage(text_of([HEADER, '536365,85123A,FRAME 7" BY 5",6,2010-12-01,2.55,17850.0,France']))
    assert staged.column("description") == ['FRAME 7" BY 5"']


def test_a_quoted_value_may_run_over_lines(stage: Stage) -> None:
    lines = csv_lines(3)
    lines[2] = '536366,85123A,"MEADOW\r\nMUG,\n\nLARGE",6,2010-12-01,2.55,17850.0,France'
    staged = stage(text_of(lines))
    assert staged.reading.defects == {}
    assert staged.rows[1]["description"] == "MEADOW\r\nMUG,\n\nLARGE"
    assert staged.column("line_number") == [2, 3, 7]


def test_records_over_many_lines_cross_block_boundaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", 100)
    path = tmp_path / "sales.csv"
    record = '{n},85123A,"MEADOW\nMUG\nof {n}",6,2010-12-01,2.55,17850.0,France'
    path.write_text(text_of([HEADER, *(record.format(n=n) for n in range(40))]))
    rows = read_rows(path)
    assert [row[0] for row in rows] == [2 + 3 * n for n in range(40)]
    assert [row[2][2] for row in rows] == [f"MEADOW\nMUG\nof {n}" for n in range(40)]


@pytest.mark.parametrize("block", [64, 4 << 20])
def test_an_overlong_line_costs_only_itself(stage: Stage, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", block)
    lines = csv_lines(4)
    lines[2] = lines[2].replace("MUG", "MUG" * 1_000)
    staged = stage(text_of(lines), max_line_bytes=1_024)
    assert staged.defects == [(3, "line_too_long")]
    assert len(staged.sound) == 3


def test_the_limit_counts_bytes(stage: Stage) -> None:
    lines = csv_lines(3)
    lines[2] = lines[2].replace("MUG", "\u20ac" * 400)
    assert stage(text_of(lines), max_line_bytes=1_024).defects == [(3, "line_too_long")]


def test_ten_megabytes_in_one_line_stay_out_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    lines = csv_lines(4)
    path.write_text(text_of([*lines[:3], "x" * 10_000_000, *lines[3:]]))
    tracemalloc.start()
    rows = read_rows(path, max_line_bytes=1 << 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row[1] for row in rows] == [None, None, "line_too_long", None, None]
    assert peak < 40_000_000


def test_an_overlong_last_line(stage: Stage) -> None:
    staged = stage(text_of(csv_lines(2)) + "x" * 5_000, max_line_bytes=1_024)
    assert staged.defects == [(4, "line_too_long")]
