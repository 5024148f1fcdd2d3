"""Bronze: raw rows as they came, as strings, with where they came from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from include.lake.connect_server import SparkServerNotNeeded
from include.lake.staging import seen_by_executors
from include.runs.folder import ClaimedFile, Manifest, RunFolder
from include.runs.landing import has_changed, put_back
from include.runs.records import STILL_WRITTEN, BronzeRecord, StagedFile
from include.settings import Settings, get_settings
from include.sources.model import CANONICAL_COLUMNS, SourceRejected
from spark_jobs.session import bronze_table, spark_session, table_version

STAGED_SCHEMA = (
    "line_number bigint, page int, "
    + ", ".join(f"{name} string" for name in CANONICAL_COLUMNS)
    + ", amount string, currency string, occurrence int, extras string, written string, defect string, raw string"
)
"""`include.sources.staged.SCHEMA` in Spark's words."""


def stage(files: Sequence[ClaimedFile], run: RunFolder) -> list[StagedFile]:
    """Read each claimed file into `staged/<sha256>.parquet`; of one that cannot be read, report why at once."""
    # Arrow and DuckDB take half a second to import: here that passes while the JVM starts.
    from include.sources.profiles.library import layouts
    from include.sources.staging import stage_file

    found = []
    known = layouts(run.settings.profiles)
    for number, file in enumerate(files, 1):
        if not run.original(file.name).exists():  # put back by an attempt before this one
            found.append(still_written(file))
            report_rejection(run, file, found[-1])
            continue
        try:
            reading = stage_file(
                run.original(file.name),
                file.name,
                run.staged / f"{file.sha256}.parquet",
                date_order=run.settings.date_order,
                decimal_mark=run.settings.decimal_mark,
                zone=ZoneInfo(run.settings.time_zone),
                base_currency=run.settings.base_currency,
                max_line_bytes=run.settings.max_line_bytes,
                layouts=known,
            )
        except SourceRejected as rejection:
            print(f"[{number}/{len(files)}] {file.name!r} rejected: {rejection}", flush=True)
            found.append(
                StagedFile(
                    name=file.name,
                    sha256=file.sha256,
                    code=rejection.code,
                    problem=rejection.problem,
                    remedy=rejection.remedy,
                    line=rejection.line,
                    value=rejection.value,
                )
            )
        else:
            amounts = {run.settings.base_currency: reading.amount, **reading.foreign_amounts}
            money = ", ".join(f"{amount} {currency}" for currency, amount in amounts.items())
            print(f"[{number}/{len(files)}] {file.name!r}: {reading.rows:,} rows, {money}", flush=True)
            found.append(StagedFile(name=file.name, sha256=file.sha256, reading=reading))
        if has_changed(run, file):
            name = put_back(run, file)
            print(f"[{number}/{len(files)}] {file.name!r} was still being written; put back as {name!r}", flush=True)
            found[-1] = still_written(file)
        if found[-1].reading is None:
            report_rejection(run, file, found[-1])
    return found


def report_rejection(run: RunFolder, file: ClaimedFile, staged: StagedFile) -> None:
    """Write the report for the sender of a file that cannot be read; the audit writes it again."""
    from include.quality.sender_report import rejection_report

    rejection_report(run, file, staged)


def still_written(file: ClaimedFile) -> StagedFile:
    """Return the record of a file that was put back into the landing folder."""
    code, problem, remedy = STILL_WRITTEN
    return StagedFile(name=file.name, sha256=file.sha256, code=code, problem=problem, remedy=remedy)


def bronze_rows(staged: DataFrame, files: Sequence[StagedFile], manifest: Manifest) -> DataFrame:
    """Return staged rows with their origin.

    Args:
        staged: Rows of `<sha256>.parquet` files (STAGED_SCHEMA).
        files: The files they come from, all read.
        manifest: The run.

    Returns:
        The 8 canonical columns as text, amount, currency, occurrence, extras, written, defect, raw, source_file,
        source_sha256, source_line, source_page, batch_id, ingested_at, ingest_date.
    """
    sha256 = F.substring_index(F.col("_metadata.file_name"), ".", 1)

    def of_file(values: dict[str, str]) -> Column:
        pairs = [F.lit(part) for pair in values.items() for part in pair]
        return F.element_at(F.create_map(*pairs), sha256)

    return staged.select(
        *CANONICAL_COLUMNS,
        "amount",
        "currency",
        "occurrence",
        "extras",
        "written",
        "defect",
        "raw",
        of_file({file.sha256: file.name for file in files}).alias("source_file"),
        sha256.alias("source_sha256"),
        F.col("line_number").alias("source_line"),
        F.col("page").alias("source_page"),
        F.lit(manifest.batch_id).alias("batch_id"),
        F.lit(manifest.claimed_at.replace(tzinfo=None)).cast("timestamp").alias("ingested_at"),
        F.lit(manifest.claimed_at.date()).alias("ingest_date"),
    )


def write(spark: SparkSession, settings: Settings, run: RunFolder, files: Sequence[StagedFile]) -> int | None:
    """Append the staged files to Bronze once; return the table version, None if there is nothing to append."""
    manifest = run.manifest()
    read = [file for file in files if file.reading is not None]
    if not read:
        return None
    table = bronze_table(settings)
    parquet = [run.staged / f"{file.sha256}.parquet" for file in read]
    with seen_by_executors(settings, manifest.batch_id, parquet) as paths:
        staged = spark.read.schema(STAGED_SCHEMA).parquet(*paths)
        table.append_once(bronze_rows(staged, read, manifest), f"bronze-{manifest.batch_id}")
    return table_version(table.uri)


def record(files: list[StagedFile], version: int | None, seconds: float) -> BronzeRecord:
    """Return what the stage leaves: the files, and the rows and money by currency their readers counted."""
    readings = [file.reading for file in files if file.reading is not None]
    foreign: dict[str, Decimal] = {}
    for reading in readings:
        for currency, amount in reading.foreign_amounts.items():
            foreign[currency] = foreign.get(currency, Decimal(0)) + amount
    return BronzeRecord(
        files=files,
        rows=sum(reading.rows for reading in readings),
        amount=sum((reading.amount for reading in readings), Decimal(0)),
        foreign_amounts=foreign,
        table_version=version,
        seconds=seconds,
    )


def holds_nothing(staged: Future[list[StagedFile]]) -> bool:
    """Return whether all files have been staged and none could be read."""
    return staged.done() and all(file.reading is None for file in staged.result())


def main(run_id: str) -> None:
    """Run the stage."""
    started = time.monotonic()
    settings = get_settings()
    run = RunFolder(settings, run_id)
    manifest = run.manifest()
    files: list[StagedFile] = []
    version: int | None = None
    if manifest.new_files:
        run.staged.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(max_workers=1) as reader:
            staged = reader.submit(stage, manifest.new_files, run)
            nothing_read = partial(holds_nothing, staged)
            with (
                suppress(SparkServerNotNeeded),
                spark_session(settings, f"bronze {run_id}", manifest.input_bytes, nothing_read) as spark,
            ):
                version = write(spark, settings, run, staged.result())
            files = staged.result()
    run.save_stage("bronze", record(files, version, time.monotonic() - started))
