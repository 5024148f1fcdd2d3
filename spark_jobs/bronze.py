"""Bronze: raw rows as they came, as strings, with where they came from.

Usage: spark-submit bronze.py RUN_ID
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from include.records import BronzeRecord, StagedFile
from include.runs import ClaimedFile, Manifest, RunFolder
from include.settings import Settings, get_settings
from include.sources.model import CANONICAL_COLUMNS, SourceReading, SourceRejected
from include.sources.staging import stage_file
from spark_jobs.session import append_once, spark_session, table_version


def stage(file: ClaimedFile, run: RunFolder) -> StagedFile:
    """Read one claimed file into `staged/<sha256>.parquet`; a file that cannot be read yields its rejection."""
    try:
        reading = stage_file(
            run.original(file.name),
            file.name,
            run.staged / f"{file.sha256}.parquet",
            date_order=run.settings.date_order,
            max_line_bytes=run.settings.max_line_bytes,
        )
    except SourceRejected as rejection:
        return StagedFile(
            name=file.name,
            sha256=file.sha256,
            code=rejection.code,
            problem=rejection.problem,
            remedy=rejection.remedy,
            line=rejection.line,
            value=rejection.value,
        )
    return StagedFile(name=file.name, sha256=file.sha256, reading=reading)


def bronze_rows(staged: DataFrame, file: StagedFile, reading: SourceReading, manifest: Manifest) -> DataFrame:
    """Return staged rows with their origin.

    Returns:
        The 8 canonical columns as text, extras, defect, raw, source_file, source_sha256, source_line, source_page,
        date_order, date_separator, decimal_mark, batch_id, ingested_at, ingest_date.
    """
    decisions = reading.decisions
    return staged.select(
        *CANONICAL_COLUMNS,
        "extras",
        "defect",
        "raw",
        F.lit(file.name).alias("source_file"),
        F.lit(file.sha256).alias("source_sha256"),
        F.col("line_number").alias("source_line"),
        F.col("page").alias("source_page"),
        F.lit(decisions.date_order).alias("date_order"),
        F.lit(decisions.date_separator).alias("date_separator"),
        F.lit(decisions.decimal_mark).alias("decimal_mark"),
        F.lit(manifest.batch_id).alias("batch_id"),
        F.lit(manifest.claimed_at.replace(tzinfo=None)).cast("timestamp").alias("ingested_at"),
        F.lit(manifest.claimed_at.date()).alias("ingest_date"),
    )


def write(spark: SparkSession, settings: Settings, run: RunFolder, files: Sequence[StagedFile]) -> int | None:
    """Append the staged files to Bronze once; return the table version, None if there is nothing to append."""
    manifest = run.manifest()
    frames = [
        bronze_rows(spark.read.parquet(str(run.staged / f"{file.sha256}.parquet")), file, file.reading, manifest)
        for file in files
        if file.reading is not None
    ]
    if not frames:
        return None
    uri = settings.table("bronze", "invoice_lines")
    append_once(reduce(DataFrame.unionByName, frames), uri, f"bronze-{manifest.batch_id}", ["ingest_date"])
    return table_version(spark, uri)


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
        with ThreadPoolExecutor(max_workers=1) as reader:  # reads while the JVM starts
            staged = [reader.submit(stage, file, run) for file in manifest.new_files]
            spark = spark_session(f"bronze {run_id}")
            files = [future.result() for future in staged]
        version = write(spark, settings, run, files)
    readings = [file.reading for file in files if file.reading is not None]
    run.save_stage(
        "bronze",
        BronzeRecord(
            files=files,
            rows=sum(reading.rows for reading in readings),
            amount=sum((reading.amount for reading in readings), Decimal(0)),
            table_version=version,
            seconds=time.monotonic() - started,
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1])
