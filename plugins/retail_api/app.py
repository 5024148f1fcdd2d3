"""Pages about runs, behind Airflow's own sign-in and permissions."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.responses import HTMLResponse

from include.runs import RUN_ID
from include.settings import get_settings

DAG_ID = "retail_medallion"

PAGE_HEADERS = {
    # The page is one file with its plots and styles; it neither runs nor loads anything.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

may_read_runs = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=DAG_ID)


def create_app() -> FastAPI:
    """Return the app; each route needs a user who may read the runs of the DAG."""
    app = FastAPI(
        title="Retail Lakehouse", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_read_runs)]
    )

    @app.get("/quality/{run_id}", response_class=HTMLResponse)
    def quality_report(run_id: str) -> HTMLResponse:
        """Return the quality report of a run."""
        report = get_settings().data_dir / "quality" / f"{run_id}.html"
        if not RUN_ID.match(run_id) or not report.is_file():
            raise HTTPException(status.HTTP_404_NOT_FOUND, "This run has no quality report; task audit writes it.")
        return HTMLResponse(report.read_text(encoding="utf-8"), headers=PAGE_HEADERS)

    return app
