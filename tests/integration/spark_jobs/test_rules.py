"""One declaration, one verdict: Pydantic and Spark judge every line alike."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from include.domain.line import violations
from include.sources.canonical import StagedValues
from spark_jobs.lines import normalised, parsed
from spark_jobs.rules import may_name_day

PIECES: dict[str, list[str | None]] = {
    "invoice": ["489434", "C489449", "A506401", "a1", "INV-2024/001", "", " 5 ", "53 65", "x" * 21, "ß12", "12\n"],
    "stock_code": ["85123A", "gift_0001_20", "BANK CHARGES", "m", "é", "-1", "47503J ", "a" * 31, "15\u00a0CM"],
    "description": ["MUG", "  TWO  SPACES ", "\u00a0", "é" * 500, "é" * 501, "line\nbreak"],
    "quantity": [
        "6",
        "-1",
        "+3",
        "6.0",
        "6.00",
        "6.5",
        "1e3",
        "",
        "12x",
        "٣",
        "1000000",
        "1000001",
        "999999999",
        "7,0",
        "1.000",
        "1,000",
        "1.000,0",
        "1.5",
        "0.0001",
        "2.00010",
        "2.55555",
        "123456789.1234",
    ],
    "invoice_date": [
        "2010-12-01 08:26:00",
        "2010-12-01T08:26",
        "2010-12-1",
        "2010-12-011 08:26",
        "1/12/2010 8:26",
        "12/31/2010 8:26",
        "31.12.2010",
        "2010-02-30 10:00",
        "2010-12-01 24:00",
        "2010-12-01 23:59:60",
        "2010-12-01 08:26:00.5",
        "2010-12-01 08:26:00.123456",
        "0012-12-01",
        "99-1-1",
        "1-1-99",
        "1989-12-31 23:59:59",
        "1990-01-01",
        "2100-01-01",
        "2010-12/01",
        "2010-12-01  08:26",
        "soon",
    ],
    "price": [
        "2.55",
        "-11062.06",
        "0",
        "+1",
        "2.55555",
        "2.555555",
        "2.5555550",
        "2.5555555",
        "1000000",
        "9999999999.999999",
        "1,234.50",
        "1.234,50",
        "1.234",
        "1,234",
        "2,55",
        "£2",
        ".5",
        "5.",
        "1000000.0001",
        "1e3",
        " 3 ",
    ],
    "customer_id": ["13085.0", "CUST-001", "17850", "", "two words", "x" * 33, "é"],
    "country": ["EIRE", "United Kingdom", "", "\t", "x" * 61, "Côte d'Ivoire"],
    "line_amount": [
        None,
        "15.30",
        "-0.000001",
        "1.1234567",
        " 7 ",
        "",
        "15,30",
        "999999999999.999999",
        "1000000000000",
    ],
}
STAGED = {name: "amount" if name == "line_amount" else name for name in PIECES}
"""Field of a line -> column that a staged file has it in."""


def _lines(seed: int, count: int) -> list[dict[str, str | None]]:
    chooser = random.Random(seed)
    alphabet = "0123456789+-.,/: TCeé\t\n\u00a0"
    lines = []
    for _ in range(count):
        line: dict[str, str | None] = {}
        for name in PIECES:
            value = chooser.choice([*PIECES[name], None])
            if value and chooser.random() < 0.3:
                at = chooser.randrange(len(value))
                value = value[:at] + chooser.choice(alphabet) + value[at + chooser.randrange(2) :]
            line[name] = value
        lines.append(line)
    for name, pieces in PIECES.items():
        for value in pieces:
            valid: dict[str, str | None] = {key: values[0] for key, values in PIECES.items()}
            lines.append(valid | {name: value})
    return lines


def _staged(spark: SparkSession, lines: Sequence[Mapping[str, str | None]]) -> DataFrame:
    """Return lines as a staged file has them."""
    schema = StructType([StructField(column, StringType()) for column in (*STAGED.values(), "defect")])
    return spark.createDataFrame([(*(line[name] for name in STAGED), None) for line in lines], schema)


@pytest.mark.integration
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pydantic_and_spark_agree(spark: SparkSession, seed: int) -> None:
    lines = _lines(seed, 3000)
    judged = parsed(_staged(spark, lines)).select("codes").collect()
    disagreements = [
        (line, expected, row.codes)
        for line, row in zip(lines, judged, strict=True)
        if (expected := violations(line)) != row.codes
    ]
    assert disagreements == []
    assert any(row.codes == [] for row in judged)


@pytest.mark.integration
def test_reader_and_spark_agree_to_the_penny(spark: SparkSession, tmp_path: Path) -> None:
    lines = _lines(5, 3000)
    staged = tmp_path / "staged.parquet"
    texts = {column: pa.array([line[name] for line in lines], pa.string()) for name, column in STAGED.items()}
    nothing = {name: pa.nulls(len(lines), pa.string()) for name in ("defect", "extras", "line_number", "currency")}
    pq.write_table(pa.table(texts | nothing), staged)
    with StagedValues(staged) as staged_values:
        amount = staged_values.amounts("GBP")["GBP"]
    rows = parsed(_staged(spark, lines))
    assert amount % 1 != 0
    assert amount == rows.agg(F.sum("amount")).collect()[0][0]


def _silver(spark: SparkSession, *changes: dict[str, str], countries: Mapping[str, str] | None = None) -> DataFrame:
    """Return valid lines with `changes` as `normalised` gives them, which is told the names of `countries`."""
    valid = {STAGED[name]: values[0] for name, values in PIECES.items()}
    origin = {
        "source_file": "a.csv",
        "source_sha256": "0",
        "batch_id": "b",
        "raw": None,
        "defect": None,
        "written": None,
        "currency": None,
        "occurrence": None,
    }
    lines = [{**valid, **origin, **change} for change in changes]
    schema = StructType([StructField(name, StringType()) for name in lines[0]])
    frame = spark.createDataFrame([tuple(line.values()) for line in lines], schema)
    frame = frame.withColumn("occurrence", F.col("occurrence").cast("int"))
    rows = parsed(frame.withColumns({"source_line": F.lit(1), "source_page": F.lit(None).cast("int")}))
    return normalised(rows, countries or {}, "GBP")


@pytest.mark.integration
def test_a_country_gets_its_one_name_and_the_line_stays_the_same(spark: SparkSession) -> None:
    lines = [{"country": name} for name in ("EIRE", " UK ", "Atlantis", "")]
    names = {"EIRE": "Ireland", "UK": "United Kingdom"}
    before, after = (_silver(spark, *lines, countries=known).collect() for known in ({}, names))
    assert [row.country for row in before] == ["EIRE", "UK", "Atlantis", "Unspecified"]
    assert [row.country for row in after] == ["Ireland", "United Kingdom", "Atlantis", "Unspecified"]
    assert [row.country_as_written for row in after] == ["EIRE", "UK", "Atlantis", None]
    assert [row.sale_id for row in after] == [row.sale_id for row in before]
    values = ("489434", "85123A", "MUG", "6", "1291191960000000", "2.5500", "13085", "EIRE")
    assert after[0].sale_id == hashlib.sha256("\x1f".join(values).encode()).hexdigest()[:32]


@pytest.mark.integration
def test_the_quarantine_keeps_values_as_the_file_wrote_them(spark: SparkSession) -> None:
    written = {"quantity": "1.000,55555", "price": "2,50 EUR", "invoice_date": "1. Dez 2010"}
    line = {
        "quantity": "1000.55555",
        "price": "2.50",
        "invoice_date": "2010-12-01 00:00:00",
        "written": json.dumps(written),
    }
    [row] = _silver(spark, line).select("rejected.*").collect()
    assert {name: row[name] for name in written} == written
    assert row.invoice == PIECES["invoice"][0]


@pytest.mark.integration
@pytest.mark.parametrize(("column", "name"), [("invoice", "invoice_no"), ("stock_code",) * 2, ("customer_id",) * 2])
def test_a_whole_number_written_as_a_decimal_is_the_whole_number(spark: SparkSession, column: str, name: str) -> None:
    texts = ["70096", "70096.0", "70096.00", "70096.5", "70.0960", "C70096.0", "0.0"]
    rows = _silver(spark, *({column: text} for text in texts)).select(name, "sale_id").collect()
    assert [row[0] for row in rows] == ["70096"] * 3 + ["70096.5", "70.0960", "C70096.0", "0"]
    assert len({row.sale_id for row in rows}) == 5


@pytest.mark.integration
def test_a_line_of_a_day_is_never_left_out_of_its_rebuild(spark: SparkSession) -> None:
    frame = _staged(spark, _lines(4, 3000))
    typed = parsed(frame.withColumn("raw_date", F.col("invoice_date"))).where("sold_at >= '1990-01-01'")
    days = [row.day for row in typed.select(F.to_date("sold_at").alias("day")).distinct().collect()]
    assert len(days) > 10
    for day in days:
        of_day = typed.where(F.to_date("sold_at") == F.lit(day))
        assert of_day.where(~may_name_day("raw_date", [day])).count() == 0
    assert typed.where(may_name_day("raw_date", [date(2055, 5, 5)])).count() == 0


def _identity(quantity: str, price: str, *more: str) -> str:
    """Return the id of a line of `PIECES` as warehouses that are in use have it."""
    at = round(datetime(2010, 12, 1, 8, 26, tzinfo=UTC).timestamp() * 1_000_000)
    values = ("489434", "85123A", "MUG", quantity, str(at), price, "13085", "EIRE", *more)
    return hashlib.sha256("\x1f".join(values).encode()).hexdigest()[:32]


@pytest.mark.integration
def test_a_line_is_known_by_what_it_says(spark: SparkSession) -> None:
    told = {
        (("quantity", "6"),): _identity("6", "2.5500"),
        (("quantity", "6.0"), ("price", "2.550000")): _identity("6", "2.5500"),
        (("quantity", "-1.50"),): _identity("-1.5", "2.5500"),
        (("price", "2.55123"),): _identity("6", "2.551230"),
        (("occurrence", "1"),): _identity("6", "2.5500"),
        (("occurrence", "2"),): _identity("6", "2.5500", "occurrence 2"),
        (("amount", "15.3"),): _identity("6", "2.5500", "amount 15.300000"),
        (("currency", "EUR"), ("occurrence", "3")): _identity("6", "2.5500", "currency EUR", "occurrence 3"),
    }
    rows = _silver(spark, *map(dict, told)).select("sale_id").collect()
    assert [row.sale_id for row in rows] == list(told.values())


@pytest.mark.integration
@pytest.mark.parametrize(
    ("line", "amount", "codes"),
    [
        ({"quantity": "1.5"}, "3.825", []),
        ({"price": "2.55123"}, "15.30738", []),
        ({"quantity": "1.5", "price": "0.333333", "amount": "0.50"}, "0.50", []),
        ({"quantity": "1.0001", "price": "0.333333"}, None, ["amount_too_precise"]),
        ({"quantity": "1000000", "price": "1000000"}, "1000000000000", ["amount_out_of_range"]),
        ({"quantity": "2", "price": "1.1", "amount": "2.2000001"}, None, ["malformed_line_amount"]),
    ],
)
def test_amounts_are_exact_or_kept_out(
    spark: SparkSession, line: dict[str, str], amount: str | None, codes: list[str]
) -> None:
    [row] = _silver(spark, line).select("amount", "codes").collect()
    assert (row.amount, row.codes) == (None if amount is None else Decimal(amount), codes)
