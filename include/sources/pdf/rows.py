"""Rows of a table in a PDF, and how to tell records from headers, totals and page numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from include.sources.columns import TABLE_COLUMNS, Header, canonical

DIGIT = re.compile(r"[0-9]")

_TOTAL_WORDS = frozenset({"total", "totals", "subtotal", "vat", "balance", "due", "payable", "forward", "continued"})
_WORDS_WITH_TOTALS = _TOTAL_WORDS | {
    *("sub", "grand", "net", "gross", "invoice", "order", "page", "amount", "price", "value", "goods", "units"),
    *("carried", "brought", "on", "of", "the", "next", "overleaf", "gbp"),
    *("in", "incl", "including", "inc", "ex", "excl", "excluding"),
}
_PAGE_NUMBER = re.compile(r"page \d+|(page )?\d+ ?(of|/) ?\d+", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(slots=True)
class Row:
    """Cells of a record of a table.

    Attributes:
        cells: By position in the header.
        labels: Values that stood above the table, by canonical column.
    """

    page: int
    header: Header
    cells: list[str]
    labels: dict[str, str] = field(default_factory=dict)

    def cell(self, column: str) -> str:
        """Return the text of a canonical column, "" if the table lacks it."""
        position = self.header.positions.get(column)
        return "" if position is None else self.cells[position]

    def extras(self) -> str | None:
        """Return the values of other columns as a JSON object, None if there are none."""
        values = {name: self.cells[position] for position, name in self.header.extras.items() if self.cells[position]}
        return json.dumps(values, ensure_ascii=False) if values else None

    def is_summary(self) -> bool:
        """Return whether the row is a total, a page number or the like.

        A row with an invoice number, or with date, quantity and price, is none; nor is one with quantity and price next
        to anything but the plain words of a total: without a stock code it is quarantined, not lost.
        """
        stock, quantity, price = (self.cell(column) for column in TABLE_COLUMNS)
        words = [cell for cell in self.cells if sums_up(cell)]
        invoice = self.cell("invoice")
        if not words or (stock and stock not in words) or (DIGIT.search(invoice) and invoice not in words):
            return False
        if not DIGIT.search(quantity) or not DIGIT.search(price):
            return True
        description = self.cell("description")
        plain = not any(DIGIT.search(text) for text in words) and (not description or description in words)
        return plain and not DIGIT.search(self.cell("invoice_date"))

    def continues(self, last: Row) -> bool:
        """Return whether the row is the rest of `last`, which was cut by the end of a page."""
        if self.page == last.page or self.header.positions != last.header.positions:
            return False
        filled = [position for position, cell in enumerate(self.cells) if cell]
        return filled == [self.header.positions.get("description")]


def is_header(names: Sequence[str]) -> bool:
    """Return whether the texts are column names of a table of invoice lines."""
    return {canonical(name) for name in names}.issuperset(TABLE_COLUMNS)


def sums_up(text: str) -> bool:
    """Return whether a text is in full the name of a total or a page number: TOTAL ECLIPSE POSTER only begins so."""
    words = set(_LETTERS.findall(text.casefold()))
    return bool(words & _TOTAL_WORDS and words <= _WORDS_WITH_TOTALS) or _PAGE_NUMBER.fullmatch(text) is not None
