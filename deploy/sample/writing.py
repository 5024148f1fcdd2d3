"""How the lines of the made-up shop are written: CSV, JSON or PDF, in every style that sources may come in."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Literal, TextIO, cast

from deploy.sample.shop import SampleError
from include.sources.model import CANONICAL_COLUMNS

Format = Literal["csv", "json", "jsonl", "pdf"]
DateStyle = Literal["iso", "us", "uk", "uk_dash", "dots"]
LineEnd = Literal["lf", "crlf", "cr"]
HeaderStyle = Literal["classic", "older", "snake", "spaced"]
PdfLayout = Literal["ruled", "plain", "invoices"]

_HEADERS: dict[str, tuple[str, ...]] = {
    "classic": ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"),
    "older": ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"),
    "snake": CANONICAL_COLUMNS,
    "spaced": (
        "Invoice Number",
        "Stock Code",
        "Description",
        "Qty",
        "Invoice Date",
        "Unit Price",
        "Customer ID",
        "Country",
    ),
}
_LINE_ENDS: dict[LineEnd, str] = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class SampleStyle:
    """How the lines are written.

    Attributes:
        encoding: Python codec of a text file.
        byte_order_mark: Whether a UTF-8 file begins with one.
        delimiter: Separator of a CSV file.
        line_end: `lf`, `crlf` or `cr`.
        date_style: `iso` 2010-12-01 08:26:00, `us` 12/1/2010 8:26, `uk` 01/12/2010 08:26, `uk_dash` 01-12-2010 08:26,
            `dots` 01.12.2010 08:26.
        header_style: Which spelling of the column names.
        decimal_mark: Decimal mark of the prices.
        float_customers: Whether customer ids look like 13085.0.
        pdf_layout: `ruled` or `plain` table of all lines, or one `invoices` document after the other.
        defects: Whether a few records are damaged in ways that only the file shows.
    """

    encoding: str = "utf-8"
    byte_order_mark: bool = False
    delimiter: str = ","
    line_end: LineEnd = "lf"
    date_style: DateStyle = "iso"
    header_style: HeaderStyle = "classic"
    decimal_mark: Literal[".", ","] = "."
    float_customers: bool = True
    pdf_layout: PdfLayout = "ruled"
    defects: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in canonical order."""
        return _HEADERS[self.header_style]


def write_sample(lines: Iterable[dict[str, str]], path: Path, form: Format, style: SampleStyle | None = None) -> None:
    """Write lines to a file; a name that ends in .gz or .xz is compressed.

    Args:
        lines: As `generate_lines` yields them.
        path: File to make; its folder must exist.
        form: Kind of file.
        style: How to write it.

    Raises:
        SampleError: If a PDF is asked for and reportlab, a development dependency, is not installed.
        UnicodeEncodeError: If the encoding cannot hold a character.
    """
    style = style or SampleStyle()
    styled = (_styled(line, style) for line in lines)
    if form == "pdf":
        _write_pdf(styled, path, style)
        return
    with _text_file(path, style) as stream:
        if form == "csv":
            _write_csv(styled, stream, style)
        else:
            _write_json(styled, stream, style, as_lines=form == "jsonl")


def _styled(line: dict[str, str], style: SampleStyle) -> dict[str, str]:
    line = dict(line)
    line["invoice_date"] = restyled_date(line["invoice_date"], style.date_style)
    if style.decimal_mark != ".":
        line["price"] = line["price"].replace(".", style.decimal_mark)
    if not style.float_customers:
        line["customer_id"] = line["customer_id"].removesuffix(".0")
    return line


def restyled_date(text: str, style: DateStyle) -> str:
    """Return an ISO date and time in another style; text that is none stays as it is."""
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text
    if style == "iso":
        return text
    if style == "us":
        return f"{moment.month}/{moment.day}/{moment.year} {moment.hour}:{moment.minute:02d}"
    separator = {"uk": "/", "uk_dash": "-", "dots": "."}[style]
    return moment.strftime(f"%d{separator}%m{separator}%Y %H:%M")


@contextmanager
def _text_file(path: Path, style: SampleStyle) -> Iterator[TextIO]:
    encoding = "utf-8-sig" if style.byte_order_mark and style.encoding == "utf-8" else style.encoding
    with ExitStack() as opened:
        binary: io.BufferedIOBase = opened.enter_context(path.open("wb"))
        if path.suffix == ".gz":
            binary = opened.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=binary, mtime=0))
        elif path.suffix == ".xz":
            binary = opened.enter_context(lzma.open(cast("io.BufferedWriter", binary), "wb"))
        yield opened.enter_context(io.TextIOWrapper(cast("io.BufferedWriter", binary), encoding, newline=""))


def _write_csv(lines: Iterable[dict[str, str]], stream: TextIO, style: SampleStyle) -> None:
    end = _LINE_ENDS[style.line_end]
    writer = csv.writer(stream, delimiter=style.delimiter, lineterminator=end)
    writer.writerow(style.names)
    for index, line in enumerate(lines, start=1):
        values = list(line.values())
        if style.defects and index % 400 == 120:
            stream.write(style.delimiter.join(values[:5]).replace('"', "") + end)
        elif style.defects and index % 400 == 230:
            stream.write(style.delimiter.join([*values[:2], '"TORN LABEL', *values[3:]]) + end)
        elif style.defects and index % 400 == 340:
            writer.writerow([*values, "checked"])
        else:
            writer.writerow(values)


def _write_json(lines: Iterable[dict[str, str]], stream: TextIO, style: SampleStyle, *, as_lines: bool) -> None:
    before, between, after = ("", "\n", "\n") if as_lines else ("[\n", ",\n", "\n]\n")
    stream.write(before)
    for index, line in enumerate(lines):
        members = zip(style.names, line.values(), strict=True)
        text = ", ".join(f"{json.dumps(name)}: {_json_value(name, value)}" for name, value in members)
        if style.defects and as_lines and index % 400 == 120:
            text = text[: len(text) // 2]
        stream.write((between if index else "") + "{" + text + "}")
    stream.write(after)


def _json_value(name: str, value: str) -> str:
    """Return a value as JSON; what is a number keeps its digits, codes with leading zeros stay text."""
    if not value:
        return "null"
    numeric = name.replace(" ", "").lower() not in {"invoice", "invoiceno", "invoicenumber", "stockcode"}
    return value if numeric and _NUMBER.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _write_pdf(lines: Iterable[dict[str, str]], path: Path, style: SampleStyle) -> None:
    try:
        from reportlab.lib import colors
        from reportlab.lib.pagesizes import A4, landscape
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.platypus import Flowable, LongTable, PageBreak, Paragraph, SimpleDocTemplate, Spacer
    except ImportError as error:
        raise SampleError(
            "Writing a PDF needs reportlab: install requirements-dev.txt, or choose --format csv, json or jsonl."
        ) from error
    body = getSampleStyleSheet()["BodyText"].clone("cell", fontSize=7, leading=8)
    grid: list[tuple[object, ...]] = [("FONTSIZE", (0, 0), (-1, -1), 7), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    if style.pdf_layout != "plain":
        grid.append(("GRID", (0, 0), (-1, -1), 0.4, colors.black))

    def table(names: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[float]) -> Flowable:
        described = names.index("Description") if "Description" in names else names.index("description")
        cells = [[Paragraph(_markup(text), body) if i == described else text for i, text in enumerate(r)] for r in rows]
        return LongTable([list(names), *cells], colWidths=widths, repeatRows=1, style=grid)

    story: list[Flowable] = []
    if style.pdf_layout == "invoices":
        for _, group in groupby(lines, key=lambda line: line["invoice"]):
            invoice = list(group)
            story += [Paragraph(text, body) for text in _labels(invoice[0], style)]
            columns = ("stock_code", "description", "quantity", "price")
            names = [style.names[CANONICAL_COLUMNS.index(column)] for column in columns]
            rows = [[line[column] for column in columns] for line in invoice]
            story += [Spacer(1, 12), table(names, rows, (80, 220, 60, 60)), Paragraph("Thank you.", body), PageBreak()]
    else:
        story.append(table(style.names, (list(line.values()) for line in lines), (60, 80, 190, 50, 110, 60, 70, 110)))
    SimpleDocTemplate(str(path), pagesize=landscape(A4), invariant=1).build(story)


def _labels(line: dict[str, str], style: SampleStyle) -> list[str]:
    columns = ("invoice", "invoice_date", "customer_id", "country")
    named = ((style.names[CANONICAL_COLUMNS.index(column)], line[column]) for column in columns)
    return ["INVOICE", *(f"{name}: {_markup(value)}" for name, value in named if value)]


def _markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
