"""Gold: the star schema in Delta, aggregates as JSON, and the warehouse's staging tables by JDBC.

Usage: spark-submit gold.py RUN_ID
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from include.records import GoldRecord, SilverRecord
from include.runs import Manifest, RunFolder, write_atomically
from include.settings import Settings, get_settings
from include.warehouse.engine import make_engine
from include.warehouse.staging import create_staging, jdbc_options, qualified_staging_table
from spark_jobs.session import (
    ensure_table,
    in_list,
    replace_where,
    retry_conflicts,
    spark_session,
    surrogate_key,
    table_version,
)

DIMENSION_KEYS = {
    "dim_date": "date_key",
    "dim_country": "country_key",
    "dim_product": "product_key",
    "dim_customer": "customer_key",
    "dim_invoice": "invoice_key",
}
UNKNOWN_KEY = 0
TOP_PRODUCTS = 100


def dim_date(spark: SparkSession, first: date, last: date) -> DataFrame:
    """Return every day of the calendar years from `first` to `last`."""
    start, end = date(first.year, 1, 1), date(last.year, 12, 31)
    days = [(start + timedelta(days=offset),) for offset in range((end - start).days + 1)]
    day = F.col("full_date")
    iso_weekday = F.weekday(day) + 1
    return spark.createDataFrame(days, "full_date date").select(
        F.date_format(day, "yyyyMMdd").cast("int").alias("date_key"),
        "full_date",
        F.year(day).cast("smallint").alias("year"),
        F.quarter(day).cast("smallint").alias("quarter"),
        F.month(day).cast("smallint").alias("month"),
        F.date_format(day, "MMMM").alias("month_name"),
        F.dayofmonth(day).cast("smallint").alias("day"),
        iso_weekday.cast("smallint").alias("day_of_week"),
        F.date_format(day, "EEEE").alias("day_name"),
        F.weekofyear(day).cast("smallint").alias("iso_week"),
        (iso_weekday >= 6).alias("is_weekend"),
    )


def dim_country(sales: DataFrame) -> DataFrame:
    """Return one row per country name."""
    return sales.select("country").distinct().select(surrogate_key(F.col("country")).alias("country_key"), "country")


def dim_product(sales: DataFrame) -> DataFrame:
    """Return one row per stock code; the description is that of its latest described line."""
    described = F.col("description").isNotNull()
    return (
        sales.groupBy("stock_code")
        .agg(
            F.max(F.when(described, F.struct("sold_at", "description"))).alias("latest"),
            F.first("product_type").alias("product_type"),
            F.first("is_product").alias("is_product"),
            F.min("sold_at").alias("first_sold_at"),
            F.max("sold_at").alias("last_sold_at"),
        )
        .select(
            surrogate_key(F.col("stock_code")).alias("product_key"),
            "stock_code",
            F.col("latest.description").alias("description"),
            "product_type",
            "is_product",
            F.col("latest.sold_at").alias("described_at"),
            "first_sold_at",
            "last_sold_at",
        )
    )


def dim_customer(sales: DataFrame) -> DataFrame:
    """Return one row per known customer; the country is that of the latest line."""
    return (
        sales.where(F.col("customer_id").isNotNull())
        .groupBy("customer_id")
        .agg(
            F.max(F.struct("sold_at", "country")).alias("latest"),
            F.min("sold_at").alias("first_invoice_at"),
        )
        .select(
            surrogate_key(F.col("customer_id")).alias("customer_key"),
            "customer_id",
            surrogate_key(F.col("latest.country")).alias("country_key"),
            "first_invoice_at",
            F.col("latest.sold_at").alias("last_invoice_at"),
        )
    )


def dim_invoice(sales: DataFrame) -> DataFrame:
    """Return one row per invoice number."""
    kind = (
        F.when(F.max(F.col("kind") == "cancellation"), F.lit("cancellation"))
        .when(F.col("invoice_no").startswith("A") & F.min(F.col("kind") == "adjustment"), F.lit("adjustment"))
        .otherwise(F.lit("sale"))
    )
    return (
        sales.groupBy("invoice_no")
        .agg(kind.alias("kind"), F.min("sold_at").alias("first_line_at"), F.max("sold_at").alias("last_line_at"))
        .select(
            surrogate_key(F.col("invoice_no")).alias("invoice_key"),
            "invoice_no",
            "kind",
            "first_line_at",
            "last_line_at",
        )
    )


def fact_sales(sales: DataFrame) -> DataFrame:
    """Return one row per line, with the keys of its dimensions."""
    return sales.select(
        "sale_id",
        F.date_format("sold_at", "yyyyMMdd").cast("int").alias("date_key"),
        surrogate_key(F.col("stock_code")).alias("product_key"),
        F.coalesce(surrogate_key(F.col("customer_id")), F.lit(UNKNOWN_KEY).cast("bigint")).alias("customer_key"),
        surrogate_key(F.col("country")).alias("country_key"),
        surrogate_key(F.col("invoice_no")).alias("invoice_key"),
        "sold_at",
        "quantity",
        "unit_price",
        "amount",
        "kind",
        "batch_id",
    )


def sales_aggregates(sales: DataFrame) -> DataFrame:
    """Return lines, invoices, units and revenue (GBP) by day, by month, by month and country, by month and product."""
    revenue = F.sum("amount")
    return (
        sales.groupingSets(
            [
                ["invoice_month", "invoice_day"],
                ["invoice_month"],
                ["invoice_month", "country"],
                ["invoice_month", "stock_code"],
            ],
            "invoice_month",
            "invoice_day",
            "country",
            "stock_code",
        )
        .agg(
            F.grouping_id().alias("grouping"),
            F.count("*").alias("lines"),
            F.countDistinct("invoice_no").alias("invoices"),
            F.sum("quantity").alias("units"),
            revenue.cast("decimal(20,4)").alias("revenue"),
            F.coalesce(F.sum(F.when(F.col("kind") == "sale", F.col("amount"))), F.lit(0))
            .cast("decimal(20,4)")
            .alias("gross_sales"),
            F.max(F.struct("sold_at", "description")).getField("description").alias("description"),
        )
        .select(
            F.when(F.col("grouping") == 3, "day")
            .when(F.col("grouping") == 7, "month")
            .when(F.col("grouping") == 5, "country")
            .otherwise("product")
            .alias("grain"),
            "invoice_month",
            "invoice_day",
            "country",
            "stock_code",
            "description",
            "lines",
            "invoices",
            "units",
            "revenue",
            "gross_sales",
        )
    )


def merge_dimension(spark: SparkSession, uri: str, key: str, staged: DataFrame) -> None:
    """Upsert a dimension in Delta by its surrogate key; attributes follow the latest moment, first_* the earliest."""
    newest = {"description": "described_at", "country_key": "last_invoice_at"}
    changes = {}
    for name in staged.columns:
        if name.startswith("first_"):
            changes[name] = F.least(f"t.{name}", f"s.{name}")
        elif name.startswith("last_") or name == "described_at":
            changes[name] = F.greatest(f"t.{name}", f"s.{name}")
        elif name in newest and newest[name] in staged.columns:
            moment = newest[name]
            newer = F.col(f"t.{moment}").isNull() | (F.col(f"s.{moment}") >= F.col(f"t.{moment}"))
            changes[name] = F.when(newer, F.col(f"s.{name}")).otherwise(F.col(f"t.{name}"))
        elif name != key:
            changes[name] = F.col(f"s.{name}")
    differs = F.lit(False)
    for name, value in changes.items():
        differs = differs | ~value.eqNullSafe(F.col(f"t.{name}"))

    def merge() -> None:
        table = ensure_table(spark, uri, staged.schema)
        merging = table.alias("t").merge(staged.alias("s"), f"t.{key} = s.{key}")
        if key != "date_key":
            merging = merging.whenMatchedUpdate(condition=differs, set=dict(changes))
        merging.whenNotMatchedInsertAll().execute()

    retry_conflicts(merge)


def write_staging(frame: DataFrame, settings: Settings, table: str, batch_id: str, partitions: int) -> None:
    """Fill the empty staging table of this batch."""
    url, properties = jdbc_options(settings)
    name = qualified_staging_table(settings, table, batch_id)
    frame.coalesce(partitions).write.jdbc(url, name, mode="append", properties=properties)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _rows(frame: DataFrame) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in row.asDict().items()} for row in frame.collect()]


def write_json(spark: SparkSession, settings: Settings) -> None:
    """Write the JSON aggregates under `data/gold`; money as decimal strings in GBP."""
    table = spark.read.format("delta").load(settings.table("gold", "sales_aggregates")).persist()
    measures = ("lines", "invoices", "units", "revenue", "gross_sales")

    def summed(grain: str, key: str) -> DataFrame:
        sums = [
            F.sum(name).cast("decimal(20,4)" if name in {"revenue", "gross_sales"} else "bigint").alias(name)
            for name in ("lines", "units", "revenue", "gross_sales")
        ]
        latest = F.max(F.struct("invoice_month", "description")).getField("description").alias("description")
        extra = [latest] if key == "stock_code" else []
        return table.where(F.col("grain") == grain).groupBy(key).agg(*extra, *sums).orderBy(F.desc("revenue"), key)

    documents = {
        "daily_sales": table.where("grain = 'day'").select("invoice_day", *measures).orderBy("invoice_day"),
        "monthly_sales": table.where("grain = 'month'").select("invoice_month", *measures).orderBy("invoice_month"),
        "sales_by_country": summed("country", "country"),
        "top_products": summed("product", "stock_code").limit(TOP_PRODUCTS),
    }
    for name, frame in documents.items():
        text = json.dumps(_rows(frame), indent=1, ensure_ascii=False)
        write_atomically(settings.data_dir / "gold" / f"{name}.json", text)
    table.unpersist()


def run_together(work: Sequence[Callable[[], None]]) -> None:
    """Run independent writes side by side: each is mostly driver time; raise the first failure."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        for done in [pool.submit(task) for task in work]:
            done.result()


def lines_of(spark: SparkSession, settings: Settings, manifest: Manifest, silver: SilverRecord) -> DataFrame:
    """Return the Silver lines a run publishes: those of its batch, or those of the rebuilt days."""
    lines = spark.read.format("delta").load(settings.table("silver", "invoice_lines"))
    of_months = lines.where(F.col("invoice_month").isin(silver.months))
    if manifest.kind == "drop":
        return of_months.where(F.col("batch_id") == manifest.batch_id)
    return of_months.where(F.col("invoice_day").isin(manifest.days))


def dimensions_of(
    spark: SparkSession, sales: DataFrame, manifest: Manifest, silver: SilverRecord
) -> dict[str, DataFrame]:
    """Return the dimension rows of `sales`, by table."""
    first, last = silver.first_day or manifest.days[0], silver.last_day or manifest.days[-1]
    return {
        "dim_date": dim_date(spark, first, last),
        "dim_country": dim_country(sales),
        "dim_product": dim_product(sales),
        "dim_customer": dim_customer(sales),
        "dim_invoice": dim_invoice(sales),
    }


def write_lake(
    spark: SparkSession, settings: Settings, manifest: Manifest, silver: SilverRecord
) -> dict[str, DataFrame]:
    """Bring the lines of a run into the star and the aggregates in Delta; return the warehouse's rows by table."""
    months = silver.months
    sales = lines_of(spark, settings, manifest, silver).persist()
    fact = fact_sales(sales)
    dimensions = {name: frame.persist() for name, frame in dimensions_of(spark, sales, manifest, silver).items()}
    if manifest.kind == "drop":
        replaced = f"batch_id = '{manifest.batch_id}'"
    else:
        replaced = f"date_key IN ({', '.join(f'{day:%Y%m%d}' for day in manifest.days)})"

    def write_fact() -> None:
        uri = settings.table("gold", "fact_sales")
        monthly = fact.withColumn("invoice_month", F.date_format("sold_at", "yyyy-MM"))
        ensure_table(spark, uri, monthly.schema, ["invoice_month"])
        replace_where(monthly, uri, f"{in_list('invoice_month', months)} AND {replaced}")

    def write_aggregates() -> None:
        uri = settings.table("gold", "sales_aggregates")
        lines = spark.read.format("delta").load(settings.table("silver", "invoice_lines"))
        aggregates = sales_aggregates(lines.where(F.col("invoice_month").isin(months)))
        ensure_table(spark, uri, aggregates.schema, ["invoice_month"])
        replace_where(aggregates, uri, in_list("invoice_month", months))
        write_json(spark, settings)

    merges = [
        partial(merge_dimension, spark, settings.table("gold", name), DIMENSION_KEYS[name], frame)
        for name, frame in dimensions.items()
    ]
    run_together([write_fact, write_aggregates, *merges])
    return {**dimensions, "fact_sales": fact}


def build(spark: SparkSession, settings: Settings, manifest: Manifest, silver: SilverRecord) -> GoldRecord:
    """Bring the lines of a run from Silver into the star, the aggregates and the warehouse's staging tables."""
    started = time.monotonic()
    frames = write_lake(spark, settings, manifest, silver)
    engine = make_engine(settings)
    try:
        create_staging(engine, settings, manifest.batch_id)
    finally:
        engine.dispose()
    run_together(
        [
            partial(write_staging, frame, settings, name, manifest.batch_id, 2 if name == "fact_sales" else 1)
            for name, frame in frames.items()
        ]
    )
    return GoldRecord(
        token=uuid.uuid4().hex,
        staged_rows={name: frame.count() for name, frame in frames.items()},
        table_versions={
            name: table_version(spark, settings.table("gold", name)) for name in (*frames, "sales_aggregates")
        },
        seconds=time.monotonic() - started,
    )


def main(run_id: str) -> None:
    """Run the stage."""
    settings = get_settings()
    run = RunFolder(settings, run_id)
    silver = run.stage("silver", SilverRecord)
    if not silver.months:
        run.save_stage("gold", GoldRecord())
        return
    spark = spark_session(f"gold {run_id}")
    run.save_stage("gold", build(spark, settings, run.manifest(), silver))


if __name__ == "__main__":
    main(sys.argv[1])
