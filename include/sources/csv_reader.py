"""CSV, parsed by the standard library line by line, so that a stray quote spoils one record and not the rest."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from include.sources.columns import ColumnNames, Header, canonical, missing_columns
from include.sources.defects import reject
from include.sources.layout import moments, only_records, time_belongs
from include.sources.model import FileDecisions
from include.sources.profiles.names import Layouts
from include.sources.staged import Batch, Values
from include.sources.text import LineBlock, TextEncoding, line_blocks, storable

DELIMITERS = (",", ";", "\t", "|")
MAX_RECORD_LINES = 50
"""Physical lines over which one quoted record may run."""

HEADER_LINES = 200
"""Physical lines among which the header is looked for."""

_NUMBER = re.compile(r"\s*[+-]?[0-9]+([.,][0-9]+)?\s*")
_DATE = re.compile(r"\s*[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}")
_BLANK = " \t\r\n\x1a"
_SEPARATOR_HINT = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_SAMPLE_LINES = 200

# The parser's own limit of 128 KiB a field is global and lower than ours; lines are bounded before they reach it.
csv.field_size_limit(2**31 - 1)


@dataclass(slots=True)
class _Record:
    """A parsed record, or the reason why there is none.

    Attributes:
        lines: Physical lines it takes up; 0 if the lines at hand end before it does.
    """

    lines: int
    values: list[str] | None = None
    defect: str | None = None


def read_csv(
    path: Path, encoding: TextEncoding, max_line_bytes: int, decisions: FileDecisions, layouts: Layouts
) -> Iterator[Batch]:
    """Yield the records of a CSV file.

    Args:
        path: Text file.
        encoding: As detected.
        max_line_bytes: Longest physical line that is read.
        decisions: Gets delimiter, profile, header, extra columns and warnings.
        layouts: Those it may have.

    Raises:
        SourceRejected: empty_file, header_too_long, missing_columns, duplicate_columns, ambiguous_profile.
    """
    blocks = line_blocks(path, encoding, max_line_bytes)
    table, rest = _open_table(blocks, max_line_bytes, encoding, decisions, layouts)
    header = table.header
    decisions.delimiter = table.delimiter
    decisions.header = dict(header.spellings)
    decisions.extra_columns = list(header.extras.values())
    decisions.warnings += table.meaning.warnings(header.positions)
    yield from only_records(table.batches(rest), decisions, table.split, table.meaning)


@dataclass(slots=True)
class _Names:
    """A line read as column names.

    Attributes:
        line: Its number.
        text: The line.
        names: Its values.
        delimiter: What parts them.
        lines: Physical lines it takes up.
    """

    line: int
    text: str
    names: list[str]
    delimiter: str
    lines: int = 1


def _open_table(
    blocks: Iterator[LineBlock],
    max_line_bytes: int,
    encoding: TextEncoding,
    decisions: FileDecisions,
    layouts: Layouts,
) -> tuple[_Table, Iterable[LineBlock]]:
    """Return the table under the header, and the blocks with the lines down to the header removed.

    The header is the first of the lines that are the column names of a layout. Lines above it are told as title rows.
    """
    head = LineBlock(1, [])
    hint: str | None = None
    above: list[_Names] = []
    for index in range(HEADER_LINES):
        while index >= len(head.lines) and (more := next(blocks, None)):
            head = head.followed_by(more)
        if index >= len(head.lines):
            break
        line = head.lines[index]
        if not line.strip(_BLANK):
            continue
        if index in head.overlong:
            raise reject("header_too_long", line=index + 1, value=line, limit=max_line_bytes)
        separator = _SEPARATOR_HINT.fullmatch(line)
        if hint is None and separator:
            hint = separator[1]
            continue
        while '"' in line and len(head.lines) < index + MAX_RECORD_LINES and (more := next(blocks, None)):
            head = head.followed_by(more)
        found = _names_at(head, index, (hint,) if hint is not None else DELIMITERS, layouts)
        meaning = layouts.of_header(found.names, "csv")
        if meaning is not None:
            decisions.profile = meaning.profile
            for title in above:
                decisions.leave_out("title row", title.line, storable(title.text.strip()))
            header = Header.of([storable(name) for name in found.names], found.line, meaning)
            table = _Table(header, found.delimiter, encoding, meaning)
            records = sum(table.begins(head, title.line - head.first) for title in above)
            if records:
                decisions.warnings.append(
                    f"{records} lines above the column names look like records; they were left out. Put the line with "
                    "the column names above all records."
                )
            below = head.after(index + found.lines)
            table.decide_time(below)
            return table, chain([below], blocks)
        above.append(found)
    if not above:
        raise reject("empty_file")
    nearest = max(above, key=lambda names: layouts.known(names.names, "csv"))
    present = {canonical(name) for name in nearest.names}
    raise missing_columns(present, nearest.names, line=nearest.line, value=storable(nearest.text.strip()))


def _names_at(block: LineBlock, index: int, delimiters: Sequence[str], layouts: Layouts) -> _Names:
    """Return line `index` of the block as column names.

    Of the delimiters, the one that yields most known names is right. A quoted name may run over lines, but not over
    records.
    """
    line, number = block.lines[index], block.first + index
    best = _Names(number, line, [], delimiters[0])
    for delimiter in delimiters:
        readings = [_Names(number, line, next(csv.reader([line], delimiter=delimiter)), delimiter)]
        names, lines = _parsed(block, index, delimiter)
        if names is not None and lines > 1 and not any(_DATE.search(name) for name in names):
            readings.append(_Names(number, line, names, delimiter, lines))
        best = max(
            best, *readings, key=lambda names: (layouts.known(names.names, "csv"), names.lines, len(names.names))
        )
    return best


def _parsed(block: LineBlock, index: int, delimiter: str) -> tuple[list[str] | None, int]:
    """Return the values from line `index` on, None if quotes do not balance, and how many lines were read."""
    stop = min((i for i in block.overlong if i > index), default=len(block.lines))
    available = islice(block.lines, index, min(stop, index + MAX_RECORD_LINES))
    reader = csv.reader(available, delimiter=delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return None, reader.line_num


class _Table:
    """The records below one header."""

    def __init__(self, header: Header, delimiter: str, encoding: TextEncoding, meaning: ColumnNames) -> None:
        self.header = header
        self.meaning = meaning
        self.delimiter = delimiter
        self.damage = encoding.damage
        self.time: int | None = None

    def decide_time(self, block: LineBlock) -> None:
        """Decide by the first records in `block` whether a column of times belongs to the dates."""
        if self.header.time is None:
            return
        rows = [self.split(line) for line in block.lines[:_SAMPLE_LINES]]
        rows = [row for row in rows if len(row) == self.header.width]
        date, time = self.header.positions["invoice_date"], self.header.time
        if time_belongs([row[date] for row in rows], [row[time] for row in rows]):
            self.time = time
            self.header.join_time()

    def split(self, line: str) -> list[str]:
        """Return the values of one line, whatever is wrong with it."""
        return next(csv.reader([line], delimiter=self.delimiter), [])

    def batches(self, blocks: Iterable[LineBlock]) -> Iterator[Batch]:
        """Yield the records of the lines below the header."""
        left = LineBlock(1, [])
        for block in blocks:
            if left.lines:
                block = left.followed_by(block)
                left = LineBlock(1, [])
            batch = self._plain(block)
            if batch is None:
                batch, left = self._careful(block, at_end=False)
            yield batch
        if left.lines:
            batch, _ = self._careful(left, at_end=True)
            yield batch

    def _plain(self, block: LineBlock) -> Batch | None:
        """Return the block's records if each physical line is exactly one sound record, else None.

        Lines without a quote can only be split at the delimiters, which Arrow does; the others must each satisfy the
        strict parser alone: as many records as lines means that no quoted field ran over a line end.
        """
        if block.suspect or block.overlong:
            return None
        quoted = [line for line in block.lines if '"' in line]
        try:
            widths = [len(row) for row in csv.reader(quoted, delimiter=self.delimiter, strict=True)]
            if len(widths) != len(quoted) or not set(widths) <= {self.header.width}:
                return None
            table = self._split(block.lines)
        except (csv.Error, pa.ArrowInvalid):
            return None
        numbers: Sequence[int] = range(block.first, block.first + len(block.lines))
        if table.num_rows != len(block.lines):
            numbers = [number for number, line in zip(numbers, block.lines, strict=True) if line.strip("\r\n")]
            if table.num_rows != len(numbers):
                return None
        columns = self._columns(table.columns)
        extras = None
        if self.header.extras:
            values = (table.column(position).to_pylist() for position in self.header.extras)
            extras = [self._extras(row) for row in zip(*values, strict=True)]
        return Batch(numbers, columns, extras)

    def _split(self, lines: list[str]) -> pa.Table:
        """Return the lines as a table of text columns; Arrow raises ArrowInvalid if their widths differ."""
        data = "".join(lines).encode("utf-8")
        names = [str(position) for position in range(self.header.width)]
        return pa_csv.read_csv(
            pa.py_buffer(data),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            parse_options=pa_csv.ParseOptions(delimiter=self.delimiter),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )

    def _careful(self, block: LineBlock, at_end: bool) -> tuple[Batch, LineBlock]:
        """Return the block's records one by one, and the lines of a record that may go on in the next block."""
        numbers: list[int] = []
        rows: list[list[str]] = []
        defects: list[str | None] = []
        raws: list[str | None] = []
        blank = [""] * self.header.width
        index = 0
        while index < len(block.lines):
            line = block.lines[index]
            if not line.strip(_BLANK) and self.delimiter not in line:
                index += 1
                continue
            record = self._record(block, index, at_end)
            if record.lines == 0:
                break
            numbers.append(block.first + index)
            rows.append(blank if record.values is None else record.values)
            defects.append(record.defect)
            raw = "".join(block.lines[index : index + record.lines]) if record.defect else None
            raws.append(storable(raw.rstrip("\r\n")) if raw is not None else None)
            index += record.lines
        return self._batch(numbers, rows, defects, raws), block.after(index)

    def _record(self, block: LineBlock, index: int, at_end: bool) -> _Record:
        """Return the record that starts at line `index` of the block."""
        if index in block.overlong:
            return _Record(1, defect="line_too_long")
        values, used = _parsed(block, index, self.delimiter)
        at_hand = len(block.lines) - index
        if not at_end and (used >= at_hand if values is None else used > 1 and used + MAX_RECORD_LINES > at_hand):
            return _Record(0)
        lines = block.lines[index : index + used]
        whole = values is not None and (used == 1 or len(values) == self.header.width)
        if values is None or not whole or any(self.begins(block, index + i) for i in range(1, used)):
            return _Record(1, defect=self._damage_of(block.lines[index]) or "unbalanced_quote")
        damage = self._damage_of("".join(lines)) if block.suspect else None
        if damage:
            return _Record(used, defect=damage)
        if len(values) != self.header.width:
            few = len(values) < self.header.width
            return _Record(used, defect="too_few_columns" if few else "too_many_columns")
        return _Record(used, values)

    def _damage_of(self, text: str) -> str | None:
        if "\0" in text:
            return "nul_byte"
        if self.damage is not None and self.damage.search(text):
            return "undecodable_bytes"
        return None

    def begins(self, block: LineBlock, index: int) -> bool:
        """Return whether a record seems to begin at line `index`: a quoted field must not run across it.

        An odd number of quotes is no record's beginning: one of them closes a field that began on a line above.
        """
        if not block.lines[index].strip(_BLANK):
            return False
        values, used = _parsed(block, index, self.delimiter)
        if values is None or len(values) != self.header.width:
            return False
        if sum(line.count('"') for line in block.lines[index : index + used]) % 2:
            return False
        cell = {name: values[position] for name, position in self.header.positions.items()}
        signs = [
            _NUMBER.fullmatch(cell.get("quantity", "")),
            _NUMBER.fullmatch(cell.get("price", "")),
            _DATE.match(cell.get("invoice_date", "")),
        ]
        named = all(cell[name].strip() for name in ("invoice", "stock_code") if name in cell)
        return named and sum(sign is not None for sign in signs) >= min(2, len(cell))

    def _batch(
        self,
        numbers: Sequence[int],
        rows: Sequence[Sequence[str]],
        defects: Sequence[str | None] | None = None,
        raws: Sequence[str | None] | None = None,
    ) -> Batch:
        by_position = list(zip(*rows, strict=True)) or [()] * self.header.width
        columns = self._columns(by_position)
        extras = None
        if self.header.extras:
            extras = [self._extras([row[position] for position in self.header.extras]) for row in rows]
        return Batch(numbers, columns, extras, defects, raws)

    def _columns(self, by_position: Sequence[Values]) -> dict[str, Values]:
        """Return the canonical columns out of all."""
        columns = {name: by_position[position] for name, position in self.header.positions.items()}
        if self.time is not None:
            columns["invoice_date"] = moments(columns["invoice_date"], by_position[self.time])
        return columns

    def _extras(self, values: Sequence[str]) -> str | None:
        """Return a record's values of the extra columns as a JSON object, None if all are empty."""
        named = {name: value for name, value in zip(self.header.extras.values(), values, strict=True) if value}
        return json.dumps(named, ensure_ascii=False) if named else None
