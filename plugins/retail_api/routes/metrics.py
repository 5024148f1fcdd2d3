"""What Prometheus is told."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from retail_api.condition import figures
from retail_api.security import Reader
from retail_api.state import SharedState

router = APIRouter(tags=["health"])

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=Response, responses={200: {"content": {MEDIA_TYPE: {}}}})
def prometheus(caller: Reader, state: SharedState) -> Response:
    """Return requests, latencies, refused callers, connections and the state of the pipeline for Prometheus."""
    return Response(state.metrics.text(lambda: figures(state)), media_type=MEDIA_TYPE)
