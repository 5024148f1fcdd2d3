"""PDF invoices and tables, page by page.

A table is found by its header: a ruled grid with the header in one of its first rows, or a line of text whose words
are column names; words below it belong to the column whose gutters they stand between. Labels such as
"Invoice No: 536365" above a table fill the columns that the table lacks.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pdfplumber
from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
from pdfminer.psexceptions import PSException
from pdfplumber.utils.exceptions import MalformedPDFException, PdfminerException

from include.sources.columns import (
    REQUIRED_COLUMNS,
    SPELLINGS,
    Header,
    accepted_spellings,
    canonical,
    optional_column_warnings,
)
from include.sources.defects import reject, shortened
from include.sources.model import CANONICAL_COLUMNS, FileDecisions
from include.sources.staged import Batch, RecordBuffer

TABLE_COLUMNS = ("stock_code", "quantity", "price")
"""Columns a header line must have to begin a table; the others may come from labels."""

LABEL_COLUMNS = ("invoice", "invoice_date", "customer_id", "country")

_BROKEN_PDF = (
    PdfminerException,
    MalformedPDFException,
    PSException,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What pdfminer raises on damaged documents: besides its own errors, whatever its assumptions run into."""

_TAIL_BYTES = 2_048
_WORDS = {"x_tolerance_ratio": 0.15, "keep_blank_chars": False}
_SCAN_SHARE = 0.5
_TOTAL_WORDS = frozenset({"total", "totals", "subtotal", "vat", "balance", "due", "payable", "forward", "continued"})
_WORDS_WITH_TOTALS = _TOTAL_WORDS | {
    *("sub", "grand", "net", "gross", "invoice", "order", "page", "amount", "price", "value", "goods", "units"),
    *("carried", "brought", "on", "of", "the", "next", "overleaf", "gbp"),
    *("in", "incl", "including", "inc", "ex", "excl", "excluding"),
}
_PAGE_NUMBER = re.compile(r"page \d+|(page )?\d+ ?(of|/) ?\d+", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")
_DIGIT = re.compile(r"[0-9]")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+")


def _label_pattern() -> re.Pattern[str]:
    """Return what finds a label.

    One of several words counts anywhere, with a mark or a value with digits after it; a single word only where a text
    begins, so that "Due Date:" is not taken for "Date:".
    """
    spellings = sorted((name for column in LABEL_COLUMNS for name in SPELLINGS[column]), key=len, reverse=True)
    phrases = "|".join(name.replace(" ", "[ _]?") for name in spellings if " " in name)
    words = "|".join(name for name in spellings if " " not in name)
    return re.compile(
        rf"(?:^|(?<=\s))(?P<phrase>{phrases})(?:\.?\s*[:#]+|\.?(?=\s+[A-Z]?[0-9]))\s*"
        rf"|(?:^|(?<=\s\s))(?P<word>{words})\s*[:#]+\s*",
        re.IGNORECASE,
    )


_LABEL = _label_pattern()


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    x0: float
    x1: float
    top: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(slots=True)
class _Line:
    """Words on one base line, from left to right."""

    words: list[_Word]

    @property
    def top(self) -> float:
        return min(word.top for word in self.words)

    @property
    def bottom(self) -> float:
        return max(word.bottom for word in self.words)

    @property
    def height(self) -> float:
        return max(word.height for word in self.words)

    @property
    def text(self) -> str:
        """The words; two spaces stand for a gap wider than between words."""
        parts = [self.words[0].text]
        for left, right in pairwise(self.words):
            parts += ["  " if right.x0 - left.x1 > 0.6 * self.height else " ", right.text]
        return "".join(parts)


@dataclass(slots=True)
class _TextTable:
    """A table without rules: its header and where each header cell stands."""

    header: Header
    spans: list[tuple[float, float]]

    def gutters(self, lines: Sequence[_Line]) -> list[float]:
        """Return the x between each two columns where the fewest words of `lines` stand."""
        words = [word for line in lines for word in line.words]
        return [_emptiest(words, left[1], right[0]) for left, right in pairwise(self.spans)]


def _emptiest(words: Sequence[_Word], low: float, high: float) -> float:
    """Return the middle of the widest stretch between `low` and `high` that the fewest words cover."""
    if high <= low:
        return (low + high) / 2
    edges = sorted({low, high, *(x for word in words for x in (word.x0, word.x1) if low < x < high)})
    stretches: list[tuple[int, float, float]] = []
    for left, right in pairwise(edges):
        covered = sum(1 for word in words if word.x0 < right and word.x1 > left)
        if stretches and stretches[-1][0] == covered:
            stretches[-1] = (covered, stretches[-1][1], right)
        else:
            stretches.append((covered, left, right))
    _, left, right = min(stretches, key=lambda stretch: (stretch[0], stretch[1] - stretch[2]))
    return (left + right) / 2


@dataclass(slots=True)
class _Row:
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
        position = self.header.positions.get(column)
        return "" if position is None else self.cells[position]


_Role: TypeAlias = Literal["record", "wrapped", "loose", "other"]
"""A record; what may be the rest of a wrapped cell; text or a number that is neither; labels, totals, page numbers."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A line below the header of a table without rules."""

    line: _Line
    row: _Row
    role: _Role

    @property
    def reach(self) -> float:
        """How far from its neighbour a line may be and still be of the same record."""
        return 0.9 * self.line.height


def read_pdf(path: Path, decisions: FileDecisions) -> Iterator[Batch]:
    """Yield the records of a PDF.

    Args:
        path: PDF file.
        decisions: Gets header, extra columns and warnings.

    Raises:
        SourceRejected: corrupt_pdf, encrypted_pdf, image_only_pdf, no_table_in_pdf, missing_columns, duplicate_columns.
    """
    _check_end(path)
    reader = _Reader(decisions)
    buffer = RecordBuffer()
    ordinal = 0
    for row in reader.rows(path):
        ordinal += 1
        buffer.add(ordinal, reader.values(row), _extras(row), row.page)
        if buffer.full:
            yield buffer.batch()
            buffer = RecordBuffer()
    yield buffer.batch()
    reader.conclude(ordinal)


def _check_end(path: Path) -> None:
    """Refuse a document without its end mark: the readable part of it would load as if it were the whole."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if b"%%EOF" not in stream.read():
            raise reject("corrupt_pdf", detail="its end is missing")


def _extras(row: _Row) -> str | None:
    values = {name: row.cells[position] for position, name in row.header.extras.items() if row.cells[position]}
    return json.dumps(values, ensure_ascii=False) if values else None


class _Reader:
    """Goes through the pages of a document, remembering the table and the labels that are in force."""

    def __init__(self, decisions: FileDecisions) -> None:
        self.decisions = decisions
        self.labels: dict[str, str] = {}
        self.new_labels: dict[str, str] = {}
        self.spellings: dict[str, str] = {}
        self.extras: dict[str, None] = {}
        self.tables = 0
        self.ruled: Header | None = None
        self.text_table: _TextTable | None = None
        self.cleaned = 0
        self.unused: list[str] = []

    def rows(self, path: Path) -> Iterator[_Row]:
        """Yield the rows of all tables in document order."""
        last: _Row | None = None
        text_seen = False
        blank: list[int] = []
        for number, content in _pages(path):
            if content.lines or content.grids:
                text_seen = True
            else:
                blank.append(number)
            for row in self._page_rows(number, content):
                if last is not None and self._continues(last, row):
                    last.cells = [f"{old} {new}".strip() for old, new in zip(last.cells, row.cells, strict=True)]
                    continue
                if last is not None:
                    yield last
                last = row
        if not text_seen:
            raise reject("image_only_pdf", line=1, page=1)
        if last is not None:
            yield last
        if blank:
            pages = ", ".join(map(str, blank[:20]))
            self.decisions.warnings.append(f"Pages without any text: {pages}.")

    def values(self, row: _Row) -> list[str | None]:
        """Return the canonical values of a row, numbers without the pound sign and thousands commas of print."""
        found: list[str | None] = []
        for column in CANONICAL_COLUMNS:
            text = row.cell(column) if column in row.header.positions else row.labels.get(column, "")
            if column in {"quantity", "price"}:
                plain = _plain_number(text)
                self.cleaned += plain != text
                text = plain
            found.append(text or None)
        return found

    def conclude(self, rows: int) -> None:
        """Complete the decisions.

        Raises:
            SourceRejected: no_table_in_pdf, missing_columns.
        """
        if not self.tables:
            raise reject("no_table_in_pdf", columns=", ".join(TABLE_COLUMNS))
        missing = [column for column in REQUIRED_COLUMNS if column not in self.spellings]
        if missing:
            names = [*self.spellings.values(), *self.extras]
            raise reject(
                "missing_columns",
                missing=", ".join(missing),
                found=", ".join(repr(shortened(name, 40)) for name in names[:20]),
                accepted=accepted_spellings(missing),
            )
        self.decisions.header = {name: self.spellings[name] for name in CANONICAL_COLUMNS if name in self.spellings}
        self.decisions.extra_columns = list(self.extras)
        self.decisions.warnings += optional_column_warnings(self.spellings)
        if self.cleaned:
            self.decisions.warnings.append(
                f"{self.cleaned} printed numbers were read without their pound sign or thousands commas."
            )
        if self.unused:
            self.decisions.warnings.append(
                f"{len(self.unused)} lines of text go with no row and were left out, such as "
                f"{', '.join(self.unused[:3])}."
            )

    def _page_rows(self, number: int, content: _PageContent) -> Iterator[_Row]:
        grids = []
        for grid in content.grids:
            if self._accept(grid):
                grids.append(grid)
            else:
                self._labels_of_grid(grid)
        outside = [line for line in content.lines_outside(grids) if line.words]
        if not grids:
            yield from self._text_rows(number, outside)
            return
        self.text_table = None
        for grid in sorted(grids, key=lambda grid: grid.top):
            for line in outside:
                if line.top < grid.top:
                    self._labels_of_line(line)
            outside = [line for line in outside if line.top >= grid.top]
            yield from self._grid_rows(number, grid)
        for line in outside:
            self._labels_of_line(line)

    # Ruled tables

    def _accept(self, grid: _Grid) -> bool:
        """Return whether a grid is a table of invoice lines, and note its header."""
        for index, cells in enumerate(grid.rows[:3]):
            names = [" ".join((cell or "").split()) for cell in cells]
            if _is_header(names):
                grid.header, grid.body = Header.of(names, grid.page), index + 1
                return True
        if self.ruled is not None and grid.rows and len(grid.rows[0]) == self.ruled.width:
            grid.header, grid.body = self.ruled, 0
            return True
        return False

    def _grid_rows(self, number: int, grid: _Grid) -> Iterator[_Row]:
        assert grid.header is not None  # only accepted grids come here
        self._begin(grid.header)
        self.ruled = grid.header
        for cells in grid.rows[grid.body :]:
            texts = [" ".join((cell or "").split()) for cell in cells]
            row = _Row(number, grid.header, texts)
            if any(texts) and not _is_summary(row) and not _is_header(texts):
                yield self._labelled(row)

    def _labels_of_grid(self, grid: _Grid) -> None:
        """Take label and value from neighbouring cells of a box that is not a table of lines."""
        for cells in grid.rows:
            for label, value in pairwise((cell or "").strip() for cell in cells):
                column = canonical(label)
                if column in LABEL_COLUMNS and value and canonical(value) is None:
                    self._label(column, label, value)

    def _continues(self, last: _Row, row: _Row) -> bool:
        """Return whether `row` is the rest of a row that was cut by the end of a page."""
        if row.page == last.page or row.header.positions != last.header.positions:
            return False
        filled = [position for position, cell in enumerate(row.cells) if cell]
        return filled == [row.header.positions.get("description")]

    # Text tables

    def _text_rows(self, number: int, lines: list[_Line]) -> Iterator[_Row]:
        start = 0
        for index, line in enumerate(lines):
            table = _header_of(line, number)
            if table is None:
                continue
            yield from self._section_rows(number, lines[start:index], heading=start == 0)
            self.ruled = None
            self.text_table = table
            self._begin(table.header)
            start = index + 1
        yield from self._section_rows(number, lines[start:])

    def _section_rows(self, number: int, lines: list[_Line], heading: bool = False) -> Iterator[_Row]:
        """Yield the rows among lines that stand below the header in force, and take the labels between them.

        Args:
            number: Page.
            lines: The lines, top to bottom.
            heading: Whether they stand above the first header of the page.
        """
        table = self.text_table
        if table is None:
            for line in lines:
                self._labels_of_line(line)
            return
        gutters = table.gutters([line for line in lines if not _LABEL.match(line.text)])
        parts: list[_Part] = []
        for line in lines:
            row = _Row(number, table.header, _cells(line, gutters))
            parts.append(_Part(line, row, _role(line, row, gutters)))
        records, left = _records([part for part in parts if part.role in {"record", "wrapped"}])
        others = [part for part in parts if part.role not in {"record", "wrapped"}]
        rest = sorted([*others, *left], key=lambda part: part.line.top)
        for index, record in enumerate(records):
            while rest and rest[0].line.top < record[0].line.top:
                self._rest(rest.pop(0), inside=index > 0, heading=heading)
            columns = zip(*(part.row.cells for part in record), strict=True)
            yield self._labelled(_Row(number, table.header, [" ".join(filter(None, cells)) for cells in columns]))
        for part in rest:
            self._rest(part, inside=False, heading=heading)

    def _rest(self, part: _Part, *, inside: bool, heading: bool) -> None:
        """Take the labels of a line that is of no record, and note it if it has none and may have been meant for one.

        Args:
            part: The line.
            inside: Whether it stands between two records.
            heading: Whether it stands above the first header of a page.
        """
        labelled = self._labels_of_line(part.line)
        meant = inside if part.role == "loose" else part.role == "wrapped" and not heading
        if meant and not labelled and not part.line.text.isdigit():
            self.unused.append(f"{shortened(part.line.text, 40)!r} on page {part.row.page}")

    # Labels

    def _labels_of_line(self, line: _Line) -> bool:
        """Take "Invoice No: 536365" and the like from a line of text; return whether there was any."""
        text = line.text
        labels: list[tuple[str, str, str]] = []
        found = list(_LABEL.finditer(text))
        for index, label in enumerate(found):
            stop = found[index + 1].start() if index + 1 < len(found) else len(text)
            value = text[label.end() : stop].strip().split("  ")[0].strip()
            name = label["phrase"] or label["word"]
            column = canonical(name)
            if column is not None and value:
                labels.append((column, name, value))
        if not found:
            segments = re.split(r"\s{2,}", text)
            for name, value in pairwise(segments):
                column = canonical(name)
                if column in LABEL_COLUMNS and canonical(value) is None:
                    labels.append((column, name, value))
        for column, name, value in labels:
            self._label(column, name, value)
        return bool(labels)

    def _label(self, column: str, name: str, value: str) -> None:
        self.new_labels[column] = value
        self.spellings.setdefault(column, name.strip())

    def _labelled(self, row: _Row) -> _Row:
        """Give the row the labels in force; a new invoice number voids the labels of the invoice before."""
        if self.new_labels:
            renewed = self.new_labels.get("invoice", self.labels.get("invoice")) != self.labels.get("invoice")
            self.labels = dict(self.new_labels) if renewed else {**self.labels, **self.new_labels}
            self.new_labels = {}
        row.labels = self.labels
        return row

    def _begin(self, header: Header) -> None:
        self.tables += 1
        for column, spelling in header.spellings.items():
            self.spellings.setdefault(column, spelling)
        self.extras.update(dict.fromkeys(header.extras.values()))


@dataclass(slots=True)
class _Grid:
    """A ruled table of a page."""

    page: int
    box: tuple[float, float, float, float]
    rows: list[list[str | None]]
    header: Header | None = None
    body: int = 0

    @property
    def top(self) -> float:
        return self.box[1]


@dataclass(slots=True)
class _PageContent:
    """What a page holds, detached from pdfplumber so that the page can be closed."""

    lines: list[_Line]
    grids: list[_Grid]

    def lines_outside(self, grids: Sequence[_Grid]) -> list[_Line]:
        """Return the lines without the words inside `grids`."""
        if not grids:
            return self.lines
        return [
            _Line(words)
            for line in self.lines
            if (words := [word for word in line.words if not any(_inside(word, grid.box) for grid in grids)])
        ]


def _inside(word: _Word, box: tuple[float, float, float, float]) -> bool:
    x = (word.x0 + word.x1) / 2
    return box[0] <= x <= box[2] and box[1] <= word.middle <= box[3]


def _pages(path: Path) -> Iterator[tuple[int, _PageContent]]:
    """Yield the pages of a document one at a time.

    Raises:
        SourceRejected: encrypted_pdf, corrupt_pdf, image_only_pdf.
    """
    try:
        document = pdfplumber.open(path)
    except _BROKEN_PDF as error:
        cause = error.args[0] if error.args else error
        if isinstance(cause, PDFPasswordIncorrect | PDFEncryptionError):
            raise reject("encrypted_pdf") from error
        raise reject("corrupt_pdf", detail=_reason(cause)) from error
    with document:
        try:
            pages = document.pages
        except _BROKEN_PDF as error:
            raise reject("corrupt_pdf", detail=_reason(error)) from error
        if not pages:
            raise reject("corrupt_pdf", detail="it has no pages")
        for number, page in enumerate(pages, start=1):
            try:
                content = _content(page, number)
            except _BROKEN_PDF as error:
                raise reject("corrupt_pdf", line=number, detail=_reason(error)) from error
            finally:
                page.close()
            yield number, content


def _reason(cause: object) -> str:
    return f"{type(cause).__name__} {shortened(str(cause), 80)}".strip()


def _content(page: Any, number: int) -> _PageContent:
    """Return the text lines and ruled tables of a pdfplumber page."""
    if not page.chars:
        area = float(page.width * page.height)
        if any(image["width"] * image["height"] > _SCAN_SHARE * area for image in page.images):
            raise reject("image_only_pdf", line=number, page=number)
        return _PageContent([], [])
    words = [
        _Word(word["text"], float(word["x0"]), float(word["x1"]), float(word["top"]), float(word["bottom"]))
        for word in page.extract_words(**_WORDS)
    ]
    grids = [
        _Grid(number, table.bbox, table.extract(x_tolerance_ratio=_WORDS["x_tolerance_ratio"]))
        for table in page.find_tables()
    ]
    return _PageContent(_lines(words), grids)


def _lines(words: Sequence[_Word]) -> list[_Line]:
    """Return the words gathered into lines, top to bottom."""
    lines: list[_Line] = []
    for word in sorted(words, key=lambda word: word.middle):
        last = lines[-1].words if lines else []
        if last and abs(word.middle - last[0].middle) <= 0.4 * min(word.height, last[0].height):
            last.append(word)
        else:
            lines.append(_Line([word]))
    for line in lines:
        line.words.sort(key=lambda word: word.x0)
    return lines


def _is_header(names: Sequence[str]) -> bool:
    columns = {canonical(name) for name in names}
    return columns.issuperset(TABLE_COLUMNS)


def _header_of(line: _Line, page: int) -> _TextTable | None:
    """Return the table that begins at `line` if its words are column names."""
    names: list[str] = []
    spans: list[tuple[float, float]] = []
    words = line.words
    index = 0
    while index < len(words):
        size = next((n for n in (3, 2, 1) if canonical(_joined(words[index : index + n])) is not None), 1)
        size = min(size, len(words) - index)
        known = canonical(_joined(words[index : index + size])) is not None
        group = words[index : index + size]
        close = bool(spans) and group[0].x0 - spans[-1][1] <= 0.6 * line.height
        if close and not known and canonical(names[-1]) is None:
            names[-1] = f"{names[-1]} {_joined(group)}"
            spans[-1] = (spans[-1][0], group[-1].x1)
        else:
            names.append(_joined(group))
            spans.append((group[0].x0, group[-1].x1))
        index += size
    return _TextTable(Header.of(names, page), spans) if _is_header(names) else None


def _joined(words: Sequence[_Word]) -> str:
    return " ".join(word.text for word in words)


def _cells(line: _Line, gutters: Sequence[float]) -> list[str]:
    """Return the words of a line by column."""
    cells: list[list[str]] = [[] for _ in range(len(gutters) + 1)]
    for word in line.words:
        middle = (word.x0 + word.x1) / 2
        cells[sum(middle > gutter for gutter in gutters)].append(word.text)
    return [" ".join(texts) for texts in cells]


def _role(line: _Line, row: _Row, gutters: Sequence[float]) -> _Role:
    """Return what a line below a header holds."""
    if _LABEL.match(line.text) or _is_summary(row) or _sums_up(line.text):
        return "other"
    stock, quantity, price = (row.cell(column) for column in TABLE_COLUMNS)
    numbers = [text for text in (quantity, price) if _DIGIT.search(text)]
    invoice = row.cell("invoice")
    if len(numbers) == 2 or (numbers and (stock or invoice)) or (stock and invoice):
        return "record"
    if _is_prose(line, gutters):
        return "loose"
    if not numbers:
        return "wrapped"
    # a line with a number and something else is no wrapped text: as a record it is at worst quarantined, never lost
    return "record" if len([cell for cell in row.cells if cell]) > 1 else "loose"


def _is_summary(row: _Row) -> bool:
    """Return whether a row is a total, a page number or the like.

    A row with an invoice number, or with date, quantity and price, is none; nor is one with quantity and price next to
    anything but the plain words of a total: without a stock code it is quarantined, not lost.
    """
    stock, quantity, price = (row.cell(column) for column in TABLE_COLUMNS)
    words = [cell for cell in row.cells if _sums_up(cell)]
    invoice = row.cell("invoice")
    if not words or (stock and stock not in words) or (_DIGIT.search(invoice) and invoice not in words):
        return False
    if not _DIGIT.search(quantity) or not _DIGIT.search(price):
        return True
    description = row.cell("description")
    plain = not any(_DIGIT.search(text) for text in words) and (not description or description in words)
    return plain and not _DIGIT.search(row.cell("invoice_date"))


def _sums_up(text: str) -> bool:
    """Return whether a text is in full the name of a total or a page number: TOTAL ECLIPSE POSTER only begins so."""
    words = set(_LETTERS.findall(text.casefold()))
    return bool(words & _TOTAL_WORDS and words <= _WORDS_WITH_TOTALS) or _PAGE_NUMBER.fullmatch(text) is not None


def _is_prose(line: _Line, gutters: Sequence[float]) -> bool:
    """Return whether the words run across all gutters they meet as closely as within a sentence."""
    gaps = [
        right.x0 - left.x1
        for left, right in pairwise(line.words)
        if any((left.x0 + left.x1) / 2 <= gutter < (right.x0 + right.x1) / 2 for gutter in gutters)
    ]
    return bool(gaps) and max(gaps) < 0.6 * line.height


def _records(parts: Sequence[_Part]) -> tuple[list[list[_Part]], list[_Part]]:
    """Return the lines of each record, its own and those of its wrapped cells, and the lines that go with no record.

    The widest gap between two records parts the lines that go with the one above from those that go with the one below.
    Of gaps equally wide it is the last, for wrapped cells mostly begin on their record's line; the first, if there are
    lines above the first record and none below the last. A line too far from its neighbour goes with no record.
    """
    members = {index: [part] for index, part in enumerate(parts) if part.role == "record"}
    hanging = bool(parts) and parts[0].role != "record" and parts[-1].role == "record"
    used: set[int] = set(members)
    for above, below in pairwise([-1, *members, len(parts)]):
        gaps = {index: _gap(parts, index) for index in range(above + 1, below + 1)}
        first = max(gaps, key=lambda index: (round(gaps[index], 1), -index if hanging else index))
        for index in range(above + 1, first):
            if gaps[index] > parts[index].reach:
                break
            members[above].append(parts[index])
            used.add(index)
        for index in range(below - 1, first - 1, -1):
            if gaps[index + 1] > parts[index].reach:
                break
            members[below].insert(0, parts[index])
            used.add(index)
    return list(members.values()), [part for index, part in enumerate(parts) if index not in used]


def _gap(parts: Sequence[_Part], index: int) -> float:
    """Return the distance between line `index` and the one above it; infinite at either end."""
    if index in {0, len(parts)}:
        return math.inf
    return parts[index].line.top - parts[index - 1].line.bottom


def _plain_number(text: str) -> str:
    """Return a printed number as plain text; what is not clearly a number stays as it is."""
    plain = text.replace("\u2212", "-").replace("£", "").removeprefix("GBP").removesuffix("GBP").strip()
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    return plain if _DIGIT.search(plain) else text
