"""Runs and backfills of the pipeline, asked of Airflow."""

from __future__ import annotations

from datetime import date
from typing import Any

from retail_api.data.airflow_api import AirflowApi
from retail_api.domain.paging import Page, page_of
from retail_api.domain.runs import Backfill, BackfillRequest, Run, RunPaging, RunQuery, RunRequest

DAG_ID = "retail_medallion"


class RunsService:
    """Starts and lists runs.

    Each method raises `AirflowRefused` with Airflow's own status and words where it refuses.
    """

    def __init__(self, airflow: AirflowApi) -> None:
        self._airflow = airflow

    async def page(self, query: RunQuery) -> Page[Run]:
        """Return a page of runs, the newest first."""
        only = {"state": query.state} if query.state else {}
        found = await self._airflow.get(
            "dags", DAG_ID, "dagRuns", limit=query.size, offset=query.offset, order_by="-run_after", **only
        )
        return page_of([_run(entry) for entry in found["dag_runs"]], found["total_entries"], query)

    async def one(self, run_id: str) -> Run:
        """Return a run."""
        return _run(await self._airflow.get("dags", DAG_ID, "dagRuns", run_id))

    async def start(self, request: RunRequest) -> Run:
        """Start a run."""
        conf: dict[str, Any] = {}
        if request.files:
            conf["files"] = request.files
        if request.rebuild_day:
            conf["rebuild_day"] = request.rebuild_day.isoformat()
        body = {"logical_date": None, "conf": conf, "note": request.note}
        return _run(await self._airflow.post("dags", DAG_ID, "dagRuns", body=body))

    async def backfills(self, paging: RunPaging) -> Page[Backfill]:
        """Return a page of backfills, the newest first."""
        found = await self._airflow.get(
            "backfills", dag_id=DAG_ID, limit=paging.size, offset=paging.offset, order_by="-id"
        )
        return page_of([_backfill(entry) for entry in found["backfills"]], found["total_entries"], paging)

    async def backfill(self, request: BackfillRequest) -> Backfill:
        """Start a backfill."""
        body = {
            "dag_id": DAG_ID,
            "from_date": _midnight(request.date_from),
            "to_date": _midnight(request.date_to),
            "run_backwards": request.newest_first,
            "reprocess_behavior": request.reprocess,
            "max_active_runs": request.max_active_runs,
        }
        return _backfill(await self._airflow.post("backfills", body=body))


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _run(entry: dict[str, Any]) -> Run:
    return Run(
        run_id=entry["dag_run_id"],
        state=entry["state"],
        run_type=entry["run_type"],
        logical_date=entry["logical_date"],
        queued_at=entry["queued_at"],
        started_at=entry["start_date"],
        ended_at=entry["end_date"],
        triggered_by=entry["triggering_user_name"],
        conf=entry["conf"] or {},
        note=entry["note"],
    )


def _backfill(entry: dict[str, Any]) -> Backfill:
    return Backfill(
        id=entry["id"],
        date_from=entry["from_date"],
        date_to=entry["to_date"],
        reprocess=entry["reprocess_behavior"],
        max_active_runs=entry["max_active_runs"],
        paused=entry["is_paused"],
        created_at=entry["created_at"],
        completed_at=entry["completed_at"],
    )
