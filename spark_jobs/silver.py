"""Silver: typed, normalised, classified lines, each exactly once; the rest counted or quarantined.

Usage: spark-submit silver.py RUN_ID
"""

from __future__ import annotations

import sys
import time
from datetime import date
from decimal import Decimal
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)
from pyspark.sql.window import Window

from include.domain.classify import (
    ADJUSTMENT_INVOICE,
    CANCELLATION_INVOICE,
    NON_PRODUCT_CODES,
    PRODUCT,
    TEST_CODE,
    UNSPECIFIED_COUNTRY,
)
from include.records import BronzeRecord, SilverRecord
from include.runs import Manifest, RunFolder, mark_days
from include.settings import Settings, get_settings
from spark_jobs.rules import TEXT_COLUMNS, moment, number_text, trimmed, violation
from spark_jobs.session import append_once, ensure_table, in_list, replace_where, retry_conflicts, spark_session
from spark_jobs.session import table_version as version_of

MONEY = DecimalType(18, 4)

SILVER_SCHEMA = StructType(
    [
        StructField("sale_id", StringType()),
        StructField("invoice_no", StringType()),
        StructField("stock_code", StringType()),
        StructField("description", StringType()),
        StructField("quantity", IntegerType()),
        StructField("sold_at", TimestampType()),
        StructField("unit_price", DecimalType(14, 4)),
        StructField("amount", MONEY),
        StructField("customer_id", StringType()),
        StructField("country", StringType()),
        StructField("kind", StringType()),
        StructField("product_type", StringType()),
        StructField("is_product", BooleanType()),
        StructField("source_file", StringType()),
        StructField("source_sha256", StringType()),
        StructField("source_line", LongType()),
        StructField("batch_id", StringType()),
        StructField("invoice_day", DateType()),
        StructField("invoice_month", StringType()),
    ]
)

QUARANTINE_SCHEMA = StructType(
    [
        StructField("batch_id", StringType()),
        StructField("source_file", StringType()),
        StructField("source_sha256", StringType()),
        StructField("source_line", LongType()),
        StructField("source_page", IntegerType()),
        StructField("code", StringType()),
        StructField("codes", ArrayType(StringType())),
        *[StructField(name, StringType()) for name in TEXT_COLUMNS],
        StructField("raw", StringType()),
        StructField("amount", MONEY),
        StructField("invoice_day", DateType()),
    ]
)


def parsed(bronze: DataFrame) -> DataFrame:
    """Return Bronze rows trimmed and typed, with the codes of the rules they break.

    Returns:
        Bronze's columns, the text ones trimmed, plus quantity_, sold_at, unit_price, amount (null where unreadable) and
        codes (array of reason codes, empty for a valid row).
    """
    others = [name for name in bronze.columns if name not in TEXT_COLUMNS]
    text = bronze.select(
        *[(number_text if name in {"quantity", "price"} else trimmed)(name).alias(name) for name in TEXT_COLUMNS],
        *others,
    )
    number = {
        name: F.when(F.col(name).rlike(r"\A[+-]?[0-9]{1,10}(\.[0-9]+)?\z"), F.col(name))
        for name in ("quantity", "price")
    }
    typed = text.select(
        "*",
        number["quantity"].try_cast("decimal(14,4)").try_cast("int").alias("quantity_"),
        moment("invoice_date").alias("sold_at"),
        number["price"].try_cast("decimal(14,4)").alias("unit_price"),
    )
    columns = {"quantity": F.col("quantity_"), "sold_at": F.col("sold_at"), "unit_price": F.col("unit_price")}
    codes = F.array_compact(F.array(*[violation(name, columns) for name in TEXT_COLUMNS]))
    readable = violation("quantity", columns).isNull() | violation("quantity", columns).endswith("out_of_range")
    readable &= violation("price", columns).isNull() | violation("price", columns).endswith("out_of_range")
    return typed.select(
        "*",
        F.when(F.col("defect").isNotNull(), F.array("defect")).otherwise(codes).alias("codes"),
        F.when(F.col("defect").isNull() & readable, (F.col("quantity_") * F.col("unit_price")).cast(MONEY)).alias(
            "amount"
        ),
    )


def product_type() -> Column:
    """Return the type of upper-case column stock_code: `product`, or what else the code stands for."""
    found = F.when(F.col("stock_code").rlike(TEST_CODE), F.lit("test"))
    for kind in sorted(set(NON_PRODUCT_CODES.values())):
        codes = [code for code, value in NON_PRODUCT_CODES.items() if value == kind]
        found = found.when(F.col("stock_code").isin(codes), F.lit(kind))
    return found.otherwise(F.lit(PRODUCT))


def transaction_kind() -> Column:
    """Return the kind of a line from invoice_no, product_type, quantity and unit_price; the first that applies."""
    return (
        F.when(F.col("invoice_no").rlike(CANCELLATION_INVOICE), F.lit("cancellation"))
        .when(F.col("invoice_no").rlike(ADJUSTMENT_INVOICE), F.lit("adjustment"))
        .when(F.col("product_type") == "fee", F.lit("fee"))
        .when(F.col("product_type") == "adjustment", F.lit("adjustment"))
        .when((F.col("quantity") <= 0) & (F.col("unit_price") == 0), F.lit("stock_movement"))
        .when(F.col("quantity") <= 0, F.lit("return"))
        .when(F.col("unit_price") == 0, F.lit("free_of_charge"))
        .when(F.col("unit_price") < 0, F.lit("adjustment"))
        .otherwise(F.lit("sale"))
    )


def sale_id() -> Column:
    """Return the identity of a line: 128 bits of SHA-256 over its eight normalised values, in hex."""
    parts = [
        F.col("invoice_no"),
        F.col("stock_code"),
        F.coalesce("description", F.lit("")),
        F.col("quantity").cast("string"),
        F.unix_micros("sold_at").cast("string"),
        F.col("unit_price").cast("string"),
        F.coalesce("customer_id", F.lit("")),
        F.col("country"),
    ]
    return F.substring(F.sha2(F.concat_ws("\x1f", *parts), 256), 1, 32)


def normalised(valid: DataFrame) -> DataFrame:
    """Return valid parsed rows as Silver lines (SILVER_SCHEMA)."""
    lines = valid.select(
        F.upper("invoice").alias("invoice_no"),
        F.upper("stock_code").alias("stock_code"),
        F.regexp_replace("description", r"[\s\u00a0]+", " ").alias("description"),
        F.col("quantity_").alias("quantity"),
        "sold_at",
        "unit_price",
        "amount",
        F.regexp_replace("customer_id", r"\.0+\z", "").alias("customer_id"),
        F.coalesce("country", F.lit(UNSPECIFIED_COUNTRY)).alias("country"),
        "source_file",
        "source_sha256",
        "source_line",
        "batch_id",
        F.to_date("sold_at").alias("invoice_day"),
        F.date_format("sold_at", "yyyy-MM").alias("invoice_month"),
    )
    typed = lines.withColumn("product_type", product_type())
    return typed.withColumns(
        {
            "is_product": F.col("product_type") == PRODUCT,
            "kind": transaction_kind(),
            "sale_id": sale_id(),
        }
    ).select(*SILVER_SCHEMA.fieldNames())


def first_of_each_line(lines: DataFrame) -> DataFrame:
    """Return `lines` with column is_first: the earliest row of each line repeated in full, by batch, file and line."""
    order = Window.partitionBy("sale_id").orderBy("batch_id", "source_file", "source_line")
    return lines.withColumn("is_first", F.row_number().over(order) == 1)


def quarantined(rows: DataFrame) -> DataFrame:
    """Return parsed rows with codes as quarantine rows (QUARANTINE_SCHEMA)."""
    return rows.select(
        "batch_id",
        "source_file",
        "source_sha256",
        "source_line",
        "source_page",
        F.element_at("codes", 1).alias("code"),
        "codes",
        *TEXT_COLUMNS,
        "raw",
        "amount",
        F.to_date("sold_at").alias("invoice_day"),
    )


def bronze_of(spark: SparkSession, settings: Settings, manifest: Manifest) -> DataFrame:
    """Return the Bronze rows a run works on: its own batch, or those of the batches that hold the rebuilt days."""
    bronze = spark.read.format("delta").load(settings.table("bronze", "invoice_lines"))
    if manifest.kind == "drop":
        ingested = F.lit(manifest.claimed_at.date())
        return bronze.where((F.col("ingest_date") == ingested) & (F.col("batch_id") == manifest.batch_id))
    return bronze.where(F.col("batch_id").isin(manifest.source_batches))


def insert_new(spark: SparkSession, uri: str, lines: DataFrame, months: list[str]) -> None:
    """Insert the lines whose sale_id Silver does not hold; looks into the touched months only."""

    def merge() -> None:
        table = ensure_table(spark, uri, SILVER_SCHEMA, ["invoice_month"])
        condition = (
            f"t.{in_list('invoice_month', months)} AND t.invoice_month = s.invoice_month AND t.sale_id = s.sale_id"
        )
        table.alias("t").merge(lines.alias("s"), condition).whenNotMatchedInsertAll().execute()

    retry_conflicts(merge)


def total(frame: DataFrame) -> tuple[int, Decimal]:
    """Return row count and sum of amount (null counts 0)."""
    row = frame.agg(F.count("*"), F.coalesce(F.sum("amount"), F.lit(Decimal(0)))).head()
    assert row is not None
    return int(row[0]), Decimal(row[1])


def refine(spark: SparkSession, settings: Settings, manifest: Manifest) -> SilverRecord:
    """Bring a run's Bronze rows into Silver and quarantine, and account for each."""
    started = time.monotonic()
    rows = parsed(bronze_of(spark, settings, manifest))
    if manifest.kind == "rebuild":
        rows = rows.where(F.to_date("sold_at").isin(manifest.days))
    rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    lines = first_of_each_line(normalised(rows.where(F.size("codes") == 0))).persist(StorageLevel.MEMORY_AND_DISK)
    bad = quarantined(rows.where(F.size("codes") > 0))
    rows_in, amount_in = total(rows)
    by_code = bad.groupBy("code").agg(F.count("*"), F.coalesce(F.sum("amount"), F.lit(Decimal(0)))).collect()
    summary: dict[str, Any] = {
        "days": [row[0] for row in lines.select("invoice_day").distinct().collect()],
        "duplicate": total(lines.where(~F.col("is_first"))),
        "first": total(lines.where("is_first")),
    }
    days: list[date] = sorted(summary["days"])
    months = sorted({f"{day:%Y-%m}" for day in days} | {f"{day:%Y-%m}" for day in manifest.days})
    rows.unpersist() if not by_code else None
    silver_uri = settings.table("silver", "invoice_lines")
    quarantine_uri = settings.table("silver", "quarantine")
    unique = lines.where("is_first").drop("is_first")
    ensure_table(spark, silver_uri, SILVER_SCHEMA, ["invoice_month"])
    ensure_table(spark, quarantine_uri, QUARANTINE_SCHEMA)
    silver = spark.read.format("delta").load(silver_uri)
    touched = silver.where(F.col("invoice_month").isin(months))
    if manifest.kind == "drop":
        if months:
            insert_new(spark, silver_uri, unique, months)
        if by_code:
            append_once(bad, quarantine_uri, f"quarantine-{manifest.batch_id}")
        loaded = total(touched.where(F.col("batch_id") == manifest.batch_id))
        batches = [manifest.batch_id]
    else:
        of_days = in_list("invoice_day", [day.isoformat() for day in manifest.days])
        replace_where(unique, silver_uri, f"{in_list('invoice_month', months)} AND {of_days}")
        replace_where(bad, quarantine_uri, of_days)
        loaded = total(touched.where(F.col("invoice_day").isin(manifest.days)))
        batches = manifest.source_batches
    for batch in batches:
        mark_days(settings, batch, days)
    return SilverRecord(
        rows_in=rows_in,
        amount_in=amount_in,
        rows_loaded=loaded[0],
        amount_loaded=loaded[1],
        rows_duplicate=summary["duplicate"][0],
        amount_duplicate=summary["duplicate"][1],
        rows_already_seen=summary["first"][0] - loaded[0],
        amount_already_seen=summary["first"][1] - loaded[1],
        rows_quarantined={row[0]: row[1] for row in by_code},
        amount_quarantined=sum((row[2] for row in by_code), Decimal(0)),
        first_day=days[0] if days else None,
        last_day=days[-1] if days else None,
        months=months,
        table_version=version_of(spark, silver_uri),
        quarantine_version=version_of(spark, quarantine_uri),
        seconds=time.monotonic() - started,
    )


def main(run_id: str) -> None:
    """Run the stage."""
    settings = get_settings()
    run = RunFolder(settings, run_id)
    manifest = run.manifest()
    if manifest.kind == "drop" and run.stage("bronze", BronzeRecord).rows == 0:
        run.save_stage("silver", SilverRecord())
        return
    spark = spark_session(f"silver {run_id}")
    run.save_stage("silver", refine(spark, settings, manifest))


if __name__ == "__main__":
    main(sys.argv[1])
