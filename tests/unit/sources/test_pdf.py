"""PDF: ruled and plain tables over pages, invoices with labels, and what cannot be read."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak

from include.sources.model import CANONICAL_COLUMNS
from tests.support.pdfs import NAMES, document, drawn, paragraph, rows, table
from tests.support.source_files import Reject, Stage, Staged


def values(staged: Staged) -> list[list[str]]:
    return [[row[name] or "" for name in CANONICAL_COLUMNS] for row in staged.rows]


@pytest.mark.parametrize("repeat", [True, False])
@pytest.mark.parametrize("align", ["TOP", "MIDDLE", "BOTTOM"])
@pytest.mark.parametrize("ruled", [True, False])
def test_a_table_over_pages(stage: Stage, ruled: bool, align: str, repeat: bool) -> None:
    body = rows(36)
    staged = stage(document(table(body, ruled=ruled, align=align, repeat=repeat)), "sales.pdf")
    assert values(staged) == body
    assert staged.reading.defects == {}
    assert staged.column("line_number") == list(range(1, 37))
    assert sorted(set(staged.column("page"))) == [1, 2]
    assert staged.reading.decisions.format == "pdf"
    assert staged.reading.decisions.header["customer_id"] == "Customer ID"


def test_any_cell_may_wrap(stage: Stage) -> None:
    body = rows(4)
    for row in body:
        row[7] = "Republic of the Channel Islands"
    for ruled in (True, False):
        staged = stage(document(table(body, ruled=ruled, wrapped=7)), "sales.pdf")
        assert [row[7] for row in values(staged)] == [row[7] for row in body]


def test_a_title_row_and_columns_of_the_senders_own(stage: Stage) -> None:
    names = ("Stock Code", "Line Total", "Qty", "Unit Price", "Invoice No", "Invoice Date", "Country")
    body = [("85123A", "15.30", "6", "2.55", "536365", "2010-12-01", "France")]
    for ruled in (True, False):
        content = document(table(body, names=names, widths=(80,) * 7, ruled=ruled, wrapped=None))
        staged = stage(content, "sales.pdf")
        assert staged.rows[0]["extras"] == '{"Line Total": "15.30"}'
        assert staged.reading.amount == Decimal("15.30")
        assert "no description column" in staged.warnings


def test_totals_are_no_rows(stage: Stage) -> None:
    body = [[row[0], row[1], "MEADOW MUG", *row[3:]] for row in rows(3)]
    total = [["", "", "Subtotal", "12", "", "34.50", "", ""], ["Total", "", "", "", "", "34.50", "", ""]]
    for ruled in (True, False):
        staged = stage(document(table([*body[:2], total[0], *body[2:], *total], ruled=ruled, wrapped=None)), "a.pdf")
        assert values(staged) == body
        (told,) = staged.reading.decisions.left_out
        assert (told.what, told.count, told.first_line, told.example) == ("total row", 3, 3, "Subtotal, 12, 34.50")


@pytest.mark.parametrize("ruled", [True, False])
def test_rows_that_only_begin_like_a_total_are_kept(stage: Stage, ruled: bool) -> None:
    body = [[row[0], row[1], "MEADOW MUG", *row[3:]] for row in rows(7)]
    body[1][1:3] = ["", "TOTAL ECLIPSE POSTER"]
    body[2][1:3] = ["", "BALANCE BIKE"]
    body[3][1] = "TOTAL-1"
    body[4][2] = "Subtotal"
    body[5][1] = "BALANCE"
    body[6][:3] = ["", "", "VAT 69 GLASS"]
    staged = stage(document(table(body, ruled=ruled, wrapped=None)), "sales.pdf")
    assert values(staged) == body
    assert staged.reading.decisions.left_out == []


@pytest.mark.parametrize("ruled", [True, False])
@pytest.mark.parametrize("words", ["Total", "Sub-total", "Total (incl. VAT)", "Amount due", "Carried forward"])
@pytest.mark.parametrize("place", [0, 1])
def test_totals_of_a_labelled_invoice_are_no_rows(stage: Stage, ruled: bool, words: str, place: int) -> None:
    lines = [(f"8512{index}A", "MEADOW MUG", "3", "2.50") for index in range(3)]
    unsure = [("", "TOTAL ECLIPSE POSTER", "3", "2.50"), ("BALANCE", "GIFT SET", "3", "2.50")]
    sure = [("", "", "12", "34.50"), ("", "", "", "34.50"), ("", "", "12", "")]
    totals = [(*row[:place], words, *row[place + 1 :]) for row in sure]
    story = [paragraph(f"{name}: {value}") for name, value in LABELS.items()]
    body = [*lines[:2], *unsure, *totals, lines[2], *totals]
    content = table(body, names=INVOICE_LINES, widths=(80, 200, 80, 80), ruled=ruled, wrapped=None)
    staged = stage(document(*story, content), "invoices.pdf")
    kept = [*lines[:2], *unsure, lines[2]]
    assert [(row[1], row[2], row[3], row[5]) for row in values(staged)] == kept
    assert "left out" not in staged.warnings
    assert [(told.what, told.count) for told in staged.reading.decisions.left_out] == [("total row", 6)]


@pytest.mark.parametrize("ruled", [True, False])
@pytest.mark.parametrize(
    ("dates", "times", "joined"),
    [
        (["2010-12-01", "2010-12-02 00:00"], ["08:26", "09:30:15"], ["2010-12-01 08:26", "2010-12-02 09:30:15"]),
        (["2010-12-01 08:26", "2010-12-02 09:30"], ["10:00", "11:00"], ["2010-12-01 08:26", "2010-12-02 09:30"]),
        (["2010-12-01", "2010-12-02"], ["early", "late"], ["2010-12-01", "2010-12-02"]),
    ],
)
def test_the_same_values_mean_the_same_in_a_csv_file(
    stage: Stage, ruled: bool, dates: list[str], times: list[str], joined: list[str]
) -> None:
    names = ("Invoice", "StockCode", "Quantity", "Date", "Time", "Price", "Country")
    numbers = [("1.234,5", "1.234.567,25 EUR"), ("(2)", "\u00a3 1.002,50")]
    body = [
        (f"53636{place}", "85123A", numbers[place][0], dates[place], times[place], numbers[place][1], "France")
        for place in range(2)
    ]
    from_pdf = stage(document(table(body, names=names, widths=(70,) * 7, ruled=ruled, wrapped=None)), "sales.pdf")
    from_csv = stage("\n".join(";".join(row) for row in (names, *body)), "sales.csv")
    assert from_pdf.column("invoice_date") == joined
    assert from_pdf.column("price") == ["1234567.25", "1002.50"]
    assert from_pdf.column("currency") == from_csv.column("currency") == ["EUR", None]
    for name in (*CANONICAL_COLUMNS, "extras", "written"):
        assert from_pdf.column(name) == from_csv.column(name)
    pdf, csv = from_pdf.reading.decisions, from_csv.reading.decisions
    assert (pdf.header, pdf.extra_columns, pdf.decimal_mark) == (csv.header, csv.extra_columns, ",")


@pytest.mark.parametrize("align", ["TOP", "MIDDLE", "BOTTOM"])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("padding", [3, 1])
def test_a_cell_may_wrap_over_many_lines(stage: Stage, align: str, count: int, padding: int) -> None:
    body = rows(8)
    for index, row in enumerate(body):
        row[2] = "\n".join(f"MUG {index} {line}" for line in range(count if index % 3 else 1))
    story = table(body, ruled=False, align=align, wrapped=None, padding=padding)
    staged = stage(document(story), "sales.pdf")
    assert [row[2] for row in values(staged)] == [row[2].replace("\n", " ") for row in body]
    assert "left out" not in staged.warnings


@pytest.mark.parametrize("below", [True, False])
def test_evenly_spaced_lines_go_with_the_records_on_one_side(stage: Stage, below: bool) -> None:
    page = [(40 + 60 * place, 60.0, name) for place, name in enumerate(("Invoice", "SKU", "Desc", "Qty", "Price"))]
    page += [(400, 60, "Date"), (480, 60, "Country")]
    for index in range(4):
        texts = (f"53636{index}", f"8512{index}A", "MUG", "3", "2.50")
        y = 80 + 36 * index + (0 if below else 24)
        page += [(40 + 60 * place, y, text) for place, text in enumerate(texts)]
        page += [(400, y, "2010-12-01"), (480, y, "France")]
        step = 12 if below else -12
        page += [(160, y + step * line, f"{index}{line}X") for line in (1, 2)]
    staged = stage(drawn(page), "sales.pdf")
    wanted = [f"MUG {n}1X {n}2X" if below else f"{n}2X {n}1X MUG" for n in range(4)]
    assert staged.column("description") == wanted


def test_text_that_goes_with_no_row_is_said(stage: Stage) -> None:
    page = invoice("536365", "17850", "13/12/2010", 3)
    assert "left out" not in stage(drawn(page), "sales.pdf").warnings
    far = [(x, y + 30 if y > 200 else y, text) for x, y, text in page]
    staged = stage(drawn([*far, (140, 222, "IN A BOX"), (330, 810, "2")]), "sales.pdf")
    assert staged.column("description") == [f"MEADOW MUG NO {index}" for index in range(3)]
    assert "1 lines of text go with no row and were left out, such as 'IN A BOX' on page 1" in staged.warnings


def test_a_row_that_lacks_values_is_kept(stage: Stage) -> None:
    body = rows(3)
    body[1][1] = body[1][5] = ""
    for ruled in (True, False):
        staged = stage(document(table(body, ruled=ruled)), "sales.pdf")
        assert len(staged.rows) == 3
        assert staged.rows[1]["price"] is None


LABELS = {"Invoice No": "536365", "Invoice Date": "2010-12-01", "Country": "France"}
INVOICE_LINES = ("StockCode", "Description", "Quantity", "Unit Price")


def invoice(number: str, customer: str, day: str, count: int) -> list[tuple[float, float, str]]:
    """Return a drawn invoice with labels in two columns, right-aligned numbers, a total and small print."""
    page: list[tuple[float, float, str]] = [
        (60, 50, "Meadow & Sons Trading"),
        (60, 90, f"Invoice No: {number}"),
        (330, 90, f"Invoice Date: {day}"),
        (60, 106, f"Customer ID: {customer}"),
        (330, 106, "Country: France"),
        (330, 122, "Due Date: 2031-01-01"),
        (60, 160, "StockCode"),
        (140, 160, "Description"),
        (-420, 160, "Quantity"),
        (-520, 160, "Unit Price"),
    ]
    for index in range(count):
        y = 180 + 16 * index
        page += [(60, y, f"8512{index}A"), (140, y, f"MEADOW MUG NO {index}"), (-420, y, str(index + 1))]
        page.append((-520, y, "\u00a31,002.50" if index == 1 else "2.50"))
    y = 190 + 16 * count
    page += [
        (-420, y, "Total"),
        (-520, y, "1,234.50"),
        (60, y + 40, "Thank you for your business, pay within 30 days."),
    ]
    return [*page, (280, 800, "Page 1 of 1")]


def test_invoices_with_labels(stage: Stage) -> None:
    content = drawn(
        invoice("536365", "17850", "01/12/2010 08:26", 3),
        invoice("C536366", "17851", "13/12/2010 09:00", 1),
    )
    staged = stage(content, "invoices.pdf")
    assert staged.column("invoice") == ["536365"] * 3 + ["C536366"]
    assert staged.column("customer_id") == ["17850"] * 3 + ["17851"]
    assert staged.column("invoice_date") == ["2010-12-01 08:26:00"] * 3 + ["2010-12-13 09:00:00"]
    assert staged.column("country") == ["France"] * 4
    assert staged.column("description")[:3] == [f"MEADOW MUG NO {index}" for index in range(3)]
    assert staged.column("price") == ["2.50", "1002.50", "2.50", "2.50"]
    assert staged.column("page") == [1, 1, 1, 2]
    assert staged.reading.decisions.header["invoice"] == "Invoice No"
    assert "pound sign" not in staged.warnings
    assert json.loads(staged.rows[1]["written"]) == {"invoice_date": "01/12/2010 08:26", "price": "\u00a31,002.50"}


def test_an_invoice_without_a_label_does_not_take_the_one_before(stage: Stage) -> None:
    second = [part for part in invoice("536366", "", "02/12/2010", 1) if "Customer" not in part[2]]
    staged = stage(drawn(invoice("536365", "17850", "13/12/2010", 1), second), "invoices.pdf")
    assert staged.column("customer_id") == ["17850", None]


def test_labels_above_a_ruled_table_and_in_boxes(stage: Stage) -> None:
    lines = [(row[1], row[2], row[3], row[5]) for row in rows(30)]
    box = table(
        [("Invoice Date", "2010-12-01 08:26"), ("Country", "EIRE")], names=("", ""), widths=(100, 100), wrapped=9
    )
    story = (
        paragraph("Invoice # 536365"),
        box,
        table(lines, names=INVOICE_LINES, widths=(80, 200, 80, 80), wrapped=1),
        PageBreak(),
        paragraph("Invoice # 536400"),
        paragraph("Country: France"),
        paragraph("Date: 2010-12-02 09:00"),
        table(lines[:2], names=INVOICE_LINES, widths=(80, 200, 80, 80), wrapped=1),
    )
    staged = stage(document(*story), "invoices.pdf")
    assert staged.column("invoice") == ["536365"] * 30 + ["536400"] * 2
    assert staged.column("country") == ["EIRE"] * 30 + ["France"] * 2
    assert staged.column("invoice_date")[29:31] == ["2010-12-01 08:26", "2010-12-02 09:00"]


def test_two_invoices_on_a_page(stage: Stage) -> None:
    first = [part for part in invoice("536365", "17850", "13/12/2010", 2) if part[1] < 250]
    second = [(x, y + 300, text) for x, y, text in invoice("536366", "17851", "02/12/2010", 2) if y < 250]
    staged = stage(drawn(first + second), "invoices.pdf")
    assert staged.column("invoice") == ["536365"] * 2 + ["536366"] * 2


def test_small_print_is_read_too(stage: Stage) -> None:
    assert len(stage(drawn(invoice("536365", "17850", "13/12/2010", 20), size=5), "invoices.pdf").rows) == 20


def test_missing_columns(rejection: Reject) -> None:
    page = [part for part in invoice("536365", "17850", "13/12/2010", 2) if "Invoice Date" not in part[2]]
    error = rejection(drawn(page), "invoices.pdf")
    assert error.code == "missing_columns"
    assert "invoice_date" in error.problem


def test_a_password_is_needed(rejection: Reject) -> None:
    error = rejection(document(table(rows(2)), user_password="secret"), "sales.pdf")
    assert error.code == "encrypted_pdf"
    assert "password" in error.remedy


def test_an_owner_password_does_not_matter(stage: Stage) -> None:
    assert len(stage(document(table(rows(2)), user_password=""), "sales.pdf").rows) == 2


def scan(*, text: bool) -> bytes:
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=(400, 400))
    if text:
        canvas.drawString(10, 10, "Invoice No: 536365")
        canvas.showPage()
    canvas.drawImage(ImageReader(Image.new("L", (40, 40), 128)), 0, 0, 400, 400)
    canvas.showPage()
    canvas.save()
    return stream.getvalue()


def test_a_scan(rejection: Reject) -> None:
    error = rejection(scan(text=False), "scan.pdf")
    assert error.code == "image_only_pdf"
    assert "OCR" in error.remedy
    assert (error.line, rejection(scan(text=True), "scan.pdf").line) == (1, 2)


def test_blank_pages(stage: Stage, rejection: Reject) -> None:
    assert rejection(drawn([]), "sales.pdf").code == "image_only_pdf"
    staged = stage(document(table(rows(2)), PageBreak(), PageBreak(), paragraph("End")), "sales.pdf")
    assert len(staged.rows) == 2


def test_no_table(rejection: Reject) -> None:
    assert rejection(document(paragraph("Dear customer, please pay.")), "letter.pdf").code == "no_table_in_pdf"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_cut_off(rejection: Reject, share: float) -> None:
    content = document(table(rows(20)))
    assert rejection(content[: int(len(content) * share)], "sales.pdf").code == "corrupt_pdf"


def test_waste_with_the_marks_of_a_pdf(rejection: Reject) -> None:
    assert rejection(b"%PDF-1.4\n" + b"waste " * 100 + b"%%EOF", "sales.pdf").code == "corrupt_pdf"


def test_a_damaged_document_is_rejected_or_read_whole(stage: Stage, rejection: Reject) -> None:
    content = document(table(rows(3)))
    xref = content.rindex(b"startxref")
    assert len(stage(content[:xref] + b"startxref\n0\n%%EOF\n", "sales.pdf").rows) == 3


def test_two_columns_of_one_meaning(rejection: Reject) -> None:
    names = (*NAMES[:7], "Unit Price")
    assert rejection(document(table(rows(2), names=names)), "sales.pdf").code == "duplicate_columns"
