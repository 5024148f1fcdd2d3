"""Parquet: the records with their typed values as exact text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.sources.columns import USUAL, Header
from include.sources.defects import reject
from include.sources.layout import moments, time_belongs
from include.sources.model import FileDecisions
from include.sources.profiles.names import Layouts
from include.sources.staged import Batch
from include.sources.typed import NoText, batch_of, text_of

_BATCH_ROWS = 20_000
_SAMPLE_ROWS = 200


def read_parquet(path: Path, decisions: FileDecisions, layouts: Layouts) -> Iterator[Batch]:
    """Yield the records of a Parquet file; their numbers count from 1.

    Args:
        path: The file.
        decisions: Gets profile, header, extra columns and warnings.
        layouts: Those it may have.

    Raises:
        SourceRejected: corrupt_parquet, unreadable_column, missing_columns, duplicate_columns, ambiguous_profile.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _records(file, decisions, layouts)
    except (pa.ArrowException, OSError) as error:
        raise reject("corrupt_parquet", detail=str(error).splitlines()[0]) from error


def _records(file: pq.ParquetFile, decisions: FileDecisions, layouts: Layouts) -> Iterator[Batch]:
    names = file.schema_arrow.names
    meaning = layouts.of_header(names, "parquet") or USUAL
    header = Header.of(names, meaning=meaning)
    meaning.check(header.positions, names)
    decisions.profile = meaning.profile
    date, time = header.positions.get("invoice_date", -1), header.time
    first, joined = 1, False
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        columns = [_text(name, column) for name, column in zip(names, batch.columns, strict=True)]
        if time is not None:
            if first == 1 and time_belongs(*(_sample(columns[position]) for position in (date, time))):
                header.join_time()
                joined = True
            if joined:
                columns[date] = moments(columns[date], columns[time])
        yield batch_of(header, columns, range(first, first + batch.num_rows))
        first += batch.num_rows
    decisions.header = dict(header.spellings)
    decisions.extra_columns = list(header.extras.values())
    decisions.warnings += meaning.warnings(header.positions)


def _sample(column: pa.Array) -> list[str]:
    return [text or "" for text in column.slice(0, _SAMPLE_ROWS).to_pylist()]


def _text(name: str, column: pa.Array) -> pa.Array:
    try:
        return text_of(column)
    except (NoText, pa.ArrowInvalid):
        raise reject("unreadable_column", name=repr(name), type=column.type) from None
