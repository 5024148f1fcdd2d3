"""What Prometheus reads."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from retail_api.access.security import Reader
from retail_api.resources import Shared
from retail_api.services.health import gauges

router = APIRouter(tags=["health"])

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=Response, responses={200: {"content": {MEDIA_TYPE: {}}}})
def prometheus(caller: Reader, shared: Shared) -> Response:
    """Return requests, latencies, refused callers, connections and the state of the pipeline for Prometheus."""
    return Response(shared.metrics.text(lambda: gauges(shared)), media_type=MEDIA_TYPE)
