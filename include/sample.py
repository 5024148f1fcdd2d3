"""Made-up invoice lines of the same shape, and with the same oddities, as an online shop's real export.

Usage: python -m include.sample --rows 1000 --seed 7 --start 2011-01-04 --days 1 --format csv --out sample.csv
The same arguments always make the same bytes (a PDF's creation date excepted).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import lzma
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate, groupby
from pathlib import Path
from typing import Literal, TextIO, cast

from include.sources.model import CANONICAL_COLUMNS

Format = Literal["csv", "json", "jsonl", "pdf"]
DateStyle = Literal["iso", "us", "uk", "uk_dash", "dots"]
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
_LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}

_THEMES = (
    "ACORN",
    "BLUEBELL",
    "COTTAGE",
    "DUCK EGG",
    "FERN LEAF",
    "GARDEN",
    "HARBOUR",
    "JUNIPER",
    "LANTERN",
    "MEADOW",
    "MIDNIGHT",
    "ORCHARD",
    "ROSEHIP",
    "SEASIDE",
    "WOODLAND",
)
_ITEMS: tuple[tuple[str, str], ...] = (
    ("APRON", "4.95"),
    ("BIRD BOX", "3.75"),
    ("CAKE STAND, 3 TIER", "12.75"),
    ("CANDLE HOLDER", "1.65"),
    ("CARD HOLDER", "2.10"),
    ("CUSHION COVER", "5.95"),
    ("DOOR HOOK", "0.85"),
    ("EGG CUP", "1.25"),
    ('FRAME 7" SINGLE', "2.55"),
    ("GIFT BAG", "0.42"),
    ("JAM JAR SET OF 6", "4.25"),
    ("KEY RING", "0.65"),
    ("LUNCH BOX", "1.95"),
    ("MUG", "1.49"),
    ("NAPKIN PACK OF 20", "0.85"),
    ("NIGHT LIGHT", "2.08"),
    ("STORAGE TIN", "3.39"),
    ("STRING LIGHTS 20 BULBS", "4.65"),
    ("TEA TOWEL", "1.69"),
    ("WALL CLOCK", "8.50"),
)
_SERVICES: tuple[tuple[str, str, str], ...] = (
    ("POST", "POSTAGE", "18.00"),
    ("DOT", "WEB ORDER POSTAGE", "125.40"),
    ("M", "Manual", "9.99"),
    ("BANK CHARGES", "Bank charges", "15.00"),
    ("gift_0001_10", "Gift voucher, 10 pounds", "8.33"),
    ("gift_0001_20", "Gift voucher, 20 pounds", "16.67"),
    ("DCGS0003", "GIFT SET, BOXED", "6.25"),
    ("DCGS0076", "GIFT SET, SUNDRY", "3.29"),
)
_COUNTRIES: tuple[tuple[str, int], ...] = (
    ("United Kingdom", 900),
    ("EIRE", 20),
    ("Germany", 18),
    ("France", 16),
    ("Netherlands", 8),
    ("Spain", 6),
    ("Channel Islands", 5),
    ("Switzerland", 5),
    ("USA", 4),
    ("Unspecified", 4),
    ("Australia", 3),
    ("Korea", 2),
    ("RSA", 2),
    ("European Community", 1),
    ("West Indies", 1),
)
_STOCK_NOTES = ("", "", "counted short", "broken in store", "?", "wet carton")
_FIRST_DAY = date(2009, 12, 1)
_INVOICES_A_DAY = 400
_CUSTOMERS = 4_000
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


class SampleError(Exception):
    """The sample that was asked for cannot be made."""


@dataclass(frozen=True, slots=True)
class Product:
    """An article of the made-up shop; `price` is in GBP."""

    code: str
    name: str
    price: Decimal


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
    line_end: Literal["lf", "crlf", "cr"] = "lf"
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


def catalogue() -> list[Product]:
    """Return the articles of the shop, the same on every call."""
    products = []
    for row, (item, price) in enumerate(_ITEMS):
        for column, theme in enumerate(_THEMES):
            number = 20_100 + row * 137 + (column // 5) * 11
            suffix = "ABCDE"[column % 5] if row % 2 else ""
            code = f"{number + (0 if suffix else column % 5)}{suffix}"
            products.append(Product(code, f"{theme} {item}", Decimal(price) + Decimal("0.10") * (column % 3)))
    return products


def generate_lines(rows: int, seed: int, start: date, days: int, *, defects: bool = True) -> Iterator[dict[str, str]]:
    """Yield invoice lines, canonical column -> text, in order of time.

    Args:
        rows: Number of lines.
        seed: The same seed and arguments yield the same lines.
        start: First invoice day.
        days: Number of invoice days over which the lines are spread.
        defects: Whether about 4 in 1,000 lines have a value that cannot be read.

    Raises:
        SampleError: If `rows` or `days` is not positive.
    """
    if rows < 1 or days < 1:
        raise SampleError("A sample needs at least one row and one day.")
    shop = _Shop(random.Random(seed))
    spoil_at = set(shop.random.sample(range(rows), max(3, rows // 250))) if defects and rows >= 20 else set()
    made = 0
    for index in range(days):
        until = rows * (index + 1) // days
        for line in shop.day(start + timedelta(days=index), until - made):
            yield _spoiled(line, shop.random) if made in spoil_at else line
            made += 1


class _Shop:
    """The state of the made-up shop: its last invoice number, and sales that may be cancelled."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.products = catalogue()
        self.popularity = list(accumulate(1 / (rank + 5) for rank in range(len(self.products))))
        source.shuffle(self.products)
        self.countries = [name for name, _ in _COUNTRIES]
        self.weights = [weight for _, weight in _COUNTRIES]
        self.number = 0
        self.sold: list[dict[str, str]] = []

    def day(self, day: date, rows: int) -> Iterator[dict[str, str]]:
        """Yield `rows` lines of one day."""
        self.number = max(self.number, 480_000 + (day - _FIRST_DAY).days * _INVOICES_A_DAY)
        opening, minutes, left = datetime.combine(day, time(8)), 0.0, rows
        while left:
            minutes = min(minutes + self.random.expovariate(rows / 18 / 600), 600)
            lines = self._invoice(opening + timedelta(minutes=int(minutes)))[:left]
            left -= len(lines)
            yield from lines

    def _invoice(self, moment: datetime) -> list[dict[str, str]]:
        self.number += self.random.choice((1, 1, 1, 2))
        kind = self.random.random()
        if kind < 0.06 and self.sold:
            return [self._cancelled(moment)]
        if kind < 0.10:
            return [self._stock_movement(moment)]
        if kind < 0.11:
            return [self._adjustment(moment)]
        return self._sale(moment, max(1, round(self.random.expovariate(1 / 21))))

    def _line(self, moment: datetime, invoice: str, **values: str) -> dict[str, str]:
        line = dict.fromkeys(CANONICAL_COLUMNS, "")
        line.update(invoice=invoice, invoice_date=moment.strftime("%Y-%m-%d %H:%M:%S"), country="United Kingdom")
        line.update(values)
        return line

    def _sale(self, moment: datetime, size: int) -> list[dict[str, str]]:
        customer = self.random.randrange(_CUSTOMERS)
        known = self.random.random() > 0.25
        # a customer stays in one country, and most people without an id buy from the shop's own
        country = random.Random(customer).choices(self.countries, self.weights)[0]
        head = {
            "customer_id": f"{12_346 + customer}.0" if known else "",
            "country": country if known or self.random.random() < 0.05 else "United Kingdom",
        }
        lines: list[dict[str, str]] = []
        while len(lines) < size:
            if lines and self.random.random() < 0.02:
                lines.append(dict(lines[-1]))
                continue
            lines.append(self._line(moment, str(self.number), **head, **self._article()))
        self.sold = [*self.sold[-50:], lines[0]]
        return lines

    def _article(self) -> dict[str, str]:
        chance = self.random.random()
        if chance < 0.015:
            code, name, price = self.random.choice(_SERVICES)
            return {"stock_code": code, "description": name, "quantity": "1", "price": price}
        product = self.random.choices(self.products, cum_weights=self.popularity)[0]
        code, name = product.code, product.name
        if self.random.random() < 0.02:
            code = code.lower()
        oddity = self.random.random()
        if oddity < 0.04:
            name = f"{name} "
        elif oddity < 0.06:
            name = f" {name}"
        elif oddity < 0.07:
            name = name.replace(" ", "  ", 1)
        elif oddity < 0.075:
            name = ""
        price = "0.0" if self.random.random() < 0.004 else _number(product.price)
        quantity = self.random.choice((1, 1, 1, 2, 2, 3, 4, 6, 6, 8, 10, 12, 12, 24, 48))
        return {"stock_code": code, "description": name, "quantity": str(quantity), "price": price}

    def _cancelled(self, moment: datetime) -> dict[str, str]:
        line = dict(self.random.choice(self.sold))
        line.update(
            invoice=f"C{self.number}",
            quantity=f"-{line['quantity']}",
            invoice_date=moment.strftime("%Y-%m-%d %H:%M:%S"),
        )
        return line

    def _stock_movement(self, moment: datetime) -> dict[str, str]:
        return self._line(
            moment,
            str(self.number),
            stock_code=self.random.choice(self.products).code,
            description=self.random.choice(_STOCK_NOTES),
            quantity=str(-self.random.randrange(1, 200)),
            price="0.0",
        )

    def _adjustment(self, moment: datetime) -> dict[str, str]:
        return self._line(
            moment,
            f"A{self.number}",
            stock_code="B",
            description="Adjust bad debt",
            quantity="1",
            price=f"{self.random.randrange(-9_000_00, 9_000_00) / 100:.2f}",
        )


def _number(value: Decimal) -> str:
    """Return `value` as spreadsheets write it: no trailing zeros, at least one decimal."""
    text = f"{value:.2f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text


def _spoiled(line: dict[str, str], source: random.Random) -> dict[str, str]:
    """Return `line` with one value that cannot be read."""
    column, text = source.choice(
        (
            ("quantity", "six"),
            ("quantity", "1.5"),
            ("price", "n/a"),
            ("price", ""),
            ("invoice_date", "2011-13-45 10:00:00"),
            ("invoice_date", ""),
            ("stock_code", ""),
            ("invoice", ""),
        )
    )
    return {**line, column: text}


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.sample", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000, help="invoice lines to make (default 1000)")
    parser.add_argument("--seed", type=int, default=7, help="the same seed makes the same lines (default 7)")
    parser.add_argument("--start", type=date.fromisoformat, default=date(2011, 1, 4), help="first day, YYYY-MM-DD")
    parser.add_argument("--days", type=int, default=1, help="days to spread the lines over (default 1)")
    parser.add_argument("--format", choices=("csv", "json", "jsonl", "pdf"), default="csv")
    parser.add_argument("--out", type=Path, required=True, help="file to write; .gz and .xz are compressed")
    parser.add_argument("--encoding", default="utf-8", help="such as utf-8, cp1252, utf-16 (default utf-8)")
    parser.add_argument("--bom", action="store_true", help="begin a UTF-8 file with a byte-order mark")
    parser.add_argument("--delimiter", default=",", help='"," ";" "|" or "tab" (default ",")')
    parser.add_argument("--line-end", choices=tuple(_LINE_ENDS), default="lf")
    parser.add_argument("--date-style", choices=("iso", "us", "uk", "uk_dash", "dots"), default="iso")
    parser.add_argument("--header-style", choices=tuple(_HEADERS), default="classic")
    parser.add_argument("--decimal-mark", choices=(".", ","), default=".")
    parser.add_argument("--integer-customers", action="store_true", help="write 13085 instead of 13085.0")
    parser.add_argument("--pdf-layout", choices=("ruled", "plain", "invoices"), default="ruled")
    parser.add_argument(
        "--defects",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="include a few lines that will be quarantined (default: yes)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a sample file and return the exit code."""
    options = _parser().parse_args(arguments)
    style = SampleStyle(
        encoding=options.encoding,
        byte_order_mark=options.bom,
        delimiter="\t" if options.delimiter == "tab" else options.delimiter,
        line_end=options.line_end,
        date_style=options.date_style,
        header_style=options.header_style,
        decimal_mark=options.decimal_mark,
        float_customers=not options.integer_customers,
        pdf_layout=options.pdf_layout,
        defects=options.defects,
    )
    try:
        lines = generate_lines(options.rows, options.seed, options.start, options.days, defects=options.defects)
        write_sample(lines, options.out, options.format, style)
    except (SampleError, OSError, UnicodeEncodeError, LookupError) as error:
        print(f"No sample was made: {error}", file=sys.stderr)
        return 1
    print(f"{options.rows} lines written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
