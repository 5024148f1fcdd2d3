"""Parquet: typed values become the exact text they would be in a CSV file."""

from __future__ import annotations

import io
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.source_files import Reject, Stage
from tests.support.workbooks import HEADER, LINE


def parquet(columns: dict[str, Any], rows: int = 1, **options: Any) -> bytes:
    """Return a Parquet file with sound lines, some columns replaced or added."""
    plain = {name: pa.array([value] * rows) for name, value in zip(HEADER, LINE, strict=True)}
    content = io.BytesIO()
    pq.write_table(pa.table(plain | columns), content, **options)
    return content.getvalue()


def test_csv_and_parquet_are_staged_alike(stage: Stage) -> None:
    text = ",".join(HEADER) + "\n536365,85123A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850,France"
    from_parquet = stage(parquet({}), "sales.parquet")
    assert [row | {"line_number": 2} for row in from_parquet.rows] == stage(text).rows
    assert from_parquet.reading.decisions.format == "parquet"


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([Decimal("2.5500"), Decimal("100.0000")], pa.decimal128(18, 4)), ["2.55", "100"]),
        (pa.array([Decimal("12345678901234567.8901"), Decimal("0.0001")]), ["12345678901234567.8901", "0.0001"]),
        (pa.array([Decimal("0.00000001"), Decimal("-3")], pa.decimal256(50, 8)), ["0.00000001", "-3"]),
        (pa.array([2.55, 1e22], pa.float64()), ["2.55", "10000000000000000000000"]),
        (pa.array([2.55, 1.5e-7], pa.float32()), ["2.55", "0.00000015"]),
        (pa.array([0.1 + 0.2, float("nan"), -0.0, 3.0]), ["0.30000000000000004", None, "0", "3"]),
        (pa.array([1.5, None], pa.float16()), ["1.5", None]),
        (pa.array([2**63 - 1, -1]), ["9223372036854775807", "-1"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array(["000123", " a ", ""]), ["000123", " a ", None]),
        (pa.array(["000123"], pa.large_string()), ["000123"]),
        (pa.array(["000123"], pa.string_view()), ["000123"]),
        (pa.array([b"000123", None]), ["000123", None]),
        (pa.array(["x", "y", "x", None]).dictionary_encode(), ["x", "y", "x", None]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([date(2010, 12, 1)]), ["2010-12-01"]),
        (pa.array([time(8, 26)], pa.time64("us")), ["08:26:00"]),
        (pa.array([time(8, 26, 30, 500_000)], pa.time32("ms")), ["08:26:30.5"]),
        (pa.array([datetime(2010, 12, 1, 8, 26)], pa.timestamp("ns")), ["2010-12-01 08:26:00"]),
        (pa.array([datetime(2010, 12, 1), None], pa.timestamp("s")), ["2010-12-01 00:00:00", None]),
        (pa.array([datetime(2010, 12, 1, 8, 26, 0, 120)], pa.timestamp("us")), ["2010-12-01 08:26:00.00012"]),
        (pa.array([datetime(2011, 6, 1, 7, 26)], pa.timestamp("ms", "UTC")), ["2011-06-01 07:26:00+00:00"]),
        (
            pa.array([datetime(2011, 6, 1, 7, 26), datetime(2011, 12, 1, 7, 26)], pa.timestamp("us", "Europe/London")),
            ["2011-06-01 08:26:00+01:00", "2011-12-01 07:26:00+00:00"],
        ),
        (pa.array([datetime(2011, 6, 1, 7, 26)], pa.timestamp("us", "-03:30")), ["2011-06-01 03:56:00-03:30"]),
        (pa.array([12 * 60 * 60], pa.duration("s")), ["12:00:00"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types_are_kept_exactly(stage: Stage, array: pa.Array, texts: list[str | None]) -> None:
    staged = stage(parquet({"Description": array}, rows=len(array)), "sales.parquet")
    assert staged.column("description") == texts
    assert staged.column("line_number") == list(range(1, len(array) + 1))


@pytest.mark.parametrize(
    ("dates", "times", "joined"),
    [
        (["2010-12-01", None], ["08:26", "09:30"], ["2010-12-01 08:26", None]),
        ([date(2010, 12, 1)] * 2, [time(8, 26), None], ["2010-12-01 08:26:00", "2010-12-01"]),
        ([datetime(2010, 12, 1)] * 2, [time(8, 26), time(0)], ["2010-12-01 08:26:00", "2010-12-01 00:00:00"]),
        ([datetime(2010, 12, 1, 7)] * 2, [time(8, 26), time(9)], None),
        (["2010-12-01"] * 2, ["early", "08:00"], None),
    ],
)
def test_a_time_of_day_is_joined_to_its_date(
    stage: Stage, dates: list[Any], times: list[Any], joined: list[str | None] | None
) -> None:
    staged = stage(parquet({"InvoiceDate": pa.array(dates), "Time": pa.array(times)}, rows=2), "sales.parquet")
    decisions = staged.reading.decisions
    if joined is None:
        assert decisions.extra_columns == ["Time"]
        assert all(staged.column("extras"))
    else:
        assert staged.column("invoice_date") == joined
        assert (decisions.extra_columns, staged.column("extras")) == ([], [None, None])
        assert decisions.header["invoice_date"] == "InvoiceDate and Time"


def test_other_columns_are_kept(stage: Stage) -> None:
    columns = {"Colour": pa.array(["red", None]), "Weight": pa.array([Decimal("1.50"), None])}
    staged = stage(parquet(columns, rows=2), "sales.parquet")
    assert staged.column("extras") == ['{"Colour": "red", "Weight": "1.5"}', None]
    assert staged.reading.decisions.extra_columns == ["Colour", "Weight"]


def test_records_with_nul_characters_are_set_aside(stage: Stage) -> None:
    columns = {"Description": pa.array(["A", "B\0", None]), "Colour": pa.array(["red", "green", "blue"])}
    staged = stage(parquet(columns, rows=3), "sales.parquet")
    assert staged.defects == [(2, "nul_byte")]
    assert staged.column("invoice") == ["536365", None, "536365"]
    assert staged.column("extras") == ['{"Colour": "red"}', None, '{"Colour": "blue"}']
    assert '"B\\u0000"' in staged.rows[1]["raw"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1, 2]]),
        pa.array([{"a": 1}]),
        pa.array([b"\xff\xfe"]),
        pa.array([datetime(2011, 1, 1)], pa.timestamp("s", "Nowhere/At_all")),
    ],
)
def test_what_is_no_text_is_refused(rejection: Reject, array: pa.Array) -> None:
    error = rejection(parquet({"Basket": array}), "sales.parquet")
    assert error.code == "unreadable_column"
    assert "'Basket'" in error.problem


def test_many_row_groups(stage: Stage) -> None:
    staged = stage(parquet({}, rows=45_000, row_group_size=1_000), "sales.parquet")
    assert staged.column("line_number") == list(range(1, 45_001))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_cut_off(rejection: Reject, share: float) -> None:
    content = parquet({}, rows=100)
    assert rejection(content[: int(len(content) * share)], "sales.parquet").code == "corrupt_parquet"


def test_damaged_pages(rejection: Reject) -> None:
    content = bytearray(parquet({"Description": pa.array([f"{number:09}" for number in range(100)])}, rows=100))
    content[4:400] = b"\xff" * 396
    assert rejection(bytes(content), "sales.parquet").code == "corrupt_parquet"


def test_missing_columns(rejection: Reject) -> None:
    content = io.BytesIO()
    pq.write_table(pa.table({"Invoice": [1], "Price": [2.5]}), content)
    assert rejection(content.getvalue(), "sales.parquet").code == "missing_columns"
