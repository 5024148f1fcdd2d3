"""The warehouse itself, under `/supabase` and, with the same answers, under `/warehouse`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from include.warehouse import ConnectionHealth
from retail_api.access.security import Editor, Reader
from retail_api.domain.errors import Unavailable
from retail_api.domain.health import WarehouseHealth
from retail_api.domain.warehouse import (
    Configuration,
    SchemasCreated,
    Statistics,
    TablesCreated,
    ValidateRequest,
    Validation,
)
from retail_api.resources import Shared, SharedSettings, SharedWarehouse
from retail_api.routes.answers import answered, document, problem_responses
from retail_api.services.health import health
from retail_api.services.warehouse import WarehouseService

_routes = APIRouter(tags=["warehouse"])


@_routes.get("/health", response_model=WarehouseHealth, summary="Whether the warehouse answers, and which side")
def warehouse_health(request: Request, caller: Reader, shared: Shared) -> Response:
    """Return how both sides are doing, within two seconds; 503 if neither answers."""
    found = health(shared).warehouse
    if found.serves is None:
        raise Unavailable("Neither side of the warehouse answers; /retail/health says more.")
    return document(request, found, headers={"X-Warehouse": found.serves})


@_routes.get("/statistics", response_model=Statistics, summary="What the warehouse holds")
def statistics(request: Request, caller: Reader, settings: SharedSettings, warehouse: SharedWarehouse) -> Response:
    """Return rows and sizes of the tables of the side that serves, its newest batch, and how its server copes."""
    return answered(request, WarehouseService(settings).statistics(warehouse))


@_routes.get("/config", response_model=Configuration, summary="Settings of the warehouse's server")
def config(request: Request, caller: Reader, settings: SharedSettings) -> Response:
    """Return the settings by variable, secrets as `***`, and what of them cannot work."""
    return document(request, WarehouseService(settings).configuration())


@_routes.get("/connection", summary="How the connection to the server is")
def connection(caller: Reader, shared: Shared) -> ConnectionHealth:
    """Return round trip, version and encryption of a connection made now; `status` is `down` if there is none."""
    return WarehouseService(shared.settings).connection(lambda: shared.warehouse.primary_answers())


@_routes.post("/schema/create", summary="Make the schemas", responses=problem_responses(409))
def create_schema(caller: Editor, shared: Shared) -> SchemasCreated:
    """Make the schemas of the warehouse and of its staging tables; changes nothing if they are there."""
    return WarehouseService(shared.settings).create_schemas(lambda: shared.warehouse.primary_answers())


@_routes.post("/tables/create", summary="Make the tables", responses=problem_responses(409))
def create_tables(caller: Editor, shared: Shared) -> TablesCreated:
    """Bring schemas, tables and views to the newest revision, in one transaction; changes nothing if they are there."""
    return WarehouseService(shared.settings).create_tables(lambda: shared.warehouse.primary_answers())


@_routes.post(
    "/integrity/validate",
    response_model=Validation,
    summary="Check that the warehouse is whole",
    responses=problem_responses(409),
)
def validate_integrity(
    request: Request,
    caller: Editor,
    settings: SharedSettings,
    warehouse: SharedWarehouse,
    wanted: Annotated[ValidateRequest | None, Body()] = None,
) -> Response:
    """Check keys, orphans, duplicates, money and balances, and hold every row against Gold; changes nothing.

    A million lines take about twenty seconds; name the days for less.
    """
    return answered(request, WarehouseService(settings).validate(wanted or ValidateRequest(), warehouse))


router = APIRouter()
router.include_router(_routes, prefix="/supabase")
router.include_router(_routes, prefix="/warehouse")
