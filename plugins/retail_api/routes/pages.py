"""Pages about runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from include.runs.folder import RUN_ID
from retail_api.access.security import Reader
from retail_api.domain.errors import NotFound
from retail_api.resources import SharedSettings
from retail_api.routes.answers import problem_responses

router = APIRouter(tags=["pages"])

PAGE_HEADERS = {
    # The page is one file with its plots and styles; it neither runs nor loads anything.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Cache-Control": "no-store",
}


@router.get("/quality/{run_id}", response_class=HTMLResponse, responses=problem_responses(404))
def quality_report(
    run_id: Annotated[str, Path(description="Airflow run id", examples=["drop__20110104T101500"])],
    caller: Reader,
    settings: SharedSettings,
) -> HTMLResponse:
    """Return the quality report of a run."""
    report = settings.data_dir / "quality" / f"{run_id}.html"
    if not RUN_ID.match(run_id) or not report.is_file():
        raise NotFound("This run has no quality report; task audit writes it.")
    return HTMLResponse(report.read_text(encoding="utf-8"), headers=PAGE_HEADERS)
