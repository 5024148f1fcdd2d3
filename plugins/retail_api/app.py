"""The FastAPI app that the plugin mounts at `/retail`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from include.settings import Settings, get_settings
from retail_api import problems
from retail_api.gate import Gate
from retail_api.routes import ROUTERS, health, pages
from retail_api.security import Authenticate
from retail_api.state import State

PREFIX = "/api/v1"


def create_app(settings: Settings | None = None, authenticate: Authenticate | None = None) -> FastAPI:
    """Return the app.

    Args:
        settings: Those of the process unless others are given.
        authenticate: How callers prove who they are; Airflow's users unless something else is given.
    """
    state = State(settings or get_settings())
    with_airflow = authenticate is None
    if authenticate is None:
        from retail_api.airflow_users import AirflowUsers

        authenticate = AirflowUsers(state.settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if with_airflow:
            from retail_api.permissions import grant

            await run_in_threadpool(grant)
        yield
        state.close()

    app = FastAPI(title="Retail Lakehouse", version="1", lifespan=lifespan)
    app.state.retail = state
    app.include_router(health.router)
    app.include_router(pages.router)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    problems.install(app)
    app.add_middleware(Gate, authenticate=authenticate)
    return app
