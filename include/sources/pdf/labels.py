"""Labels such as "Invoice No: 536365" above a table, which fill the columns that the table lacks."""

from __future__ import annotations

import re
from itertools import pairwise

from include.sources.columns import SPELLINGS, canonical, normalised
from include.sources.pdf.layout import Grid, Line

_NAMES = {
    "invoice": SPELLINGS["invoice"],
    "invoice_date": SPELLINGS["invoice_date"],
    "customer_id": (*SPELLINGS["customer_id"], "Customer"),
    "country": SPELLINGS["country"],
}
"""Column -> names of its labels. The general names are left out: an order's number may stand beside the invoice's."""

_COLUMNS = {normalised(name): column for column, names in _NAMES.items() for name in names}


def _label_pattern() -> re.Pattern[str]:
    """Return what finds a label.

    One of several words counts anywhere, with a mark or a value with digits after it; a single word only where a text
    begins, so that "Due Date:" is not taken for "Date:".
    """
    spellings = sorted((re.escape(name) for names in _NAMES.values() for name in names), key=len, reverse=True)
    phrases = "|".join(name.replace(r"\ ", "[ _]?") for name in spellings if r"\ " in name)
    words = "|".join(name for name in spellings if r"\ " not in name)
    return re.compile(
        rf"(?:^|(?<=\s))(?P<phrase>{phrases})(?:\.?\s*[:#]+|\.?(?=\s+[A-Z]?[0-9]))\s*"
        rf"|(?:^|(?<=\s\s))(?P<word>{words})\s*[:#]+\s*",
        re.IGNORECASE,
    )


_LABEL = _label_pattern()


def begins_with_label(line: Line) -> bool:
    """Return whether a line of text begins with a label."""
    return _LABEL.match(line.text) is not None


class Labels:
    """The labels of a document, read from top to bottom."""

    def __init__(self, spellings: dict[str, str]) -> None:
        """Begin without labels.

        Args:
            spellings: Canonical column -> name in the document; gets the names of labels.
        """
        self._spellings = spellings
        self._in_force: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def read_line(self, line: Line) -> bool:
        """Take the labels of a line of text; return whether there was any."""
        text = line.text
        labels: list[tuple[str, str, str]] = []
        found = list(_LABEL.finditer(text))
        for index, label in enumerate(found):
            stop = found[index + 1].start() if index + 1 < len(found) else len(text)
            value = text[label.end() : stop].strip().split("  ")[0].strip()
            name = label["phrase"] or label["word"]
            column = _COLUMNS.get(normalised(name))
            if column is not None and value:
                labels.append((column, name, value))
        if not found:
            for name, value in pairwise(re.split(r"\s{2,}", text)):
                column = _COLUMNS.get(normalised(name))
                if column is not None and canonical(value) is None:
                    labels.append((column, name, value))
        for column, name, value in labels:
            self._take(column, name, value)
        return bool(labels)

    def read_grid(self, grid: Grid) -> None:
        """Take label and value from neighbouring cells of a box that is not a table of lines."""
        for cells in grid.rows:
            for name, value in pairwise((cell or "").strip() for cell in cells):
                column = _COLUMNS.get(normalised(name))
                if column is not None and value and canonical(value) is None:
                    self._take(column, name, value)

    def for_next_row(self) -> dict[str, str]:
        """Return the labels in force, by canonical column; a new invoice number voids those of the invoice before."""
        if self._new:
            known = self._in_force.get("invoice")
            same_invoice = self._new.get("invoice", known) == known
            self._in_force = {**self._in_force, **self._new} if same_invoice else self._new
            self._new = {}
        return self._in_force

    def _take(self, column: str, name: str, value: str) -> None:
        self._new[column] = value
        self._spellings.setdefault(column, name.strip())
