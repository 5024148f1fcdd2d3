"""Gold: the star schema in Delta and the warehouse's staging tables by JDBC."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce

import pyarrow.compute as pc
from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from include.domain.star import COUNTRY_FACTS, DIMENSION_RULES, PRODUCT_FACTS, Dimension
from include.runs.folder import Manifest, RunFolder
from include.runs.marks import unpublished_batches
from include.runs.records import EnrichRecord, GoldRecord, SilverRecord
from include.settings import Settings, get_settings
from spark_jobs.lines import SILVER_SCHEMA
from spark_jobs.session import (
    Table,
    in_list,
    persisted,
    retry_conflicts,
    silver_table,
    spark_session,
    table_version,
)
from spark_jobs.star import (
    base_rates_of,
    converted,
    dim_country,
    dim_customer,
    dim_date,
    dim_invoice,
    dim_product,
    fact_sales,
    keyed,
    merged,
    rates_of,
    refreshed,
)

COUNTRY_RULES, PRODUCT_RULES = (
    next(rules for rules in DIMENSION_RULES if rules.table == name) for name in ("dim_country", "dim_product")
)

FACT = "fact_sales"
SELDOM_CHANGED = ("dim_date", "dim_country")
"""Dimensions to which a batch usually brings nothing new."""

SALE_COLUMNS = tuple(
    name for name in SILVER_SCHEMA.fieldNames() if not name.startswith("source_") and name != "country_as_written"
)
"""What Gold takes of Silver: all but where a line was read, and how it writes its country."""

log = logging.getLogger(__name__)

STAGING_SECONDS = 60.0
"""How long making the staging tables may take."""

STAGED_FROM_LINES = 20_000
"""Smaller batches are not loaded by JDBC: publishing takes them from Gold by COPY, which costs them less."""

FACT_PARTITIONS = 2
"""Connections that load the facts into the warehouse side by side."""


def write_dimension(spark: SparkSession, settings: Settings, dimension: Dimension, staged: DataFrame) -> None:
    """Merge the rows of a batch into a dimension in Delta.

    The dimension is small beside the facts and rewritten whole: a MERGE joins, then rewrites nearly as much.
    """
    table = Table(settings.table("gold", dimension.table))
    if dimension.table in SELDOM_CHANGED and table.exists() and not changes(dimension, table, staged):
        return
    table.rewrite(spark, staged, partial(merged, dimension=dimension))


def changes(dimension: Dimension, table: Table, staged: DataFrame) -> bool:
    """Return whether the rows of a batch change a dimension in Delta."""
    known = {row[dimension.key]: row for row in DeltaTable(table.uri).to_pyarrow_table().to_pylist()}
    rows = staged.toArrow().to_pylist()
    return any(dimension.is_changed_by(row, known.get(row[dimension.key])) for row in rows)


def write_staging(frame: DataFrame, settings: Settings, table: str, batch_id: str) -> None:
    """Fill the empty staging table of this batch."""
    from include.warehouse import jdbc_options, loaded_columns, qualified_staging_table

    url, properties = jdbc_options(settings)
    name = qualified_staging_table(settings, table, batch_id)
    partitions = FACT_PARTITIONS if table == FACT else 1
    columns = [column.name for column in loaded_columns(table)]
    frame.select(*columns).coalesce(partitions).write.jdbc(url, name, mode="append", properties=properties)


def prepare_staging(settings: Settings, batch_id: str) -> bool:
    """Make the batch's staging tables, empty; return False if the warehouse cannot take them."""
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
    lines = silver_table(settings).read(spark).select(*SALE_COLUMNS)
    of_months = lines.where(F.col("invoice_month").isin(silver.months))
    facts = Table(settings.table("gold", "fact_sales"))
    if manifest.kind == "drop":
        ours = of_months.where(F.col("batch_id") == manifest.batch_id)
        published = sorted({*silver.unpublished} - {*unpublished_batches(settings)})
        if not published or not facts.exists():
            return ours
        theirs = facts.read(spark).where(F.col("invoice_month").isin(silver.months) & F.col("batch_id").isin(published))
        return ours.join(theirs.select("sale_id"), "sale_id", "left_anti")
    of_days = of_months.where(F.col("invoice_day").isin(manifest.days))
    not_live = F.col("batch_id").isin(silver.unpublished)
    if not silver.unpublished or not facts.exists():
        return of_days.where(~not_live)
    days = [int(f"{day:%Y%m%d}") for day in manifest.days]
    live = facts.read(spark).where(F.col("date_key").isin(days) & ~not_live)
    owners = live.select("sale_id", F.col("batch_id").alias("owner"))
    taken = of_days.where(not_live).join(owners, "sale_id").withColumn("batch_id", F.col("owner"))
    return of_days.where(~not_live).unionByName(taken.select(*SALE_COLUMNS))


def reference(spark: SparkSession, settings: Settings, name: str) -> DataFrame:
    """Return what enrichment has recorded in reference table `name`."""
    return Table(settings.table("reference", name)).read(spark)


def star_of(
    spark: SparkSession,
    settings: Settings,
    manifest: Manifest,
    silver: SilverRecord,
    enriched: EnrichRecord,
    sales: DataFrame,
) -> dict[str, DataFrame]:
    """Return what a run brings to each table of the star from its `keyed` lines, the facts last.

    Besides what its batch brings, these are the rows of earlier batches whose exchange rates, country facts or
    categories have been found or changed since.
    """
    first, last = silver.first_day or manifest.days[0], silver.last_day or manifest.days[-1]
    countries = reference(spark, settings, "countries").select("country", *COUNTRY_FACTS, "enriched_at")
    products = reference(spark, settings, "products").select("stock_code", *PRODUCT_FACTS, "enriched_at")
    rates = rates_of(reference(spark, settings, "fx_rates"))
    base_rates = base_rates_of(reference(spark, settings, "currency_rates"))
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
    return dimensions | {FACT: converted(facts, rates, base_rates, settings.base_currency)}


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
    if days or not table.exists() or holds(table, manifest.batch_id, months):
        table.replace(fact, f"{in_list('invoice_month', months)} AND ({' OR '.join(ours)})")
    else:
        append_batch(spark, table, fact, manifest.batch_id, months)
    taken_from = sorted({*silver.unpublished} & {*unpublished_batches(settings)})
    if taken_from and manifest.kind == "drop":
        condition = (
            f"t.{in_list('invoice_month', silver.months)} AND t.{in_list('batch_id', taken_from)} "
            "AND t.invoice_month = s.invoice_month AND t.sale_id = s.sale_id"
        )
        table.merge(fact.select("invoice_month", "sale_id"), condition, "WHEN MATCHED THEN DELETE")


def holds(table: Table, batch_id: str, months: list[str]) -> bool:
    """Return whether a table partitioned by invoice_month holds rows of a batch in these months."""
    rows = DeltaTable(table.uri).to_pyarrow_dataset(file_pruning_predicate=[("invoice_month", "in", months)])
    return bool(rows.head(1, columns=["batch_id"], filter=pc.field("batch_id") == batch_id).num_rows)


def append_batch(spark: SparkSession, table: Table, fact: DataFrame, batch_id: str, months: list[str]) -> None:
    """Append the facts of a batch that Gold does not hold; less work than replacing none by them.

    Facts that another attempt of the same run adds meanwhile conflict with this append and are left out of its retry.
    """

    def append() -> None:
        ours = table.read(spark).where(F.col("invoice_month").isin(months) & (F.col("batch_id") == batch_id))
        table.append(fact.join(ours.select("sale_id"), "sale_id", "left_anti"))

    retry_conflicts(append)


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
        partial(write_fact, spark, settings, manifest, silver, enriched, star[FACT]),
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
    sales = keyed(lines_of(spark, settings, manifest, silver))
    star = star_of(spark, settings, manifest, silver, enriched, sales)
    by_jdbc = silver.rows_loaded >= STAGED_FROM_LINES and settings.database_type != "sqlite"
    counted = star if by_jdbc else {FACT: star[FACT]}
    with persisted(sales, *[frame for name, frame in star.items() if by_jdbc and name != FACT]):
        with ThreadPoolExecutor(max_workers=1) as pool:
            prepared = pool.submit(prepare_staging, settings, manifest.batch_id) if by_jdbc else None
            run_together(lake_writes(spark, settings, manifest, silver, enriched, star))
            staged = prepared is not None and prepared.result()
        loading = time.monotonic()
        staged = staged and fill_staging(settings, star, manifest.batch_id)
        load_seconds = time.monotonic() - loading
        rows = row_counts(counted)
    return GoldRecord(
        token=uuid.uuid4().hex,
        staged=staged,
        load_seconds=load_seconds if staged else 0.0,
        staged_rows=rows,
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
    manifest, enriched = run.manifest(), run.stage("enrich", EnrichRecord)
    with spark_session(settings, f"gold {run_id}", manifest.input_bytes) as spark:
        run.save_stage("gold", build(spark, settings, manifest, silver, enriched))
