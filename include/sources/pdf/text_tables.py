"""Tables without rules: a line of column names, and words below it in the column between whose gutters they stand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from include.sources.columns import TABLE_COLUMNS, Header, canonical
from include.sources.layout import says_total_of
from include.sources.pdf.labels import begins_with_label
from include.sources.pdf.layout import WORD_GAP, Line, Word
from include.sources.pdf.rows import DIGIT, Row, is_header, is_page_number

_LINE_GAP = 0.9
"""Widest gap between lines of one record, in heights of a line."""

_Role: TypeAlias = Literal["record", "total", "wrapped", "loose", "other"]
"""A record; a total; what may be the rest of a wrapped cell; text or a number that is none of these; labels, page
numbers, and totals whose words run over columns."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table without rules: its header and where each header cell stands."""

    header: Header
    spans: list[tuple[float, float]]

    def rows(self, page: int, lines: Sequence[Line]) -> Iterator[Row | LooseLine]:
        """Yield the records and totals among lines below the header, and the other lines, from top to bottom."""
        gutters = self._gutters([line for line in lines if not begins_with_label(line)])
        parts: list[_Part] = []
        for line in lines:
            row = Row(page, self.header, _cells(line, gutters))
            parts.append(_Part(line, row, _role(line, row, gutters)))
        records, left = _records([part for part in parts if part.role in {"record", "wrapped"}])
        others = [part for part in parts if part.role not in {"record", "wrapped"}]
        rest = sorted([*others, *left], key=lambda part: part.line.top)
        for index, record in enumerate(records):
            while rest and rest[0].line.top < record[0].line.top:
                yield _left(rest.pop(0), inside=index > 0)
            columns = zip(*(part.row.cells for part in record), strict=True)
            yield Row(page, self.header, [" ".join(filter(None, cells)) for cells in columns])
        for part in rest:
            yield _left(part, inside=False)

    def _gutters(self, lines: Sequence[Line]) -> list[float]:
        """Return the x between each two columns where the fewest words of `lines` stand."""
        words = [word for line in lines for word in line.words]
        return [_emptiest(words, left[1], right[0]) for left, right in pairwise(self.spans)]


@dataclass(frozen=True, slots=True)
class LooseLine:
    """A line below the header of a table that is of no record.

    Attributes:
        between_records: It may have been meant for one of the records above and below it.
        like_a_cell: It looks like the rest of a cell.
    """

    line: Line
    between_records: bool
    like_a_cell: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A line below the header of a table without rules."""

    line: Line
    row: Row
    role: _Role

    @property
    def reach(self) -> float:
        """How far from its neighbour a line may be and still be of the same record."""
        return _LINE_GAP * self.line.height


def _left(part: _Part, *, inside: bool) -> Row | LooseLine:
    """Return what a line of no record is, given whether it stands between two records."""
    if part.role == "total":
        return part.row
    return LooseLine(part.line, inside and part.role == "loose", part.role == "wrapped")


def table_at(line: Line, page: int) -> TextTable | None:
    """Return the table that begins at `line` if its words are column names.

    Raises:
        SourceRejected: duplicate_columns.
    """
    names: list[str] = []
    spans: list[tuple[float, float]] = []
    words = line.words
    index = 0
    while index < len(words):
        sizes = (
            n
            for n in (3, 2, 1)
            if _close(words[index : index + n], line) and canonical(_joined(words[index : index + n]))
        )
        size = next(sizes, 1)
        group = words[index : index + size]
        known = canonical(_joined(group)) is not None
        close = index > 0 and _close([words[index - 1], group[0]], line)
        if close and not known and canonical(names[-1]) is None:
            names[-1] = f"{names[-1]} {_joined(group)}"
            spans[-1] = (spans[-1][0], group[-1].x1)
        else:
            names.append(_joined(group))
            spans.append((group[0].x0, group[-1].x1))
        index += len(group)
    return TextTable(Header.of(names, page), spans) if is_header(names) else None


def _close(words: Sequence[Word], line: Line) -> bool:
    """Return whether words of a line stand as close as those of one phrase."""
    return all(right.x0 - left.x1 <= WORD_GAP * line.height for left, right in pairwise(words))


def _joined(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _emptiest(words: Sequence[Word], low: float, high: float) -> float:
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


def _cells(line: Line, gutters: Sequence[float]) -> list[str]:
    """Return the words of a line by column."""
    cells: list[list[str]] = [[] for _ in range(len(gutters) + 1)]
    for word in line.words:
        cells[sum(word.center > gutter for gutter in gutters)].append(word.text)
    return [" ".join(texts) for texts in cells]


def _role(line: Line, row: Row, gutters: Sequence[float]) -> _Role:
    """Return what a line below a header holds."""
    if begins_with_label(line) or is_page_number(line.text):
        return "other"
    if row.is_total():
        return "total"
    stock, quantity, price = (row.cell(column) for column in TABLE_COLUMNS)
    if not DIGIT.search(stock) and says_total_of(line.text):
        return "other"
    numbers = [text for text in (quantity, price) if DIGIT.search(text)]
    invoice = row.cell("invoice")
    if len(numbers) == 2 or (numbers and (stock or invoice)) or (stock and invoice):
        return "record"
    if _is_prose(line, gutters):
        return "loose"
    if not numbers:
        return "wrapped"
    # a line with a number and something else is no wrapped text: as a record it is at worst quarantined, never lost
    return "record" if len([cell for cell in row.cells if cell]) > 1 else "loose"


def _is_prose(line: Line, gutters: Sequence[float]) -> bool:
    """Return whether the words run across all gutters they meet as closely as within a sentence."""
    gaps = [
        right.x0 - left.x1
        for left, right in pairwise(line.words)
        if any(left.center <= gutter < right.center for gutter in gutters)
    ]
    return bool(gaps) and max(gaps) < WORD_GAP * line.height


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
