"""Runs and backfills of the pipeline."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request

from retail_api.access.audit_trail import note
from retail_api.access.security import Editor, Reader
from retail_api.data.airflow_api import AirflowApi
from retail_api.domain.operations import RunId
from retail_api.domain.paging import Page
from retail_api.domain.runs import Backfill, BackfillRequest, Run, RunPaging, RunQuery, RunRequest
from retail_api.routes.answers import problem_responses
from retail_api.services.runs import RunsService

router = APIRouter(tags=["runs"], responses=problem_responses(502))


def airflow_api(caller: Reader) -> AirflowApi:
    """Return Airflow's API, asked as the caller; the app is the one of the API server that runs this."""
    from airflow.api_fastapi.main import app

    from retail_api.access.airflow_users import token_of

    return AirflowApi(app, token_of, caller)


Airflow = Annotated[AirflowApi, Depends(airflow_api)]


@router.get("/runs", summary="Runs of the pipeline")
async def runs(caller: Reader, airflow: Airflow, query: Annotated[RunQuery, Query()]) -> Page[Run]:
    """Return runs, the newest first, as far as Airflow lets the caller see them."""
    return await RunsService(airflow).page(query)


@router.get("/runs/{run_id}", summary="One run", responses=problem_responses(404))
async def run(caller: Reader, airflow: Airflow, run_id: RunId) -> Run:
    """Return a run; its receipt is at `/receipts/{run_id}` once it has ended."""
    return await RunsService(airflow).one(run_id)


@router.post("/runs", status_code=201, summary="Start a run", responses=problem_responses(400, 409))
async def start_run(
    http: Request, caller: Editor, airflow: Airflow, request: Annotated[RunRequest | None, Body()] = None
) -> Run:
    """Start a run that takes the waiting files, some of them, or rebuilds an invoice day.

    Asked of Airflow's own API as the caller, who needs Airflow's permission to trigger the DAG as well.
    """
    started = await RunsService(airflow).start(request or RunRequest())
    note(http, run_id=started.run_id, conf=started.conf)
    return started


@router.get("/backfills", summary="Backfills of the pipeline")
async def backfills(caller: Reader, airflow: Airflow, query: Annotated[RunPaging, Query()]) -> Page[Backfill]:
    """Return backfills, the newest first."""
    return await RunsService(airflow).backfills(query)


@router.post("/backfills", status_code=201, summary="Start a backfill", responses=problem_responses(400, 404, 409))
async def start_backfill(http: Request, caller: Editor, airflow: Airflow, request: BackfillRequest) -> Backfill:
    """Rebuild a range of invoice days from Bronze, a run each; asked of Airflow's own API as the caller."""
    started = await RunsService(airflow).backfill(request)
    note(http, backfill=started.id, **request.model_dump(mode="json"))
    return started
