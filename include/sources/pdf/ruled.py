"""Tables with rules: a grid with the header in one of its first rows, or of the width of the table before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from include.sources.columns import Header
from include.sources.pdf.layout import Grid
from include.sources.pdf.rows import Row, is_header, is_page_number

_HEADER_ROWS = 3
"""Rows of a grid among which its header may be; titles may stand above it."""


@dataclass(frozen=True, slots=True)
class RuledTable:
    """A grid of invoice lines, its header, and the number of rows down to the header."""

    grid: Grid
    header: Header
    header_rows: int

    def rows(self, page: int) -> Iterator[Row]:
        """Yield the records and totals."""
        for cells in self.grid.rows[self.header_rows :]:
            texts = _texts(cells)
            text = " ".join(filter(None, texts))
            if text and not is_page_number(text) and not is_header(texts):
                yield Row(page, self.header, texts)


def table_in(grid: Grid, page: int, header: Header | None) -> RuledTable | None:
    """Return the table of invoice lines that a grid is, None if it is none.

    Args:
        grid: The grid.
        page: Its page.
        header: Header of the last ruled table; a grid of its width without a header goes on with it.

    Raises:
        SourceRejected: duplicate_columns.
    """
    for index, cells in enumerate(grid.rows[:_HEADER_ROWS]):
        names = _texts(cells)
        if is_header(names):
            return RuledTable(grid, Header.of(names, page), index + 1)
    if header is not None and grid.rows and len(grid.rows[0]) == header.width:
        return RuledTable(grid, header, 0)
    return None


def _texts(cells: list[str | None]) -> list[str]:
    return [" ".join((cell or "").split()) for cell in cells]
