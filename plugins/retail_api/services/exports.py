"""Exports of invoice lines: read by a cursor on the server and written as they come, so that memory does not grow."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Date, DateTime, Integer, Numeric, Text

from include.domain.money import number, printed
from include.failover import Warehouse
from include.quality.sender_report import inert
from retail_api.data.cache import DataCache
from retail_api.data.sales import COLUMNS, SalesRepository
from retail_api.data.sink import Sink
from retail_api.domain.errors import TooBusy
from retail_api.domain.sales import ExportQuery

EXPORT_SECONDS = 900.0
"""How long an export may take, slow clients included; it holds a connection."""

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}

_RETRY_SECONDS = 10


@dataclass(frozen=True)
class Export:
    """A file that is being made.

    Attributes:
        headers: Headers that name the side that gives the lines.
        chunks: The file's content.
        close: Gives back what the export holds; to be called whether or not the content was read to its end.
    """

    headers: dict[str, str]
    chunks: Iterator[bytes]
    close: Callable[[], None]


class ExportPlaces:
    """Limits exports at a time: `most` in all, one of each user."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._users: set[str] = set()
        self._lock = threading.Lock()

    def take(self, username: str) -> bool:
        """Return whether a user may begin an export; `give_back` ends it."""
        with self._lock:
            if username in self._users or len(self._users) >= self._most:
                return False
            self._users.add(username)
            return True

    def give_back(self, username: str) -> None:
        """End the export of a user."""
        with self._lock:
            self._users.discard(username)


class ExportService:
    """Streams invoice lines on the active side of the warehouse."""

    def __init__(self, warehouse: Warehouse, cache: DataCache, places: ExportPlaces) -> None:
        """Take what is shared.

        Args:
            warehouse: Where the lines are.
            cache: What was read of the data before.
            places: Limits exports at a time, as each holds a connection.
        """
        self._warehouse = warehouse
        self._cache = cache
        self._places = places

    def open(self, query: ExportQuery, username: str) -> Export:
        """Return an export that has begun: what prevents it is raised here, not in the middle of the file.

        Raises:
            TooBusy: If as many exports as may run are running, or one of the user's is.
            WarehouseUnavailable: If neither side answers.
        """
        if not self._places.take(username):
            raise TooBusy(
                f"Other exports are running, or one of yours is. Try again in {_RETRY_SECONDS} seconds.",
                retry_seconds=_RETRY_SECONDS,
            )
        with ExitStack() as stack:
            stack.callback(self._places.give_back, username)
            answer = stack.enter_context(self._warehouse.connection(timeout_seconds=EXPORT_SECONDS))
            sales = SalesRepository(answer.value, self._cache)
            write = _csv if query.format == "csv" else _parquet
            lines = sales.stream(sales.select(query))
            stack.callback(lines.close)  # the cursor goes before its connection does
            chunks = write(lines)
            first = next(chunks, b"")
            return Export(answer.headers, chain([first], chunks), stack.pop_all().close)


def _csv(batches: Iterator[Sequence[Any]]) -> Iterator[bytes]:
    """Yield a CSV in UTF-8 with a header."""
    texts = [place for place, column in enumerate(COLUMNS) if isinstance(column.type, Text)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.name for column in COLUMNS])
    for rows in batches:
        for row in rows:
            values = list(row)
            for place in texts:
                if values[place]:
                    values[place] = inert(values[place])
            for place in _MONEY:
                values[place] = printed(values[place])
            values[_QUANTITY] = number(values[_QUANTITY])
            values[_MOMENT] = values[_MOMENT].isoformat()
            writer.writerow(values)
        yield _taken(text)
    yield _taken(text)


_NAMES = [column.name for column in COLUMNS]
_MOMENT, _QUANTITY = _NAMES.index("invoice_date"), _NAMES.index("quantity")
_MONEY = [_NAMES.index(name) for name in ("unit_price", "total", "original_unit_price", "original_amount")]


def _taken(text: io.StringIO) -> bytes:
    content = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return content


def _parquet(batches: Iterator[Sequence[Any]]) -> Iterator[bytes]:
    """Yield a Parquet file with a row group for each batch."""
    schema = pa.schema([pa.field(column.name, _arrow_type(column.type)) for column in COLUMNS])
    sink = Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for rows in batches:
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array([str(value) for value in values] if field.name == "id" else values, field.type)
                for field, values in zip(schema, columns, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.take()
    yield sink.take()


def _arrow_type(kind: Any) -> pa.DataType:
    match kind:
        case Numeric():
            return pa.decimal128(kind.precision or 38, kind.scale or 0)
        case Integer():
            return pa.int32()
        case DateTime():
            return pa.timestamp("us")
        case Date():
            return pa.date32()
        case _:
            return pa.string()  # of texts and ids
