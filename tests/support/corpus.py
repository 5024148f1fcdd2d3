"""A corpus of made-up source files, each with something odd in it and the lines that it has to become.

Everything follows from `SEED`. A file is named by what is odd in it. The same lines are written in every way, so that a
value that a way of writing changes shows as a difference.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.workbooks import workbook

SEED = 20101201
LINES = 9
COLUMNS = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")

Text = Callable[[Any], str]
Row = list[Any]


@dataclass(frozen=True)
class Line:
    """A line as it has to be loaded."""

    invoice: str
    stock_code: str
    description: str | None
    quantity: Decimal
    at: datetime
    price: Decimal
    customer_id: str | None
    country: str | None

    def row(self, date: Text, number: Text, quantity: Text | None = None) -> Row:
        """Return its cells, with dates and numbers in a style; quantities in one of their own if it is given."""
        return [
            self.invoice,
            self.stock_code,
            self.description or "",
            (quantity or number)(self.quantity),
            date(self.at),
            number(self.price),
            self.customer_id or "",
            self.country or "",
        ]


@dataclass(frozen=True)
class Odd:
    """A file of the corpus.

    Attributes:
        name: What is odd in it, then the ending.
        content: Its bytes.
        lines: What it has to become, in order.
        left_out: Kind of row -> how many are to be left out.
        kept_out: Reason codes of the records that are to be quarantined, in order.
        rejected: Reason code if nothing of it may be loaded.
        options: Settings it is read with.
    """

    name: str
    content: bytes
    lines: Sequence[Line] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    kept_out: Sequence[str] = ()
    rejected: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def corpus() -> list[Odd]:
    """Return the files, each with a name of its own."""
    made = [*_values(), *_csv_layouts(), *_json_shapes(), *_typed(), *_words_for_nothing(), *_damaged(), *_refused()]
    assert len({odd.name for odd in made}) == len(made)
    return made


def made_lines(seed: int) -> list[Line]:
    """Return lines with what is usual and hard: returns, quotes, commas, accents, leading zeros, unknown customers.

    Days are above 12 on the first line, so that each file shows its order; whole minutes fit every style.
    """
    rng = random.Random(f"{SEED} {seed}")
    names = ("MEADOW MUG", 'FRAME 7" OAK', "SALT, PEPPER & CO", "CAFÉ CRÈME", "TEA  TOWEL", None)
    found = []
    start = datetime(2010, 12, 13, 8, 26)
    for number in range(LINES):
        at = start + timedelta(days=rng.randrange(0, 19), minutes=rng.randrange(0, 900)) if number else start
        returned = number % 4 == 3
        found.append(
            Line(
                invoice=f"{'C' if returned else ''}{536_365 + number // 2}",
                stock_code=rng.choice(("85123A", "000123", "22086", "POST", "gift_0001_20", "71053-B")),
                description=rng.choice(names),
                quantity=Decimal(rng.randrange(1, 2_000)) * (-1 if returned else 1),
                at=at,
                price=Decimal(rng.randrange(1, 500_000)).scaleb(-2),
                customer_id=rng.choice(("17850", "12583", None)),
                country=rng.choice(("United Kingdom", "France", "EIRE")),
            )
        )
    # A number with thousands and decimals shows both marks, so that no file leaves them open.
    found[1] = replace(found[1], price=Decimal("12345.67"))
    return found


_MONTHS = {
    "english": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "german": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "french": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "dutch": "januari februari maart april mei juni juli augustus september oktober november december",
    "portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
_LONDON = ZoneInfo("Europe/London")


def _named(language: str) -> Text:
    names = _MONTHS[language].split()
    return lambda at: f"{at.day} {names[at.month - 1]} {at.year} {at:%H:%M}"


def _twelve(at: datetime) -> str:
    return f"{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at:%M} {'PM' if at.hour >= 12 else 'AM'}"


def _serial(at: datetime) -> str:
    return f"{(at - datetime(1899, 12, 30)) / timedelta(days=1):.9f}"


def _epoch(at: datetime) -> int:
    return int(at.replace(tzinfo=_LONDON).timestamp())


DATES: dict[str, Text] = {
    "iso": lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
    "iso_t": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}",
    "iso_z": lambda at: f"{at.replace(tzinfo=_LONDON).astimezone(ZoneInfo('UTC')):%Y-%m-%dT%H:%M:%SZ}",
    "offset": lambda at: at.replace(tzinfo=_LONDON).astimezone(ZoneInfo("Europe/Berlin")).isoformat(),
    "fraction": lambda at: f"{at:%Y-%m-%d %H:%M:%S}.000",
    "us": lambda at: f"{at:%m/%d/%Y %H:%M}",
    "us_short": lambda at: f"{at.month}/{at.day}/{at:%y} {at.hour}:{at:%M}",
    "us_am_pm": _twelve,
    "uk": lambda at: f"{at:%d/%m/%Y %H:%M:%S}",
    "uk_dashes": lambda at: f"{at:%d-%m-%Y %H:%M}",
    "german_points": lambda at: f"{at:%d.%m.%Y %H:%M}",
    "year_first_slashes": lambda at: f"{at:%Y/%m/%d %H:%M}",
    "compact": lambda at: f"{at:%Y%m%d%H%M%S}",
    "compact_t": lambda at: f"{at:%Y%m%dT%H%M%S}",
    "serial": _serial,
    "epoch_seconds": lambda at: str(_epoch(at)),
    "epoch_milliseconds": lambda at: str(_epoch(at) * 1000),
    **{f"named_{language}": _named(language) for language in _MONTHS},
}
"""Name -> how a moment is written."""


def _grouped(mark: str, decimal: str = ".") -> Text:
    def write(number: Decimal) -> str:
        text = f"{number:,}".replace(".", "!").replace(",", mark)
        return text.replace("!", decimal)

    return write


def _signed(before: str = "", after: str = "", minus: str = "-", behind: str = "") -> Text:
    def write(number: Decimal) -> str:
        sign = minus if number < 0 else ""
        return f"{sign}{before}{abs(number)}{behind if number < 0 else ''}{after}"

    return write


NUMBERS: dict[str, Text] = {
    "plain": str,
    "thousands_comma": _grouped(","),
    "thousands_point": _grouped(".", ","),
    "thousands_space": _grouped(" ", ","),
    "thousands_no_break_space": _grouped("\u00a0", ","),
    "thousands_narrow_space": _grouped("\u202f", ","),
    "thousands_apostrophe": _grouped("'"),
    "decimal_comma": lambda number: str(number).replace(".", ","),
    "pound_sign": _signed("£"),
    "pound_code_before": _signed("GBP "),
    "pound_code_behind": _signed(after=" GBP"),
    "plus_sign": lambda number: f"{number:+}",
    "brackets": lambda number: f"({abs(number)})" if number < 0 else str(number),
    "trailing_minus": _signed(minus="", behind="-"),
    "unicode_minus": _signed(minus="\u2212"),
    "exponent": lambda number: f"{number:E}",
    "surplus_zeros": lambda number: f"{number:.4f}" if number % 1 else f"{number:.1f}",
}
"""Name -> how a number is written."""


def table(rows: Sequence[Row], delimiter: str = ";", quoting: int = csv.QUOTE_MINIMAL, end: str = "\n") -> str:
    """Return rows as CSV."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


def _rows(lines: Sequence[Line], date: str = "iso", number: str = "plain") -> list[Row]:
    quantity = str if number.startswith("pound") else None
    return [list(COLUMNS), *(line.row(DATES[date], NUMBERS[number], quantity) for line in lines)]


def _values() -> Iterator[Odd]:
    """Each style of dates with each of numbers."""
    for seed, (date, number) in enumerate((date, number) for date in DATES for number in NUMBERS):
        lines = made_lines(seed)
        yield Odd(f"dates_{date}+numbers_{number}.csv", table(_rows(lines, date, number)).encode(), lines)


def _without(lines: Sequence[Line], name: str) -> list[Line]:
    return [replace(line, **{name: None}) for line in lines]  # type: ignore[arg-type]


def _csv_layouts() -> Iterator[Odd]:
    lines = made_lines(1_000)
    rows = _rows(lines)
    names, body = rows[0], rows[1:]
    plain = table(rows)

    def odd(name: str, text: str | bytes, **changes: Any) -> Odd:
        content = text.encode() if isinstance(text, str) else text
        return Odd(f"{name}.csv", content, changes.pop("lines", lines), **changes)

    for mark, character in {"comma": ",", "tab": "\t", "pipe": "|"}.items():
        yield odd(f"separator_{mark}", table(rows, character))
    for end, characters in {"crlf": "\r\n", "cr": "\r"}.items():
        yield odd(f"line_ends_{end}", table(rows, end=characters))
    for codec in ("utf-8-sig", "utf-16", "utf-32", "cp1252"):
        yield odd(f"encoding_{codec}", plain.encode(codec))
    yield odd("separator_told", "sep=;\n" + plain)
    yield odd("all_quoted", table(rows, quoting=csv.QUOTE_ALL))
    yield odd("no_last_line_end", plain.rstrip("\n"))
    yield odd("blank_lines", plain.replace("\n", "\n\n", 3) + "\n\n")
    yield odd("spaces_around_values", table([names, *([f" {cell} " for cell in row] for row in body)]))
    yield odd("title", "Sales of the week;;;;;;;\n" + plain, left_out={"title row": 1})
    yield odd("preamble", "Sales report\nFrom;2010-12-01\n\n" + plain, left_out={"title row": 2})
    units = ["", "", "", "pcs", "yyyy-mm-dd", "GBP", "", ""]
    yield odd("units", table([names, units, *body]), left_out={"units row": 1})
    yield odd("header_again", table([names, *body[:4], names, *body[4:]]), left_out={"repeated header": 1})
    total = ["", "", "Total", "", "", "99.99", "", ""]
    yield odd("total_last", table([*rows, total]), left_out={"total row": 1})
    yield odd("totals_between", table([names, *body[:3], total, *body[3:], total]), left_out={"total row": 2})
    yield odd("footer", plain + "Generated by the till on 2011-01-01\n", left_out={"footer": 1})
    yield odd("index_column", table([["", *names], *([str(at), *row] for at, row in enumerate(body))]))
    yield odd("own_columns", table([[*names, "Shop", "Till"], *([*row, "North", "3"] for row in body)]))
    yield odd("columns_turned", table([row[::-1] for row in rows]))
    yield odd("names_in_capitals", table([[name.upper().replace(" ", "_") for name in names], *body]))
    date_at = COLUMNS.index("InvoiceDate")
    split = [[*row[:date_at], *row[date_at].split(" "), *row[date_at + 1 :]] for row in body]
    yield odd("date_and_time_apart", table([[*names[:date_at], "Date", "Time", *names[date_at + 1 :]], *split]))
    for name, column in {"description": "Description", "customer_id": "Customer ID", "country": "Country"}.items():
        at = COLUMNS.index(column)
        yield odd(f"without_{name}", table([row[:at] + row[at + 1 :] for row in rows]), lines=_without(lines, name))
    for language, header in _HEADERS.items():
        yield odd(f"names_{language}", table([header.split(";"), *body]))
    yield Odd("packed_gzip.csv.gz", gzip.compress(plain.encode()), lines)
    yield Odd("packed_xz.csv.xz", lzma.compress(plain.encode()), lines)
    yield Odd("packed_bzip2.csv.bz2", bz2.compress(plain.encode()), rejected="unsupported_type")
    yield Odd("named_wrongly.json", plain.encode(), lines)
    yield Odd("name_without_ending", plain.encode(), lines)


_HEADERS = {
    "german": "Rechnungsnummer;Artikelnummer;Bezeichnung;Menge;Rechnungsdatum;Einzelpreis;Kundennummer;Land",
    "french": "Numéro de facture;Référence article;Désignation;Quantité;Date de facture;Prix unitaire;Code client;Pays",
    "spanish": "Número de factura;Código de producto;Descripción;Cantidad;Fecha;Precio unitario;ID cliente;País",
    "italian": "Numero fattura;Codice articolo;Descrizione;Quantità;Data fattura;Prezzo unitario;Codice cliente;Paese",
    "dutch": "Factuurnummer;Artikelcode;Omschrijving;Aantal;Factuurdatum;Stukprijs;Klantnummer;Land",
    "portuguese": "Nota fiscal;Código do produto;Descrição;Quantidade;Data da fatura;Valor unitário;ID do cliente;País",
}


def _objects(lines: Sequence[Line]) -> list[dict[str, Any]]:
    rows = _rows(lines)
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _json_shapes() -> Iterator[Odd]:
    lines = made_lines(2_000)
    objects = _objects(lines)
    frame = pd.DataFrame(objects)

    def odd(name: str, content: Any, ending: str = "json") -> Odd:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        return Odd(f"json_{name}.{ending}", text.encode(), lines)

    for orient in ("records", "split", "columns", "index", "table"):
        yield odd(f"pandas_{orient}", frame.to_json(orient=orient))
    yield odd("lines", "".join(json.dumps(one) + "\n" for one in objects), "jsonl")
    yield odd("indented", json.dumps(objects, indent=2))
    yield odd("in_an_object", {"exported": "2011-01-01", "sales": objects})
    yield odd("lists_of_values", {name: [one[name] for one in objects] for name in COLUMNS})
    numbers = [one | {"Quantity": int(one["Quantity"]), "Price": float(one["Price"])} for one in objects]
    yield odd("numbers", numbers)
    yield odd("nulls", [{name: value or None for name, value in one.items()} for one in objects])
    yield odd("members_absent", [{name: value for name, value in one.items() if value} for one in objects])
    outer = ("Invoice", "InvoiceDate", "Customer ID", "Country")
    invoices = [
        {**{name: one[name] for name in outer}, "lines": [{k: v for k, v in one.items() if k not in outer}]}
        for one in objects
    ]
    yield odd("nested", invoices)
    yield odd("nested_in_pages", {"page": 1, "invoices": invoices})
    yield odd("nested_lines", "".join(json.dumps(one) + "\n" for one in invoices), "jsonl")


def _typed() -> Iterator[Odd]:
    """Workbooks and Parquet, whose values have types."""
    lines = made_lines(3_000)
    rows = _rows(lines)

    def cells(line: Line, *, texts: bool = False) -> Row:
        row = line.row(DATES["iso"], str)
        if not texts:
            row[3], row[4], row[5] = float(line.quantity), line.at, float(line.price)
        return [None if cell == "" else cell for cell in row]

    typed = [list(COLUMNS), *(cells(line) for line in lines)]
    texts = [list(COLUMNS), *(cells(line, texts=True) for line in lines)]
    half = [typed[:5], [typed[0], *typed[5:]]]
    notes = [["Notes"], ["Checked by hand"]]

    def book(name: str, sheets: Mapping[str, Any], left_out: Mapping[str, int] | None = None, **options: Any) -> Odd:
        return Odd(f"workbook_{name}.xlsx", workbook(sheets, **options), lines, left_out or {})

    yield book("typed", {"Sales": typed})
    yield book("texts", {"Sales": texts})
    yield book("two_sheets", {"2009": half[0], "2010": half[1]})
    yield book("with_notes", {"Notes": notes, "Sales": typed}, {"row of a sheet without lines": 2})
    yield book("title", {"Sales": [["Sales of the week"], [], *typed]}, {"title row": 1})
    yield book("hidden_sheet", {"Notes": [], "Sales": typed}, hidden=["Sales"])
    yield book("blank_rows", {"Sales": _spaced(typed)})
    yield book("total", {"Sales": [*typed, [None, None, "Total", None, None, 99.99]]}, {"total row": 1})
    yield book("dates_of_1904", {"Sales": typed}, date_1904=True)
    text_table = pa.table({name: [row[at] or None for row in rows[1:]] for at, name in enumerate(COLUMNS)})
    exact = text_table.set_column(3, "Quantity", pa.array([int(line.quantity) for line in lines], pa.int32()))
    exact = exact.set_column(4, "InvoiceDate", pa.array([line.at for line in lines], pa.timestamp("us")))
    exact = exact.set_column(5, "Price", pa.array([line.price for line in lines], pa.decimal128(12, 2)))
    floats = exact.set_column(5, "Price", pa.array([float(line.price) for line in lines]))
    zoned = pa.array([line.at for line in lines], pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    for name, parquet in {
        "texts": text_table,
        "decimals": exact,
        "floats": floats,
        "zoned": exact.set_column(4, "InvoiceDate", zoned),
        "dictionaries": text_table.set_column(7, "Country", text_table.column("Country").dictionary_encode()),
    }.items():
        out = io.BytesIO()
        pq.write_table(parquet, out)
        yield Odd(f"parquet_{name}.parquet", out.getvalue(), lines)


def _spaced(rows: Sequence[Row]) -> list[Row]:
    return [row for pair in rows for row in (pair, [])]


def _words_for_nothing() -> Iterator[Odd]:
    for seed, word in enumerate(("nan", "NaN", "NULL", "None", "N/A", "#N/A", "-", "<NA>", "nil", "NaT")):
        lines = made_lines(4_000 + seed)
        rows = _rows(lines)
        emptied = [replace(lines[0], description=None, customer_id=None, country=None), *lines[1:]]
        for at in (2, 6, 7):
            rows[1][at] = word
        name = "".join(character if character.isalnum() else f"x{ord(character):02x}" for character in word)
        yield Odd(f"nothing_{name}_{seed}.csv", table(rows).encode(), emptied)


def _damaged() -> Iterator[Odd]:
    """Files with one record that has to be kept out, and the others loaded."""
    lines = made_lines(5_000)
    spoilt: dict[str, tuple[int, str, str]] = {
        "day_that_does_not_exist": (4, "2010-02-30 10:00:00", "malformed_invoice_date"),
        "date_as_words": (4, "yesterday", "malformed_invoice_date"),
        "date_missing": (4, "", "missing_invoice_date"),
        "date_out_of_range": (4, "1066-10-14 09:00:00", "invoice_date_out_of_range"),
        "quantity_as_words": (3, "six", "malformed_quantity"),
        "quantity_missing": (3, "", "missing_quantity"),
        "quantity_out_of_range": (3, "2000000", "quantity_out_of_range"),
        "price_as_words": (5, "free", "malformed_price"),
        "price_missing": (5, "", "missing_price"),
        "price_out_of_range": (5, "2000000.00", "price_out_of_range"),
        "price_with_two_points": (5, "1.2.3", "malformed_price"),
        "price_of_another_currency": (5, "7.50 QQQ", "malformed_price"),
        "invoice_missing": (0, "", "missing_invoice"),
        "invoice_with_a_space": (0, "536 365", "malformed_invoice"),
        "code_missing": (1, "", "missing_stock_code"),
        "code_as_a_power": (1, "1.23E+05", "malformed_stock_code"),
        "description_too_long": (2, "x" * 501, "malformed_description"),
        "customer_with_a_space": (6, "no one", "malformed_customer_id"),
        "country_too_long": (7, "y" * 61, "malformed_country"),
    }
    for name, (at, text, code) in spoilt.items():
        rows = _rows(lines)
        rows[5][at] = text
        yield Odd(f"damaged_{name}.csv", table(rows).encode(), [*lines[:4], *lines[5:]], kept_out=[code])
    broken = {
        "too_few_values": ("536399;85123A;MUG;1", "too_few_columns"),
        "too_many_values": ("536399;85123A;MUG;1;2010-12-13 10:00:00;1.00;17850;France;more", "too_many_columns"),
        "stray_quote": ('536399;85123A;"MUG;1;2010-12-13 10:00:00;1.00;17850;France', "unbalanced_quote"),
        "nul_character": ("536399;85123A;M\0G;1;2010-12-13 10:00:00;1.00;17850;France", "nul_byte"),
    }
    for name, (line, code) in broken.items():
        physical = table(_rows(lines)).split("\n")
        physical.insert(5, line)
        yield Odd(f"damaged_{name}.csv", "\n".join(physical).encode(), lines, kept_out=[code])
    objects = "".join(json.dumps(one) + "\n" for one in _objects(lines))
    records = {
        "json_line_cut_off": ('{"Invoice": "536399", "Sto\n', "invalid_json_line"),
        "json_line_with_a_comma": ('{"Invoice": "536399"},\n', "comma_after_json"),
        "json_line_of_text": ('"536399"\n', "not_an_object"),
    }
    for name, (line, code) in records.items():
        yield Odd(f"damaged_{name}.jsonl", (objects + line).encode(), lines, kept_out=[code])


def _refused() -> Iterator[Odd]:
    """Files of which nothing may be loaded: money or dates would have to be guessed, or they are no tables."""
    lines = made_lines(6_000)
    rows = _rows(lines)
    plain = table(rows)

    def beside(name: str, *values: str) -> bytes:
        shown = [*values, *[values[-1]] * (len(rows) - 1 - len(values))]
        return table([[*rows[0], name], *([*row, value] for row, value in zip(rows[1:], shown, strict=True))]).encode()

    def odd(name: str, content: bytes, code: str, ending: str = "csv", **options: Any) -> Odd:
        return Odd(f"refused_{name}.{ending}", content, rejected=code, options=options)

    yield odd("discount", beside("Discount", "1.00"), "unexplained_amounts")
    yield odd("tax", beside("VAT", "0.20", "0"), "unexplained_amounts")
    yield odd("shipping", beside("Shipping", "3.95", "0"), "unexplained_amounts")
    yield odd("total_differs", beside("Line Total", "0.01"), "total_differs")
    yield odd("status", beside("Order Status", "paid", "cancelled"), "unexplained_status")
    yield odd("document_type", beside("Document Type", "Credit Note", "Invoice"), "unexplained_document_type")
    yield odd(
        "no_date",
        table([rows[0][:4] + rows[0][5:], *(row[:4] + row[5:] for row in rows[1:])]).encode(),
        "missing_columns",
    )
    early = [replace(line, at=line.at.replace(month=3, day=1 + at % 9)) for at, line in enumerate(lines)]
    day_or_month = [rows[0], *(line.row(lambda at: f"{at.day}/{at.month}/{at.year}", str) for line in early)]
    yield odd("day_or_month", table(day_or_month).encode(), "ambiguous_dates")
    yield Odd(
        "told_day_first.csv",
        table(day_or_month).encode(),
        [replace(line, at=line.at.replace(hour=0, minute=0)) for line in early],
        options={"date_order": "day_first"},
    )
    either = [replace(line, quantity=Decimal(2), price=Decimal(1234)) for line in lines]
    points = [rows[0], *(line.row(DATES["iso"], lambda number: f"{number:,}".replace(",", ".")) for line in either)]
    yield odd("point_or_thousands", table(points).encode(), "ambiguous_numbers")
    yield Odd("told_comma.csv", table(points).encode(), either, options={"decimal_mark": "comma"})
    yield odd("two_prices", beside("Unit Price", "1.00"), "duplicate_columns")
    turned = [rows[0], *rows[1:4], rows[0][::-1], *(row[::-1] for row in rows[4:])]
    yield odd("header_turned_in_the_middle", table(turned).encode(), "changed_header")
    yield odd("empty", b"", "empty_file")
    yield odd("prose", b"Dear shop,\nthe sales come next week.\n", "missing_columns", "txt")
    yield odd("picture", b"\x89PNG\r\n\x1a\n" + bytes(100), "not_text", "png")
    whole = json.dumps(_objects(lines)).encode()
    yield odd("json_cut_off", whole[: len(whole) // 2], "truncated_json", "json")
    yield odd("json_with_more", whole + b"{}", "text_after_json", "json")
    yield odd("json_without_names", json.dumps(rows[1:]).encode(), "unnamed_values", "json")
    yield odd("gzip_cut_off", gzip.compress(plain.encode())[:-20], "truncated_archive", "csv.gz")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../outside.csv", plain)
    yield odd("zip_that_leads_out", packed.getvalue(), "unsafe_archive", "zip")
    yield odd("workbook_cut_off", workbook({"Sales": rows})[:2_000], "corrupt_workbook", "xlsx")
