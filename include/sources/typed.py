"""Columns of typed values, as text: what the same values would be in a CSV file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from include.sources.columns import Header
from include.sources.staged import Batch, Values
from include.sources.text import storable

_ZEROS_AFTER_POINT = r"\.0*$|(\.[0-9]*[1-9])0+$"
_OFFSET = r"([+-][0-9]{2})([0-9]{2})$"


class NoText(Exception):
    """Values of this type, such as lists, are no text."""


def text_of(array: pa.Array) -> pa.Array:
    """Return values as text; null and NaN are null.

    Numbers are exact, without exponent and without zeros after the last decimal. A moment is `2010-12-01 08:26:00`,
    with the offset of its zone if it has one; a length of time is `36:00:00`.

    Raises:
        NoText: If the values are lists, objects or the like.
        pa.ArrowInvalid: If bytes are not UTF-8, or a zone is not known.
    """
    kind = array.type
    if types.is_dictionary(kind):
        return text_of(array.dictionary_decode())
    if types.is_floating(kind):
        # As themselves, not as wider ones: the shortest text of the 4-byte number 2.55 is 2.55.
        single = array.cast(pa.float32()) if types.is_float16(kind) else array
        return _plain(pc.if_else(pc.is_nan(single), None, single).cast(pa.string()))
    if types.is_decimal(kind):
        return _plain(array.cast(pa.string()))
    if types.is_timestamp(kind):
        return _moments(array)
    if types.is_time(kind):
        return _trimmed(array.cast(pa.string()))
    if types.is_duration(kind):
        seconds = array.cast(pa.duration("s")).cast(pa.int64()).to_pylist()
        return pa.array([None if value is None else _hours(value) for value in seconds], pa.string())
    if types.is_date64(kind):
        return array.cast(pa.date32()).cast(pa.string())
    if types.is_nested(kind):
        raise NoText(str(kind))
    try:
        return array.cast(pa.string())
    except pa.ArrowNotImplementedError:
        raise NoText(str(kind)) from None


def _plain(numbers: pa.Array) -> pa.Array:
    """Return numbers in text without exponent, and without zeros after the last decimal."""
    exponents = pc.match_substring(numbers, "e", ignore_case=True)
    if pc.any(exponents).as_py():
        written = [None if text is None else format(Decimal(text), "f") for text in numbers.to_pylist()]
        numbers = pa.array(written, pa.string())
    trimmed = _trimmed(numbers)
    return pc.if_else(pc.equal(trimmed, "-0"), "0", trimmed)


def _trimmed(texts: pa.Array) -> pa.Array:
    """Return texts without the zeros, and the point, that end a fraction."""
    if not pc.any(pc.match_substring(texts, ".")).as_py():
        return texts
    return pc.replace_substring_regex(texts, _ZEROS_AFTER_POINT, r"\1")


def _moments(array: pa.Array) -> pa.Array:
    if array.type.tz is None:
        return _trimmed(array.cast(pa.string()))
    offsets = pc.replace_substring_regex(pc.strftime(array, format="%z"), _OFFSET, r"\1:\2")
    return pc.binary_join_element_wise(_trimmed(pc.local_timestamp(array).cast(pa.string())), offsets, "")


def _hours(seconds: int) -> str:
    sign = "-" if seconds < 0 else ""
    minutes, second = divmod(abs(seconds), 60)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{second:02}"


def batch_of(header: Header, columns: Sequence[pa.Array], numbers: Sequence[int], page: int | None = None) -> Batch:
    """Return a batch of records whose values are text already.

    Args:
        header: What the columns mean.
        columns: Text by position, as many as the header has.
        numbers: Number of each record.
        page: Number of the sheet they are on.
    """
    canonical: dict[str, Values] = {name: columns[position] for name, position in header.positions.items()}
    extras = _extras(header, columns) if header.extras else None
    batch = Batch(numbers, canonical, extras, pages=None if page is None else [page] * len(numbers))
    damaged = [pc.fill_null(pc.match_substring(column, "\0"), False) for column in columns]
    if any(pc.any(found).as_py() for found in damaged):
        _set_damaged_aside(batch, columns, damaged)
    return batch


def _extras(header: Header, columns: Sequence[pa.Array]) -> list[str | None]:
    """Return each record's values of the extra columns as a JSON object, None if all are empty."""
    values = zip(*(columns[position].to_pylist() for position in header.extras), strict=True)
    named = ({name: text for name, text in zip(header.extras.values(), row, strict=True) if text} for row in values)
    return [json.dumps(row, ensure_ascii=False) if row else None for row in named]


def _set_damaged_aside(batch: Batch, columns: Sequence[pa.Array], damaged: Sequence[pa.Array]) -> None:
    """Make records with NUL characters defective ones."""
    rows = [any(row) for row in zip(*(found.to_pylist() for found in damaged), strict=True)]
    sound = pa.array([not row for row in rows])
    batch.columns = {name: pc.if_else(sound, values, None) for name, values in batch.columns.items()}
    batch.extras = (
        None
        if batch.extras is None
        else [None if row else extra for row, extra in zip(rows, batch.extras, strict=True)]
    )
    batch.defects = ["nul_byte" if row else None for row in rows]
    written = zip(*(column.to_pylist() for column in columns), strict=True)
    batch.raws = [
        storable(json.dumps(values, ensure_ascii=False)) if row else None
        for row, values in zip(rows, written, strict=True)
    ]
