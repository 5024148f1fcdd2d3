"""The made-up shop: its articles and its invoice lines."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate

from include.sources.model import CANONICAL_COLUMNS

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


class SampleError(Exception):
    """The sample that was asked for cannot be made."""


@dataclass(frozen=True, slots=True)
class Product:
    """An article of the made-up shop; `price` is in GBP."""

    code: str
    name: str
    price: Decimal


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
