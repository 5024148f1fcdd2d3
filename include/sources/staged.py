"""The staged Parquet file: its schema, and the writer that makes it appear whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.sources.model import CANONICAL_COLUMNS

SCHEMA = pa.schema(
    [
        pa.field("line_number", pa.int64(), nullable=False),
        pa.field("page", pa.int32()),
        *(pa.field(name, pa.string()) for name in CANONICAL_COLUMNS),
        pa.field("amount", pa.string()),
        pa.field("currency", pa.string()),
        pa.field("occurrence", pa.int32()),
        pa.field("extras", pa.string()),
        pa.field("written", pa.string()),
        pa.field("defect", pa.string()),
        pa.field("raw", pa.string()),
    ]
)
"""One row per line, in the order of the source.

amount: what the line costs in all, where that is not simply quantity x price. currency: its ISO 4217 code, null for the
base currency. occurrence: 2 for the second of equal lines of a file that are sales of their own, and so on; null for
the first. written: the values that were brought to another form, as JSON.
"""

WRITTEN_AS = {"compression": "zstd", "compression_level": 1}
"""How staged files are compressed."""

BATCH_ROWS = 50_000
BATCH_CHARACTERS = 16 << 20

Values: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray
"""One column of text."""


@dataclass(slots=True)
class Batch:
    """Some consecutive records, column by column; a column that is None is null throughout.

    Attributes:
        line_numbers: Where each record starts.
        columns: Canonical column -> values; empty text is stored as null.
        extras: JSON object of the other columns.
        defects: Reason code of a defective record; its values are null.
        raws: Text of a defective record.
        pages: Page of a PDF.
    """

    line_numbers: Sequence[int]
    columns: dict[str, Values]
    extras: Sequence[str | None] | None = None
    defects: Sequence[str | None] | None = None
    raws: Sequence[str | None] | None = None
    pages: Sequence[int] | None = None

    def take(self, rows: Sequence[int]) -> Batch:
        """Return a batch of the records at the indices `rows`."""
        indices = pa.array(rows, pa.int64())
        batch = Batch(
            [self.line_numbers[row] for row in rows],
            {name: text_array(values).take(indices) for name, values in self.columns.items()},
        )
        batch.extras, batch.defects, batch.raws = (
            None if values is None else [values[row] for row in rows]
            for values in (self.extras, self.defects, self.raws)
        )
        batch.pages = None if self.pages is None else [self.pages[row] for row in rows]
        return batch


class RecordBuffer:
    """Collects records one by one into a `Batch`."""

    def __init__(self) -> None:
        self.line_numbers: list[int] = []
        self.pages: list[int] = []
        self.values: list[Sequence[str | None]] = []
        self.extras: list[str | None] = []
        self.defects: list[str | None] = []
        self.raws: list[str | None] = []
        self.characters = 0

    @property
    def full(self) -> bool:
        """Whether it is time to hand on what was collected."""
        return len(self.line_numbers) >= BATCH_ROWS or self.characters >= BATCH_CHARACTERS

    def add(
        self, line_number: int, values: Sequence[str | None], extras: str | None = None, page: int | None = None
    ) -> None:
        """Add a record; `values` are in the order of `CANONICAL_COLUMNS`."""
        self._append(line_number, values, extras, None, None, page)

    def add_defect(self, line_number: int, defect: str, raw: str, page: int | None = None) -> None:
        """Add a defective record by its reason code and text."""
        self._append(line_number, (None,) * len(CANONICAL_COLUMNS), None, defect, raw, page)

    def _append(
        self,
        line_number: int,
        values: Sequence[str | None],
        extras: str | None,
        defect: str | None,
        raw: str | None,
        page: int | None,
    ) -> None:
        self.line_numbers.append(line_number)
        self.values.append(values)
        self.extras.append(extras)
        self.defects.append(defect)
        self.raws.append(raw)
        self.characters += sum(len(value) for value in values if value) + len(extras or "") + len(raw or "")
        if page is not None:
            self.pages.append(page)

    def batch(self) -> Batch:
        """Return what was collected."""
        columns: dict[str, Values] = dict(zip(CANONICAL_COLUMNS, zip(*self.values, strict=True), strict=False))
        return Batch(self.line_numbers, columns, self.extras, self.defects, self.raws, self.pages or None)


class StagedWriter:
    """Writes batches to one Parquet file, which is complete when the `with` block ends.

    Attributes:
        rows: Records written.
        defects: Defective records by reason code.
    """

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self.defects: Counter[str] = Counter()
        self._writer = pq.ParquetWriter(path, SCHEMA, **WRITTEN_AS)

    def __enter__(self) -> StagedWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        rows = len(batch.line_numbers)
        if not rows:
            return
        arrays: list[pa.Array] = [
            _numbers(batch.line_numbers),
            pa.array(batch.pages, pa.int32()) if batch.pages is not None else pa.nulls(rows, pa.int32()),
        ]
        for name in CANONICAL_COLUMNS:
            arrays.append(_strings(batch.columns.get(name), rows))
        arrays += [pa.nulls(rows, pa.string()), pa.nulls(rows, pa.string()), pa.nulls(rows, pa.int32())]
        arrays += [_strings(batch.extras, rows), pa.nulls(rows, pa.string())]
        arrays += [_strings(batch.defects, rows), _strings(batch.raws, rows)]
        self._writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
        self.rows += rows
        if batch.defects is not None:
            self.defects.update(code for code in batch.defects if code is not None)


def _numbers(values: Sequence[int]) -> pa.Array:
    """Return line numbers as an Arrow array; a range by way of NumPy, which Arrow reads many times faster."""
    return pa.array(np.arange(values.start, values.stop) if isinstance(values, range) else values, pa.int64())


def _strings(values: Values | None, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, pa.string())
    array = text_array(values)
    empty = pc.equal(array, "")
    return pc.if_else(empty, None, array) if pc.any(empty).as_py() else array


def text_array(values: Values) -> pa.Array:
    """Return a column of a batch as one Arrow array of text."""
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.array(values, pa.string())
