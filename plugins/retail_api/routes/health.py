"""How the system is doing."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Response, status
from starlette.concurrency import run_in_threadpool

from retail_api.access.security import Reader
from retail_api.domain.health import Health, SideHealth
from retail_api.resources import Resources, Shared
from retail_api.services.health import health, with_airflow_database

router = APIRouter(tags=["health"])


@router.get("/health", responses={503: {"description": "Reads cannot be answered", "model": Health}})
async def how_it_is_doing(caller: Reader, shared: Shared, response: Response) -> Health:
    """Return how warehouse, Airflow's database and data are doing, within two seconds.

    200 as long as reads are answered, by whichever side; 503 if they are not.
    """
    found, database = await asyncio.gather(run_in_threadpool(health, shared), _airflow_database(shared))
    if database is not None:
        found = with_airflow_database(found, database)
    if found.status == "down":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "5"
    if found.warehouse.serves:
        response.headers["X-Warehouse"] = found.warehouse.serves
    return found


async def _airflow_database(shared: Resources) -> SideHealth | None:
    if shared.ping_airflow_database is None:
        return None
    started = time.perf_counter()
    if not await shared.ping_airflow_database():
        return SideHealth(answers=False, problem="It does not answer within a second, or did not lately.")
    return SideHealth(answers=True, latency_ms=round((time.perf_counter() - started) * 1000, 2))
