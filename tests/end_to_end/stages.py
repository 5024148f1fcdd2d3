"""A run's tasks in their order, each Spark stage by spark-submit, as the DAG submits it but without Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from include.lake.submitting import ENTRY_POINT, submit_command, submit_conf, submit_environment
from include.pipeline import aggregate, audit, claim, enrich, index, receipt
from include.receipts.model import Receipt
from include.runs.landing import landing
from include.settings import Settings
from tests.support.steps import publish

MASTER = "local[2]"


def submit(settings: Settings, stage: str, run_id: str, input_bytes: int, master: str = MASTER) -> None:
    """Run one Spark stage."""
    (settings.data_dir / "services" / "spark-local").mkdir(parents=True, exist_ok=True)
    environment = submit_environment() | {
        "RETAIL_DATA_DIR": str(settings.data_dir),
        "RETAIL_SPARK_JARS_DIR": str(settings.jars),
        "DATABASE_URL": settings.database_url.get_secret_value(),
    }
    conf = submit_conf(settings, input_bytes, master)
    subprocess.run(submit_command(ENTRY_POINT, [stage, run_id], conf, master), env=environment, check=True)


def load(settings: Settings, run_id: str, *sources: Path, master: str = MASTER) -> Receipt:
    """Drop files and take them all the way to the receipt, the stages on a Spark master."""
    for source in sources:
        partial = landing(settings) / f".{os.getpid()}"
        shutil.copyfile(source, partial)
        partial.rename(landing(settings) / source.name)
    manifest = claim(settings, run_id)
    if manifest.has_work:
        for stage in ("bronze", "silver"):
            submit(settings, stage, run_id, manifest.input_bytes, master)
        enrich(settings, run_id)
        audit(settings, run_id)
        submit(settings, "gold", run_id, manifest.input_bytes, master)
        publish(settings, run_id)
        aggregate(settings, run_id)
        index(settings, run_id)
    return receipt(settings, run_id)
