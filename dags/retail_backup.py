"""Retail backup: backs up the lake, the records of the runs and the audit trail, when RETAIL_BACKUP_SCHEDULE says.

Paused until somebody turns it on. Older backups beyond RETAIL_BACKUP_KEEP are deleted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.timetables.trigger import CronTriggerTimetable

from include.settings import get_settings


@task(retries=2, retry_delay=timedelta(minutes=5))
def back_up() -> dict[str, Any]:
    """Make a backup and check it; returns what it holds."""
    from include.backup import back_up as make

    return make(get_settings()).model_dump(mode="json")


with DAG(
    dag_id="retail_backup",
    schedule=CronTriggerTimetable(get_settings().backup_schedule, timezone="UTC"),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["retail"],
):
    back_up()
