"""Run the three stages once on a few lines, so that a class archive recorded at exit holds the classes they load.

Usage: python -m spark_jobs.training SCRATCH_FOLDER, as a client of the Spark Connect server that records them.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.reference import COUNTRIES, CURRENCY_RATES, FX_RATES, PRODUCTS
from include.runs.folder import ClaimedFile, Manifest, RunFolder
from include.runs.records import EnrichRecord, StagedFile
from include.settings import Settings
from include.sources.model import CANONICAL_COLUMNS, FileDecisions, SourceReading
from spark_jobs import bronze, gold, silver
from spark_jobs.session import spark_session

LINES = 40


def staged_lines() -> pa.Table:
    """Return a few raw lines in the staging layout, one of them broken, one repeated."""
    rows = [
        (f"5{n // 4:05}", f"{20000 + n % 7}", "MUG", str(n % 5 - 1), "2010-12-01 08:26:00", "2.55", "17850", "France")
        for n in range(LINES)
    ]
    rows += [rows[0], ("536365", "22423", "JUG", "many", "2010-12-01 08:26:00", "2.55", "17850", "France")]
    columns = {
        name: pa.array(values, pa.string())
        for name, values in zip(CANONICAL_COLUMNS, zip(*rows, strict=True), strict=True)
    }
    missing = pa.nulls(len(rows), pa.string())
    return pa.table(
        {"line_number": pa.array(range(len(rows)), pa.int64()), "page": pa.nulls(len(rows), pa.int32())}
        | columns
        | {"extras": missing, "defect": missing, "raw": missing}
    )


def main(scratch: str) -> None:
    """Run the stages below `scratch`."""
    settings = Settings(data_dir=Path(scratch), lake_uri="")  # whatever the lake of the instance is
    for table in (FX_RATES, CURRENCY_RATES, COUNTRIES, PRODUCTS):
        table.upsert(settings, [])
    with spark_session(settings, "training", 0) as spark:
        for number in range(2):
            run = RunFolder(settings, f"training-{number}")
            now = datetime.now(UTC)
            claimed = ClaimedFile(name="training.csv", sha256=f"{number:064}", bytes=0, status="new")
            manifest = Manifest(
                run_id=run.run_id, batch_id=f"training-{number}", kind="drop", claimed_at=now, files=[claimed]
            )
            run.save_manifest(manifest)
            run.staged.mkdir(parents=True)
            table = staged_lines()
            pq.write_table(table, run.staged / f"{claimed.sha256}.parquet")
            reading = SourceReading(
                decisions=FileDecisions(format="csv"), rows=table.num_rows, defects={}, amount=Decimal(0), seconds=0
            )
            file = StagedFile(name=claimed.name, sha256=claimed.sha256, reading=reading)
            bronze.write(spark, settings, run, [file])
            gold.build(spark, settings, manifest, silver.refine(spark, settings, manifest, []), EnrichRecord())


if __name__ == "__main__":
    main(sys.argv[1])
