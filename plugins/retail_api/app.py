"""The FastAPI app that the plugin mounts at `/retail`."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool

from include.settings import Settings, get_settings
from retail_api import description, problems
from retail_api.access.gate import Gate
from retail_api.access.security import Authenticate
from retail_api.resources import Resources
from retail_api.routes import ROUTERS, documents, health, metrics, pages

PREFIX = "/api/v1"


def create_app(settings: Settings | None = None, authenticate: Authenticate | None = None) -> FastAPI:
    """Return the app.

    Args:
        settings: Those of the process unless others are given.
        authenticate: How callers prove who they are; as users of Airflow unless another way is given.
    """
    resources = Resources(settings or get_settings())
    if authenticate is None:
        from retail_api.access.airflow_users import AirflowUsers

        users = authenticate = AirflowUsers(resources.settings)
        resources.ping_airflow_database = users.database.ping
    else:
        users = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if users is not None:
            from retail_api.access.permissions import grant

            await run_in_threadpool(grant)
        resources.start()
        if users is not None:
            # What Airflow has loaded stays. Looking through all of it for garbage took 0.7 s every half a minute under
            # load, in which nobody was answered.
            gc.collect()
            gc.freeze()
        yield
        if users is not None:
            users.close()
        await run_in_threadpool(resources.close)

    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        responses=description.RESPONSES,
        dependencies=[Depends(description.known_parameters_only)],
        redirect_slashes=False,
    )
    app.state.retail = resources
    for router in (health.router, metrics.router, documents.router, pages.router):
        app.include_router(router)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    problems.install(app)
    description.install(app)
    app.add_middleware(Gate, authenticate=authenticate, resources=resources)
    return app
