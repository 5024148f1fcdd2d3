"""Retail medallion.

A file dropped into the landing folder becomes a star schema: Bronze, Silver and Gold Delta tables, then the warehouse.

* **Drop**: the folder watch starts a run by itself.
* **Trigger**: takes the files named in `files`, or all that wait; with `rebuild_day`, rebuilds that invoice day.
* **Backfill**: one run per invoice day of the range; each rebuilds Silver, Gold and the warehouse for its day from
  Bronze.
"""

from __future__ import annotations

from datetime import date, timedelta
from glob import escape
from typing import Any

from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from include.runs.landing import plain_names
from include.settings import EMBEDDED, get_settings
from retail_spark import spark_master, spark_stage
from retail_timetable import BackfillOnlyTimetable
from retail_watch import LandingFolderTrigger

SETTINGS = get_settings()
LANDING = Asset(
    "retail_landing",
    watchers=[
        AssetWatcher(
            name="landing_folder",
            trigger=LandingFolderTrigger(poll_seconds=SETTINGS.poll_seconds, settle_seconds=SETTINGS.settle_seconds),
        )
    ],
)


def rebuild_day(run: Any, params: dict[str, Any]) -> date | None:
    """Return the invoice day a run rebuilds; None for a run that takes files."""
    if params.get("rebuild_day"):
        return date.fromisoformat(params["rebuild_day"])
    return run.logical_date.date() if run.run_type == "backfill" else None


def gate(run: Any, params: dict[str, Any], events: dict[Any, Any]) -> str:
    """Return what the run waits for: its drop's ticket, the days Bronze holds, or the files to take.

    Raises:
        ValueError: If parameter `files` holds what is not the plain name of a file.
    """
    if rebuild_day(run, params):
        return str(SETTINGS.data_dir / "runs" / ".days" / "*")
    if params.get("files"):
        return str(SETTINGS.data_dir / "landing" / escape(plain_names(params["files"])[0]))
    for happened in events.values():
        for event in happened:
            ticket = (event.extra or {}).get("payload", {}).get("ticket")
            if ticket:
                return str(ticket)
    return str(SETTINGS.data_dir / "landing" / "*")


@task.short_circuit(ignore_downstream_trigger_rules=False)
def claim_files() -> dict[str, Any] | None:
    """Claim the drop or the day; returns the Spark properties that fit its size, None if there is nothing to do.

    Claims nothing while Spark or the lake is out of reach: the files wait in the landing folder.
    """
    from include.lake.connect_server import ask_for_server
    from include.lake.reachable import require_lake, require_spark
    from include.lake.submitting import submit_conf
    from include.pipeline import claim

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    master = spark_master()
    require_spark(SETTINGS, master)
    require_lake(SETTINGS)
    manifest = claim(SETTINGS, run.run_id, params.get("files"), rebuild_day(run, params))
    if SETTINGS.spark_remote.get_secret_value() == EMBEDDED and manifest.has_work:
        ask_for_server(SETTINGS)  # a cold one starts while Airflow gets to the first stage
    return submit_conf(SETTINGS, manifest.input_bytes, master) if manifest.has_work else None


@task(max_active_tis_per_dag=1)
def enrich() -> dict[str, Any]:
    """Look up exchange rates, country facts and product categories; what is missing is marked, never a failure."""
    from include.pipeline import enrich as look_up

    record = look_up(SETTINGS, get_current_context()["dag_run"].run_id)
    return record.model_dump(mode="json", include={"looked_up", "missing"})


@task
def audit() -> dict[str, Any]:
    """Stop the run before anything is published unless rows and money reconcile and quality reaches the bar."""
    from include.pipeline import audit as check
    from include.quality.reconciliation import AuditFailed

    try:
        record = check(SETTINGS, get_current_context()["dag_run"].run_id)
    except AuditFailed as failed:
        raise AirflowFailException(str(failed)) from failed  # another try would find the same
    return record.model_dump(mode="json", include={"status", "overall", "bar", "report"})


@task(max_active_tis_per_dag=1)
def publish() -> None:
    """Make the staged batch live in one transaction."""
    from include.pipeline import publish as make_live

    make_live(SETTINGS, get_current_context()["dag_run"].run_id)


@task(max_active_tis_per_dag=1)
def replicate() -> dict[str, Any]:
    """Bring the SQLite replica what the primary has; one that cannot take it is reported, never a failure."""
    from include.pipeline import replicate as bring_up

    record = bring_up(SETTINGS, get_current_context()["dag_run"].run_id)
    return record.model_dump(mode="json", include={"batches", "lacks"})


@task(max_active_tis_per_dag=1)
def aggregate() -> None:
    """Bring the aggregates, a Gold table and JSON documents, up to what is published."""
    from include.pipeline import aggregate as bring_up

    bring_up(SETTINGS, get_current_context()["dag_run"].run_id)


@task(max_active_tis_per_dag=1)
def index() -> dict[str, Any]:
    """Bring the product search up to what is published; one that is down is reported, never a failure."""
    from include.pipeline import index as bring_up

    record = bring_up(SETTINGS, get_current_context()["dag_run"].run_id)
    return record.model_dump(mode="json", include={"status", "upserted", "removed", "reason"})


@task(trigger_rule="none_failed")
def receipt() -> dict[str, Any]:
    """Account for every row and penny of the run."""
    from include.pipeline import receipt as account

    document = account(SETTINGS, get_current_context()["dag_run"].run_id)
    return document.model_dump(mode="json", include={"status", "rows_in", "rows_loaded", "amount_loaded"})


with DAG(
    dag_id="retail_medallion",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=BackfillOnlyTimetable("0 0 * * *", timezone="UTC"), assets=LANDING),
    catchup=False,
    max_active_runs=8,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    params={
        "files": Param(
            [],
            type="array",
            items={"type": "string"},
            description="Names in the landing folder; the run waits for the first. All files if empty.",
        ),
        "rebuild_day": Param(
            None, type=["null", "string"], format="date", description="Invoice day to rebuild from Bronze."
        ),
    },
    user_defined_macros={"gate": gate},
    tags=["retail"],
) as dag:
    wait_for_files = FileSensor(
        task_id="wait_for_files",
        filepath="{{ gate(dag_run, params, triggering_asset_events) }}",
        deferrable=True,
        poke_interval=2,
        timeout=3600,
    )
    claimed = claim_files()
    bronze, silver, gold = (spark_stage(name, claimed) for name in ("bronze", "silver", "gold"))
    wait_for_files >> claimed >> bronze >> silver >> [enrich(), audit()] >> gold
    copies = [replicate(), aggregate(), index()]
    gold >> (published := publish()) >> receipt() >> copies
    published >> copies  # which a run with nothing to publish skips
