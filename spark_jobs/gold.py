"""Gold: the star schema in Delta and the warehouse's staging tables by JDBC.

Usage: spark-submit gold.py RUN_ID
"""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial, reduce

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from include.domain.classify import ADJUSTMENT_INVOICE, CANCELLATION_INVOICE
from include.domain.money import CURRENCIES
from include.domain.star import (
    COUNTRY_FACTS,
    DIMENSION_RULES,
    PRODUCT_FACTS,
    UNKNOWN_KEY,
    Dimension,
    Fixed,
    Greatest,
    Least,
    Newer,
)
from include.records import EnrichRecord, GoldRecord, SilverRecord
from include.runs import Manifest, RunFolder, unpublished_batches
from include.settings import Settings, get_settings
from spark_jobs.session import (
    Table,
    in_list,
    retry_conflicts,
    silver_table,
    spark_session,
    surrogate_key,
    table_version,
)

COUNTRY_RULES, PRODUCT_RULES = (
    next(rules for rules in DIMENSION_RULES if rules.table == name) for name in ("dim_country", "dim_product")
)

log = logging.getLogger(__name__)

STAGING_SECONDS = 60.0
"""How long making the staging tables may take."""

FACT_PARTITIONS = 2
"""Connections that load the facts into the warehouse side by side."""


def dim_date(spark: SparkSession, first: date, last: date) -> DataFrame:
    """Return every day of the calendar years from `first` to `last`."""
    start, end = date(first.year, 1, 1), date(last.year, 12, 31)
    days = spark.range((end - start).days + 1).select(
        F.date_add(F.lit(start), F.col("id").cast("int")).alias("full_date")
    )
    day = F.col("full_date")
    iso_weekday = F.weekday(day) + 1
    return days.select(
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


def keyed(lines: DataFrame) -> DataFrame:
    """Return Silver lines with the keys of their dimensions."""
    unknown = F.lit(UNKNOWN_KEY).cast("bigint")
    return lines.withColumns(
        {
            "date_key": F.date_format("sold_at", "yyyyMMdd").cast("int"),
            "product_key": surrogate_key(F.col("stock_code")),
            "customer_key": F.coalesce(surrogate_key(F.col("customer_id")), unknown),
            "country_key": surrogate_key(F.col("country")),
            "invoice_key": surrogate_key(F.col("invoice_no")),
        }
    )


def dim_country(sales: DataFrame, facts: DataFrame) -> DataFrame:
    """Return one row per country name, with its `facts` (country, COUNTRY_FACTS, enriched_at)."""
    return sales.select("country_key", "country").distinct().join(F.broadcast(facts), "country", "left")


def dim_product(sales: DataFrame, facts: DataFrame) -> DataFrame:
    """Return one row per stock code, with its `facts` (stock_code, PRODUCT_FACTS, enriched_at).

    The description is that of its latest described line with a price: lines without one are stock movements and
    giveaways, whose descriptions are notes such as "damaged".
    """
    # Text cannot be aggregated by hashing, only grouped: the lines are first reduced to code and description.
    described = (
        sales.groupBy("product_key", "stock_code", "description", "product_type")
        .agg(
            F.max("is_product").alias("is_product"),
            F.min("sold_at").alias("first_sold_at"),
            F.max("sold_at").alias("last_sold_at"),
            F.max(F.when(F.col("unit_price") > 0, F.col("sold_at"))).alias("last_priced_at"),
        )
        .withColumn(
            "named",
            F.when(
                F.col("description").isNotNull() & F.col("last_priced_at").isNotNull(),
                F.struct("last_priced_at", "description"),
            ),
        )
    )
    return (
        described.groupBy("product_key", "stock_code")
        .agg(
            F.max("named").alias("latest"),
            F.max("product_type").alias("product_type"),
            F.max("is_product").alias("is_product"),
            F.min("first_sold_at").alias("first_sold_at"),
            F.max("last_sold_at").alias("last_sold_at"),
        )
        .select(
            "product_key",
            "stock_code",
            F.col("latest.description").alias("description"),
            "product_type",
            "is_product",
            F.col("latest.last_priced_at").alias("described_at"),
            "first_sold_at",
            "last_sold_at",
        )
        .join(F.broadcast(facts), "stock_code", "left")
    )


def dim_customer(sales: DataFrame) -> DataFrame:
    """Return one row per known customer; the country is that of the latest line."""
    of_countries = (
        sales.where(F.col("customer_id").isNotNull())
        .groupBy("customer_key", "customer_id", "country_key")
        .agg(F.min("sold_at").alias("first_invoice_at"), F.max("sold_at").alias("last_invoice_at"))
    )
    return (
        of_countries.groupBy("customer_key", "customer_id")
        .agg(
            F.max(F.struct("last_invoice_at", "country_key")).alias("latest"),
            F.min("first_invoice_at").alias("first_invoice_at"),
        )
        .select(
            "customer_key",
            "customer_id",
            F.col("latest.country_key").alias("country_key"),
            "first_invoice_at",
            F.col("latest.last_invoice_at").alias("last_invoice_at"),
        )
    )


def dim_invoice(sales: DataFrame) -> DataFrame:
    """Return one row per invoice number."""
    kind = (
        F.when(F.col("invoice_no").rlike(CANCELLATION_INVOICE), F.lit("cancellation"))
        .when(F.col("invoice_no").rlike(ADJUSTMENT_INVOICE), F.lit("adjustment"))
        .otherwise(F.lit("sale"))
    )
    return (
        sales.groupBy("invoice_key", "invoice_no")
        .agg(F.min("sold_at").alias("first_line_at"), F.max("sold_at").alias("last_line_at"))
        .select("invoice_key", "invoice_no", kind.alias("kind"), "first_line_at", "last_line_at")
    )


def converted(facts: DataFrame, rates: DataFrame) -> DataFrame:
    """Return facts with the exchange rates of their day and the amounts and prices converted at them.

    Args:
        facts: date_key, unit_price, amount (GBP) and any other columns but those below.
        rates: date_key, fx_date, fx_source, fx_missing, rate_usd, rate_eur, rate_cad, rate_aud, rate_jpy.

    Returns:
        The columns given, those of `rates`, and amount_usd ... unit_price_jpy, rounded half up to the places of each
        currency; null where there is no rate.
    """
    of_day = facts.join(F.broadcast(rates), "date_key", "left")
    return of_day.withColumns(
        {
            f"{name}_{currency.lower()}": F.round(F.col(name) * F.col(f"rate_{currency.lower()}"), places).cast(
                f"decimal(18,{places})"
            )
            for name in ("amount", "unit_price")
            for currency, places in CURRENCIES.items()
        }
    )


def fact_sales(sales: DataFrame) -> DataFrame:
    """Return one row per line, with the keys of its dimensions; invoice_month partitions it in Delta."""
    return sales.select(
        "sale_id",
        "date_key",
        "product_key",
        "customer_key",
        "country_key",
        "invoice_key",
        "sold_at",
        "quantity",
        "unit_price",
        "amount",
        "kind",
        "batch_id",
        "invoice_month",
    )


def merged(rows: DataFrame, dimension: Dimension) -> DataFrame:
    """Return one row a member of rows that several batches have for it, by the dimension's rules."""
    values: list[Column] = []
    for name, rule in dimension.rules.items():
        column = F.col(name)
        match rule:
            case Fixed() | Greatest():
                values.append(F.max(column).alias(name))
            case Least():
                values.append(F.min(column).alias(name))
            case Newer(clock):
                newest = F.max(F.when(F.col(clock).isNotNull(), F.struct(clock, name)))
                values.append(newest.getField(name).alias(name))
    if not values:
        return rows.distinct()
    return rows.groupBy(dimension.key, dimension.natural).agg(*values).select(rows.columns)


def write_dimension(spark: SparkSession, settings: Settings, dimension: Dimension, staged: DataFrame) -> None:
    """Merge the rows of a batch into a dimension in Delta.

    The dimension is small beside the facts and rewritten whole: a MERGE joins, then rewrites nearly as much.
    """
    table = Table(settings.table("gold", dimension.table))
    table.rewrite(spark, staged, partial(merged, dimension=dimension))


def write_staging(frame: DataFrame, settings: Settings, table: str, batch_id: str) -> None:
    """Fill the empty staging table of this batch."""
    from include.warehouse import jdbc_options, loaded_columns, qualified_staging_table

    url, properties = jdbc_options(settings)
    name = qualified_staging_table(settings, table, batch_id)
    partitions = FACT_PARTITIONS if table == "fact_sales" else 1
    columns = [column.name for column in loaded_columns(table)]
    frame.select(*columns).coalesce(partitions).write.jdbc(url, name, mode="append", properties=properties)


def prepare_staging(settings: Settings, batch_id: str) -> bool:
    """Make the batch's staging tables, empty; return False if the warehouse cannot take them."""
    if settings.database_type == "sqlite":
        return False
    # SQLAlchemy takes two seconds to import: here that passes while Spark works.
    from include.warehouse import create_staging, error_text, primary_failed, watched_engine

    try:
        with watched_engine(settings, STAGING_SECONDS) as engine:
            create_staging(engine, settings, batch_id)
    except Exception as error:
        if not primary_failed(error):
            raise
        log.warning("The warehouse takes no staging, so publishing will read Gold: %s", error_text(error))
        return False
    return True


def fill_staging(settings: Settings, star: dict[str, DataFrame], batch_id: str) -> bool:
    """Fill the batch's staging tables; return False if that fails.

    Staging only spares publishing the way over Gold, which it takes if rows are missing there: no failure here is one
    of the batch, and publishing judges its rows in any case.
    """
    try:
        run_together([partial(write_staging, frame, settings, name, batch_id) for name, frame in star.items()])
    except (Py4JJavaError, PySparkException) as error:
        log.warning("Staging failed, so publishing will read Gold: %s", str(error).splitlines()[0])
        return False
    return True


def run_together(work: Iterable[Callable[[], None]]) -> None:
    """Run independent writes side by side, as each is mostly driver time; raise the first failure."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        for done in [pool.submit(task) for task in work]:
            done.result()


def lines_of(spark: SparkSession, settings: Settings, manifest: Manifest, silver: SilverRecord) -> DataFrame:
    """Return the Silver lines a run publishes: those of its batch, or those of the rebuilt days that may be live.

    A line that a batch took over in Silver from another one, which was published after all, is that one's.
    """
    lines = silver_table(settings).read(spark)
    of_months = lines.where(F.col("invoice_month").isin(silver.months))
    facts = Table(settings.table("gold", "fact_sales"))
    if manifest.kind == "drop":
        ours = of_months.where(F.col("batch_id") == manifest.batch_id)
        published = sorted({*silver.unpublished} - {*unpublished_batches(settings)})
        if not published or not facts.exists(spark):
            return ours
        theirs = facts.read(spark).where(F.col("invoice_month").isin(silver.months) & F.col("batch_id").isin(published))
        return ours.join(theirs.select("sale_id"), "sale_id", "left_anti")
    of_days = of_months.where(F.col("invoice_day").isin(manifest.days))
    not_live = F.col("batch_id").isin(silver.unpublished)
    if not silver.unpublished or not facts.exists(spark):
        return of_days.where(~not_live)
    days = [int(f"{day:%Y%m%d}") for day in manifest.days]
    live = facts.read(spark).where(F.col("date_key").isin(days) & ~not_live)
    owners = live.select("sale_id", F.col("batch_id").alias("owner"))
    taken = of_days.where(not_live).join(owners, "sale_id").withColumn("batch_id", F.col("owner"))
    return of_days.where(~not_live).unionByName(taken.select(of_days.columns))


def reference(spark: SparkSession, settings: Settings, name: str) -> DataFrame:
    """Return what enrichment has recorded in reference table `name`."""
    return Table(settings.table("reference", name)).read(spark)


def rates_of(fx: DataFrame) -> DataFrame:
    """Return reference table fx_rates as `converted` takes it."""
    return fx.select(
        F.date_format("invoice_day", "yyyyMMdd").cast("int").alias("date_key"),
        F.col("rate_date").alias("fx_date"),
        F.col("source").alias("fx_source"),
        F.col("missing").alias("fx_missing"),
        *[f"rate_{currency.lower()}" for currency in CURRENCIES],
    )


def refreshed(known: DataFrame, facts: DataFrame, dimension: Dimension, members: list[str]) -> DataFrame:
    """Return `members` of a dimension with the facts that are recorded now.

    Args:
        known: The dimension in Delta.
        facts: Natural key, the columns enrichment fills, enriched_at.
        dimension: Its rules.
        members: Natural keys.
    """
    kept = known.drop(*[name for name in facts.columns if name != dimension.natural])
    stale = kept.where(F.col(dimension.natural).isin(members))
    return stale.join(F.broadcast(facts), dimension.natural).select(known.columns)


def star_of(
    spark: SparkSession, settings: Settings, manifest: Manifest, silver: SilverRecord, enriched: EnrichRecord
) -> dict[str, DataFrame]:
    """Return what a run brings to each table of the star, the facts last.

    Besides what its batch brings, these are the rows of earlier batches whose exchange rates, country facts or
    categories have been found or changed since.
    """
    lines = lines_of(spark, settings, manifest, silver).drop("source_file", "source_sha256", "source_line")
    sales = keyed(lines).persist(StorageLevel.MEMORY_AND_DISK)
    first, last = silver.first_day or manifest.days[0], silver.last_day or manifest.days[-1]
    countries = reference(spark, settings, "countries").select("country", *COUNTRY_FACTS, "enriched_at")
    products = reference(spark, settings, "products").select("stock_code", *PRODUCT_FACTS, "enriched_at")
    rates = rates_of(reference(spark, settings, "fx_rates"))
    dimensions = {
        "dim_date": dim_date(spark, first, last),
        "dim_country": dim_country(sales, countries),
        "dim_product": dim_product(sales, products),
        "dim_customer": dim_customer(sales),
        "dim_invoice": dim_invoice(sales),
    }
    for rules, members, facts in (
        (COUNTRY_RULES, enriched.stale_countries, countries),
        (PRODUCT_RULES, enriched.stale_products, products),
    ):
        if members:
            known = Table(settings.table("gold", rules.table)).read(spark)
            dimensions[rules.table] = dimensions[rules.table].unionByName(refreshed(known, facts, rules, members))
    facts = fact_sales(sales)
    if enriched.stale_days:
        days = [int(f"{day:%Y%m%d}") for day in enriched.stale_days]
        earlier = Table(settings.table("gold", "fact_sales")).read(spark)
        others = ~F.col("batch_id").isin([manifest.batch_id, *silver.unpublished])
        facts = facts.unionByName(earlier.where(F.col("date_key").isin(days) & others).select(facts.columns))
    return {name: frame.persist() for name, frame in dimensions.items()} | {"fact_sales": converted(facts, rates)}


def write_fact(
    spark: SparkSession,
    settings: Settings,
    manifest: Manifest,
    silver: SilverRecord,
    enriched: EnrichRecord,
    fact: DataFrame,
) -> None:
    """Replace the batch's or the days' rows of fact_sales in Delta, and those of days whose rates have changed."""
    days = ", ".join(f"{day:%Y%m%d}" for day in sorted({*manifest.days, *enriched.stale_days}))
    live = f" AND NOT {in_list('batch_id', silver.unpublished)}" if silver.unpublished else ""
    ours = [f"(date_key IN ({days}){live})"] if days else []
    if manifest.kind == "drop":
        ours.append(f"batch_id = '{manifest.batch_id}'")
    months = sorted({*silver.months, *[f"{day:%Y-%m}" for day in enriched.stale_days]})
    table = Table(settings.table("gold", "fact_sales"), ("invoice_month",), ("batch_id", "date_key"))
    table.replace(spark, fact, f"{in_list('invoice_month', months)} AND ({' OR '.join(ours)})")
    taken_from = sorted({*silver.unpublished} & {*unpublished_batches(settings)})
    if taken_from and manifest.kind == "drop":
        condition = (
            f"t.{in_list('invoice_month', silver.months)} AND t.{in_list('batch_id', taken_from)} "
            "AND t.invoice_month = s.invoice_month AND t.sale_id = s.sale_id"
        )
        taken = fact.select("invoice_month", "sale_id").alias("s")
        facts = DeltaTable.forPath(spark, table.uri).alias("t")
        retry_conflicts(facts.merge(taken, condition).whenMatchedDelete().execute)


def lake_writes(
    spark: SparkSession,
    settings: Settings,
    manifest: Manifest,
    silver: SilverRecord,
    enriched: EnrichRecord,
    star: dict[str, DataFrame],
) -> list[Callable[[], None]]:
    """Return the Delta writes of a run; each may run beside the others."""
    return [
        partial(write_fact, spark, settings, manifest, silver, enriched, star["fact_sales"]),
        *[partial(write_dimension, spark, settings, rules, star[rules.table]) for rules in DIMENSION_RULES],
    ]


def row_counts(frames: dict[str, DataFrame]) -> dict[str, int]:
    """Return the rows of each frame, counted by one job."""
    counts = [frame.agg(F.lit(name).alias("name"), F.count("*").alias("rows")) for name, frame in frames.items()]
    return {row["name"]: row["rows"] for row in reduce(DataFrame.union, counts).collect()}


def build(
    spark: SparkSession, settings: Settings, manifest: Manifest, silver: SilverRecord, enriched: EnrichRecord
) -> GoldRecord:
    """Bring the lines of a run from Silver into the star and the warehouse's staging tables."""
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as pool:
        prepared = pool.submit(prepare_staging, settings, manifest.batch_id)
        star = star_of(spark, settings, manifest, silver, enriched)
        staged = prepared.result()
    run_together(lake_writes(spark, settings, manifest, silver, enriched, star))
    loading = time.monotonic()
    staged = staged and fill_staging(settings, star, manifest.batch_id)
    load_seconds = time.monotonic() - loading
    return GoldRecord(
        token=uuid.uuid4().hex,
        staged=staged,
        load_seconds=load_seconds if staged else 0.0,
        staged_rows=row_counts(star),
        table_versions={name: table_version(settings.table("gold", name)) for name in star},
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
    run.save_stage("gold", build(spark, settings, run.manifest(), silver, run.stage("enrich", EnrichRecord)))


if __name__ == "__main__":
    main(sys.argv[1])
