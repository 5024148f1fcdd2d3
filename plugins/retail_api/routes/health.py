"""How the system is doing."""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter, Response, status
from starlette.concurrency import run_in_threadpool

from retail_api.condition import Health, SideHealth, health, with_metadata
from retail_api.security import Reader
from retail_api.state import SharedState, State

router = APIRouter(tags=["health"])


@router.get("/health", responses={503: {"description": "Reads cannot be answered", "model": Health}})
async def how_it_is_doing(caller: Reader, state: SharedState, response: Response) -> Health:
    """Return how warehouse, Airflow's database and data are doing, within two seconds.

    200 as long as reads are answered, by whichever side; 503 if they are not.
    """
    found, metadata = await asyncio.gather(run_in_threadpool(health, state), _metadata(state))
    if metadata is not None:
        found = with_metadata(found, metadata)
    if found.status == "down":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = "5"
    if found.warehouse.serves:
        response.headers["X-Warehouse"] = found.warehouse.serves
    return found


async def _metadata(state: State) -> SideHealth | None:
    if state.metadata_ping is None:
        return None
    started = time.perf_counter()
    if not await state.metadata_ping():
        return SideHealth(answers=False, problem="It does not answer within a second, or did not lately.")
    return SideHealth(answers=True, latency_ms=round((time.perf_counter() - started) * 1000, 2))
