"""Made-up source content, and ways to read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from include.sources.csv_reader import read_csv
from include.sources.model import FileDecisions, SourceReading, SourceRejected
from include.sources.profiles.names import Layouts
from include.sources.staged import Batch
from include.sources.text import encoding_of

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
LIMIT = 1 << 20


@dataclass(frozen=True)
class Staged:
    """What staging made of a file: the reading, and the rows of the Parquet file."""

    reading: SourceReading
    rows: list[dict[str, Any]]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def sound(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["defect"] is None]

    @property
    def defects(self) -> list[tuple[int, str]]:
        return [(row["line_number"], row["defect"]) for row in self.rows if row["defect"] is not None]

    @property
    def warnings(self) -> str:
        return " ".join(self.reading.decisions.warnings)


class Stage(Protocol):
    def __call__(self, content: str | bytes | Path, name: str = ..., **options: Any) -> Staged: ...


class Reject(Protocol):
    def __call__(self, content: str | bytes | Path, name: str = ..., **options: Any) -> SourceRejected: ...


def csv_lines(count: int, header: str = HEADER) -> list[str]:
    """Return a header and `count` sound lines."""
    line = "{invoice},8512{digit}A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850.0,France"
    return [header, *(line.format(invoice=536365 + index, digit=index % 10) for index in range(count))]


def text_of(lines: Iterable[str], end: str = "\n") -> str:
    return "".join(line + end for line in lines)


def csv_with_dates(*dates: str) -> str:
    return text_of([HEADER, *(f"536365,85123A,MEADOW MUG,6,{date},2.55,17850,France" for date in dates)])


def csv_with_prices(*prices: str) -> str:
    rows = (f"536365;85123A;MEADOW MUG;2;2010-12-01 08:26:00;{price};17850;France" for price in prices)
    return text_of([HEADER.replace(",", ";"), *rows])


def read_rows(path: Path, max_line_bytes: int = LIMIT) -> list[tuple[int, str | None, tuple[str | None, ...]]]:
    """Read a CSV file without staging it: line number, defect and values of each record."""
    decisions = FileDecisions(format="csv")
    batches = read_csv(path, encoding_of(path), max_line_bytes, decisions, Layouts())
    return [row for batch in batches for row in _rows_of(batch)]


def _rows_of(batch: Batch) -> Iterator[tuple[int, str | None, tuple[str | None, ...]]]:
    columns = [
        [value if isinstance(value, str | None) else value.as_py() for value in column]
        for column in batch.columns.values()
    ]
    defects = batch.defects or [None] * len(batch.line_numbers)
    yield from zip(batch.line_numbers, defects, zip(*columns, strict=True), strict=True)
