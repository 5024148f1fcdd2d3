"""Silver: typed, normalised, classified lines, each exactly once; the rest counted or quarantined."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pyarrow.compute as pc
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from include.domain.line import trim
from include.enrichment.country_names import renamed
from include.runs.folder import Manifest, RunFolder
from include.runs.marks import batches_of_day, mark_days, unpublished_batches
from include.runs.records import Balance, BronzeRecord, SilverRecord
from include.settings import Settings, get_settings
from spark_jobs.lines import (
    DUPLICATE,
    LINE,
    QUARANTINED,
    SILVER_SCHEMA,
    judged,
    normalised,
    parsed,
    quarantined,
)
from spark_jobs.rules import may_name_day
from spark_jobs.session import Table, bronze_table, in_list, persisted, silver_table, spark_session, table_version

Amounts = defaultdict[str, Decimal]
"""Currency -> money."""


def owned(spark: SparkSession, silver: Table, lines: DataFrame, manifest: Manifest) -> DataFrame:
    """Return `lines` with owner: of a rebuild, the batch that has the line in Silver, so that it stays with it."""
    if manifest.kind == "drop" or not silver.exists():
        return lines.withColumn("owner", F.lit(None).cast("string"))
    months = sorted({f"{day:%Y-%m}" for day in manifest.days})
    of_days = F.col("invoice_month").isin(months) & F.col("invoice_day").isin(manifest.days)
    owners = silver.read(spark).where(of_days).select("sale_id", F.col("batch_id").alias("owner"))
    return lines.join(F.broadcast(owners), "sale_id", "left")


def bronze_of(spark: SparkSession, settings: Settings, manifest: Manifest) -> DataFrame:
    """Return the Bronze rows a run works on: its own batch, or those that may be of the rebuilt days."""
    bronze = bronze_table(settings).read(spark)
    if manifest.kind == "drop":
        ingested = F.lit(manifest.claimed_at.date())
        return bronze.where((F.col("ingest_date") == ingested) & (F.col("batch_id") == manifest.batch_id))
    return bronze.where(F.col("batch_id").isin(manifest.source_batches) & may_name_day("invoice_date", manifest.days))


def countries_of(settings: Settings, manifest: Manifest) -> dict[str, str]:
    """Return the countries in a run's Bronze rows that are written otherwise than their one name, and that name."""
    batches = [manifest.batch_id] if manifest.kind == "drop" else manifest.source_batches
    bronze = DeltaTable(bronze_table(settings).uri).to_pyarrow_dataset()
    scanner = bronze.scanner(["country"], pc.field("batch_id").isin(batches))
    texts = {text for batch in scanner.to_batches() for text in pc.unique(batch.column("country")).to_pylist()}
    return renamed(sorted(name for text in texts if (name := trim(text))))


def insert_new(spark: SparkSession, table: Table, lines: DataFrame, months: list[str], unpublished: list[str]) -> None:
    """Insert the lines whose sale_id Silver does not hold; looks into the touched months only.

    Lines that a batch of `unpublished` brought become this batch's: the run of that batch may never publish them.
    """
    if unpublished and table.exists():
        table.merge(
            lines,
            f"t.{in_list('invoice_month', months)} AND t.invoice_month = s.invoice_month AND t.sale_id = s.sale_id",
            f"WHEN MATCHED AND t.{in_list('batch_id', unpublished)} THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        )
        return

    def insert() -> None:
        known = table.read(spark).where(F.col("invoice_month").isin(months)).select("invoice_month", "sale_id")
        table.append(lines.join(known, ["invoice_month", "sale_id"], "left_anti").select(*SILVER_SCHEMA.fieldNames()))

    table.update(lines, insert)


class Tally:
    """Rows and money of each outcome, reason code, invoice day and currency; null money counts 0."""

    def __init__(self, rows: DataFrame) -> None:
        amount = F.coalesce(F.sum("amount"), F.lit(Decimal(0)))
        code = F.when(F.col("outcome") == QUARANTINED, F.element_at("codes", 1)).alias("code")
        self.groups = rows.groupBy("outcome", code, "invoice_day", "currency").agg(F.count("*"), amount).collect()

    def total(self, outcome: str | None = None) -> tuple[int, Amounts]:
        """Return rows and money by currency of one outcome, or of all."""
        of = [group for group in self.groups if outcome in {None, group[0]}]
        amounts: Amounts = defaultdict(Decimal)
        for group in of:
            amounts[group[3]] += group[5]
        return sum(group[4] for group in of), amounts

    def codes(self) -> dict[str, int]:
        """Return the quarantined rows by code."""
        found: Counter[str] = Counter()
        for outcome, code, _, _, rows, _ in self.groups:
            if outcome == QUARANTINED:
                found[code] += rows
        return dict(sorted(found.items()))

    def days(self) -> list[date]:
        """Return the invoice days of valid lines in order."""
        return sorted({group[2] for group in self.groups if group[0] != QUARANTINED})


def written(lines: DataFrame) -> tuple[int, Amounts]:
    """Return rows and money by currency of Silver lines."""
    groups = lines.groupBy("currency").agg(F.count("*"), F.sum("amount")).collect()
    amounts: Amounts = defaultdict(Decimal, {group[0]: group[2] for group in groups})
    return sum(group[1] for group in groups), amounts


def refine(spark: SparkSession, settings: Settings, manifest: Manifest, unpublished: Sequence[str]) -> SilverRecord:
    """Bring a run's Bronze rows into Silver and quarantine, and account for each.

    Args:
        spark: Session.
        settings: Where the tables are.
        manifest: The run.
        unpublished: Other batches in Silver that are not live, or were not at an earlier attempt. A drop takes over
            lines that it shares with them; a rebuild leaves theirs to their own runs.
    """
    started = time.monotonic()
    rows = parsed(bronze_of(spark, settings, manifest))
    if manifest.kind == "rebuild":
        rows = rows.where(F.to_date("sold_at").isin(manifest.days))
    silver = silver_table(settings)
    lines = normalised(rows, countries_of(settings, manifest), settings.base_currency)
    rows = judged(owned(spark, silver, lines, manifest))
    with persisted(rows):
        tally = Tally(rows)
        days, codes = tally.days(), tally.codes()
        months = sorted({f"{day:%Y-%m}" for day in [*days, *manifest.days]})
        quarantine = Table(settings.table("silver", "quarantine"), (), ("batch_id", "invoice_day"))
        unique = rows.where(F.col("outcome") == LINE).select(*SILVER_SCHEMA.fieldNames())
        numbers = {
            name: F.col(name).cast(SILVER_SCHEMA[name].dataType) for name in ("quantity", "unit_price", "amount")
        }
        unique = unique.withColumns(numbers)
        if manifest.kind == "drop":
            batches, ours = [manifest.batch_id], F.col("batch_id") == manifest.batch_id
            if days:
                insert_new(spark, silver, unique, months, sorted({*unpublished} & {*unpublished_batches(settings)}))
            if codes:
                quarantine.append_once(quarantined(rows), f"quarantine-{manifest.batch_id}")
        else:
            batches = manifest.source_batches
            ours = F.col("invoice_day").isin(manifest.days) & ~F.col("batch_id").isin(list(unpublished))
            of_days = in_list("invoice_day", [day.isoformat() for day in manifest.days])
            silver.replace(unique, f"{in_list('invoice_month', months)} AND {of_days}")
            if codes or quarantine.exists():
                quarantine.replace(quarantined(rows), of_days)
    rows_loaded, loaded = 0, Amounts(Decimal)
    if months:
        rows_loaded, loaded = written(silver.read(spark).where(F.col("invoice_month").isin(months) & ours))
    for batch in batches:
        mark_days(settings, batch, days)
    (rows_in, came), (firsts, of_firsts) = tally.total(), tally.total(LINE)
    (repeats, of_repeats), (_, of_quarantined) = tally.total(DUPLICATE), tally.total(QUARANTINED)
    balances = {
        currency: Balance(
            amount_in=came[currency],
            amount_loaded=loaded[currency],
            amount_duplicate=of_repeats[currency],
            amount_already_seen=of_firsts[currency] - loaded[currency],
            amount_quarantined=of_quarantined[currency],
        )
        for currency in sorted({*came, *loaded})
    }
    base = balances.pop(settings.base_currency, Balance())
    return SilverRecord(
        **base.model_dump(),
        rows_in=rows_in,
        rows_loaded=rows_loaded,
        rows_duplicate=repeats,
        rows_already_seen=firsts - rows_loaded,
        rows_quarantined=codes,
        other_currencies=balances,
        first_day=days[0] if days else None,
        last_day=days[-1] if days else None,
        months=months,
        unpublished=sorted(unpublished),
        table_version=table_version(silver.uri) if months else None,
        quarantine_version=table_version(quarantine.uri) if codes else None,
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
    if manifest.kind == "rebuild":
        # A drop claimed after this run may have come to Silver before it.
        batches = {
            *manifest.source_batches,
            *(batch for day in manifest.days for batch in batches_of_day(settings, day)),
        }
        manifest = manifest.model_copy(update={"source_batches": sorted(batches)})
        run.save_manifest(manifest)
    unpublished = run.note_unpublished(manifest)
    with spark_session(settings, f"silver {run_id}", manifest.input_bytes) as spark:
        run.save_stage("silver", refine(spark, settings, manifest, unpublished))
