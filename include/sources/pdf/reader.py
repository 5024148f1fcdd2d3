"""PDF invoices and tables, page by page.

A table is found by its header: a ruled grid with the header in one of its first rows, or a line of text whose words
are column names. Labels such as "Invoice No: 536365" above a table fill the columns that the table lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from include.sources.columns import TABLE_COLUMNS, Header, check_required, optional_column_warnings
from include.sources.defects import reject, shortened
from include.sources.layout import moment, only_records, time_belongs
from include.sources.model import CANONICAL_COLUMNS, FileDecisions
from include.sources.pdf.labels import Labels
from include.sources.pdf.layout import Line, Page, pages
from include.sources.pdf.rows import Row
from include.sources.pdf.ruled import RuledTable, table_in
from include.sources.pdf.text_tables import LooseLine, TextTable, table_at
from include.sources.staged import Batch, RecordBuffer


def read_pdf(path: Path, decisions: FileDecisions) -> Iterator[Batch]:
    """Yield the records of a PDF.

    Args:
        path: PDF file.
        decisions: Gets header, extra columns, what was left out, and warnings.

    Raises:
        SourceRejected: corrupt_pdf, encrypted_pdf, image_only_pdf, no_table_in_pdf, missing_columns, duplicate_columns,
            changed_header.
    """
    yield from only_records(_batches(path, decisions), decisions)


def _batches(path: Path, decisions: FileDecisions) -> Iterator[Batch]:
    reader = _Reader(decisions)
    buffer = RecordBuffer()
    for ordinal, row in enumerate(reader.rows(path), start=1):
        buffer.add(ordinal, reader.values(row), row.extras(), row.page)
        if buffer.full:
            yield buffer.batch()
            buffer = RecordBuffer()
    yield buffer.batch()
    reader.conclude()


class _Reader:
    """Goes through the pages of a document, remembering the table and the labels that are in force."""

    def __init__(self, decisions: FileDecisions) -> None:
        self.decisions = decisions
        self.spellings: dict[str, str] = {}
        self.labels = Labels(self.spellings)
        self.extras: dict[str, None] = {}
        self.tables = 0
        self.ruled: Header | None = None
        self.text_table: TextTable | None = None
        self.joins_time: bool | None = None
        self.unused: list[str] = []

    def rows(self, path: Path) -> Iterator[Row]:
        """Yield the rows of all tables in document order."""
        last: Row | None = None
        totals: list[Row] = []
        text_seen = False
        blank: list[int] = []
        for page in pages(path):
            if page.lines or page.grids:
                text_seen = True
            else:
                blank.append(page.number)
            for row in self._page_rows(page):
                if row.is_total():
                    totals.append(row)
                    continue
                if last is not None and row.continues(last):
                    last.cells = [f"{old} {new}".strip() for old, new in zip(last.cells, row.cells, strict=True)]
                    continue
                yield from filter(None, (last, *totals))
                last, totals = row, []
        if not text_seen:
            raise reject("image_only_pdf", line=1, page=1)
        yield from filter(None, (last, *totals))
        if blank:
            self.decisions.warnings.append(f"Pages without any text: {', '.join(map(str, blank[:20]))}.")

    def values(self, row: Row) -> list[str | None]:
        """Return the canonical values of a row."""
        found: list[str | None] = []
        for column in CANONICAL_COLUMNS:
            text = row.cell(column) if column in row.header.positions else row.labels.get(column, "")
            if column == "invoice_date" and row.header.time is not None:
                text = self._with_time(text, row.cells[row.header.time], row.header)
            found.append(text or None)
        return found

    def _with_time(self, date: str, time: str, header: Header) -> str:
        """Return a date with its time of day, if that belongs to it: the first row that has both decides."""
        if not date or not time:
            return date
        if self.joins_time is None:
            self.joins_time = time_belongs([date], [time])
        if not self.joins_time:
            return date
        if header.time in header.extras:
            self.extras.pop(header.extras[header.time])
            header.join_time()
            self.spellings["invoice_date"] = header.spellings["invoice_date"]
        return moment(date, time)

    def conclude(self) -> None:
        """Complete the decisions.

        Raises:
            SourceRejected: no_table_in_pdf, missing_columns.
        """
        if not self.tables:
            raise reject("no_table_in_pdf", columns=", ".join(TABLE_COLUMNS))
        check_required(self.spellings, [*self.spellings.values(), *self.extras])
        self.decisions.header = {name: self.spellings[name] for name in CANONICAL_COLUMNS if name in self.spellings}
        self.decisions.extra_columns = list(self.extras)
        self.decisions.warnings += optional_column_warnings(self.spellings)
        if self.unused:
            self.decisions.warnings.append(
                f"{len(self.unused)} lines of text go with no row and were left out, such as "
                f"{', '.join(self.unused[:3])}."
            )

    def _page_rows(self, page: Page) -> Iterator[Row]:
        tables: list[RuledTable] = []
        for grid in page.grids:
            table = table_in(grid, page.number, self.ruled)
            if table is not None:
                tables.append(table)
            else:
                self.labels.read_grid(grid)
        outside = page.lines_outside([table.grid for table in tables])
        if not tables:
            yield from self._text_rows(page.number, outside)
            return
        self.text_table = None
        for table in sorted(tables, key=lambda table: table.grid.top):
            for line in outside:
                if line.top < table.grid.top:
                    self.labels.read_line(line)
            outside = [line for line in outside if line.top >= table.grid.top]
            self._begin(table.header)
            self.ruled = table.header
            for row in table.rows(page.number):
                yield row if row.is_total() else self._labelled(row)
        for line in outside:
            self.labels.read_line(line)

    def _text_rows(self, page: int, lines: list[Line]) -> Iterator[Row]:
        start = 0
        for index, line in enumerate(lines):
            table = table_at(line, page)
            if table is None:
                continue
            yield from self._section_rows(page, lines[start:index], heading=start == 0)
            self.ruled = None
            self.text_table = table
            self._begin(table.header)
            start = index + 1
        yield from self._section_rows(page, lines[start:])

    def _section_rows(self, page: int, lines: list[Line], heading: bool = False) -> Iterator[Row]:
        """Yield the rows among lines that stand below the header in force, and take the labels between them.

        Args:
            page: Number of the page.
            lines: The lines, top to bottom.
            heading: Whether they stand above the first header of the page.
        """
        if self.text_table is None:
            for line in lines:
                self.labels.read_line(line)
            return
        for found in self.text_table.rows(page, lines):
            if isinstance(found, Row):
                yield found if found.is_total() else self._labelled(found)
            else:
                self._take_loose(page, found, heading)

    def _take_loose(self, page: int, loose: LooseLine, heading: bool) -> None:
        """Take the labels of a line that is of no record; note it if it has none and may have been meant for one."""
        labelled = self.labels.read_line(loose.line)
        meant = loose.between_records or (loose.like_a_cell and not heading)
        if meant and not labelled and not loose.line.text.isdigit():
            self.unused.append(f"{shortened(loose.line.text, 40)!r} on page {page}")

    def _labelled(self, row: Row) -> Row:
        row.labels = self.labels.for_next_row()
        return row

    def _begin(self, header: Header) -> None:
        """Note the columns of a table that begins."""
        self.tables += 1
        for column, spelling in header.spellings.items():
            self.spellings.setdefault(column, spelling)
        self.extras.update(dict.fromkeys(header.extras.values()))
