"""Invoice lines: pages, single ones, exports."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from anyio import CancelScope, fail_after
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from retail_api.access.security import Reader
from retail_api.domain.sales import ExportQuery, SaleDetail, SalesPage, SalesQuery
from retail_api.resources import Shared
from retail_api.routes.answers import answered, problem_responses
from retail_api.services.exports import EXPORT_SECONDS, MEDIA_TYPES, Export, ExportService
from retail_api.services.sales import SalesService


class _Download(StreamingResponse):
    """An export on its way; however it ends, and at the latest after its time, it gives back what it holds."""

    def __init__(self, export: Export, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(export.chunks, media_type=media_type, headers=headers)
        self._export = export

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with fail_after(EXPORT_SECONDS):
                await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(self._export.close)


router = APIRouter(prefix="/sales", tags=["sales"])


@router.get(
    "",
    response_model=SalesPage,
    summary="Invoice lines, filtered, sorted and paged",
    responses=problem_responses(429),
)
def list_sales(request: Request, caller: Reader, shared: Shared, query: Annotated[SalesQuery, Query()]) -> Response:
    """Return a page of invoice lines, the newest first unless sorted otherwise.

    Money is in the base currency unless the name of a field says otherwise, as strings of decimal digits, so that no
    reader rounds it. `total` counts exactly. Far into a list, `cursor` is steadier than `page`: it neither skips nor
    repeats.
    """
    return answered(request, SalesService(shared.warehouse, shared.cache, shared.sorts).page(query))


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
def export_sales(caller: Reader, shared: Shared, query: Annotated[ExportQuery, Query()]) -> StreamingResponse:
    """Stream all lines asked for, of one state of the warehouse, in order of time.

    In CSV, text that a spreadsheet would take for a formula stands behind an apostrophe.
    """
    export = ExportService(shared.warehouse, shared.cache, shared.exports).open(query, caller.username)
    headers = {
        **export.headers,
        "Content-Disposition": f'attachment; filename="sales.{query.format}"',
        "Cache-Control": "no-store",
    }
    return _Download(export, MEDIA_TYPES[query.format], headers)


@router.get(
    "/{sale_id}",
    response_model=SaleDetail,
    summary="One invoice line",
    responses=problem_responses(404),
)
def get_sale(request: Request, caller: Reader, shared: Shared, sale_id: UUID) -> Response:
    """Return an invoice line with its rates, its product and the batch it came with."""
    return answered(request, SalesService(shared.warehouse, shared.cache, shared.sorts).one(sale_id))
