"""Rows of a table in a PDF, and how to tell them from headers and page numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from include.sources.columns import TABLE_COLUMNS, Header, canonical
from include.sources.layout import names_total

DIGIT = re.compile(r"[0-9]")

_PAGE_NUMBER = re.compile(r"page \d+|(page )?\d+ ?(of|/) ?\d+", re.IGNORECASE)


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

    def is_total(self) -> bool:
        """Return whether the row is a total."""
        return names_total(self.cell("invoice"), self.cell("stock_code"), filter(None, self.cells))

    def continues(self, last: Row) -> bool:
        """Return whether the row is the rest of `last`, which was cut by the end of a page."""
        if self.page == last.page or self.header.positions != last.header.positions:
            return False
        filled = [position for position, cell in enumerate(self.cells) if cell]
        return filled == [self.header.positions.get("description")]


def is_header(names: Sequence[str]) -> bool:
    """Return whether the texts are column names of a table of invoice lines."""
    return {canonical(name) for name in names}.issuperset(TABLE_COLUMNS)


def is_page_number(text: str) -> bool:
    """Return whether a text is in full a page number."""
    return _PAGE_NUMBER.fullmatch(text) is not None
