"""Invoice lines: pages, single ones, exports."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from retail_api.domain.sales import ExportQuery, SaleDetail, SalesPage, SalesQuery
from retail_api.routes.answers import answered, problem_responses
from retail_api.security import Reader
from retail_api.services.exports import MEDIA_TYPES, ExportService
from retail_api.services.sales import SalesService
from retail_api.state import SharedState

router = APIRouter(prefix="/sales", tags=["sales"])


@router.get(
    "",
    response_model=SalesPage,
    summary="Invoice lines, filtered, sorted and paged",
    responses=problem_responses(429),
)
def list_sales(request: Request, caller: Reader, state: SharedState, query: Annotated[SalesQuery, Query()]) -> Response:
    """Return a page of invoice lines, the newest first unless sorted otherwise.

    Money is GBP unless the name of a field says another currency, as strings of decimal digits, so that no reader
    rounds it. `total` counts exactly. Far into a list, `cursor` is steadier than `page`: it neither skips nor repeats.
    """
    return answered(request, SalesService(state.warehouse, state.census, state.sorts).page(query))


@router.get(
    "/export",
    summary="Invoice lines as a CSV or Parquet file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file, in order of time",
            "content": {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()},
        },
        **problem_responses(429),
    },
)
def export_sales(caller: Reader, state: SharedState, query: Annotated[ExportQuery, Query()]) -> StreamingResponse:
    """Stream all lines asked for, of one state of the warehouse, in order of time.

    In CSV, text that a spreadsheet would take for a formula stands behind an apostrophe.
    """
    export = ExportService(state.warehouse, state.census, state.exports).open(query)
    headers = {
        **export.headers,
        "Content-Disposition": f'attachment; filename="sales.{query.format}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(export.chunks, media_type=MEDIA_TYPES[query.format], headers=headers)


@router.get(
    "/{sale_id}",
    response_model=SaleDetail,
    summary="One invoice line",
    responses=problem_responses(404),
)
def get_sale(request: Request, caller: Reader, state: SharedState, sale_id: UUID) -> Response:
    """Return an invoice line with its rates, its product and the batch it came with."""
    return answered(request, SalesService(state.warehouse, state.census, state.sorts).one(sale_id))
