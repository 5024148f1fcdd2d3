"""Batches, receipts, quality scores and rows that were kept out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from include.receipts.model import Receipt
from retail_api.access.security import Reader
from retail_api.domain.operations import (
    BATCH_PATTERN,
    Batch,
    QualityQuery,
    QualityScore,
    QuarantinedRow,
    QuarantineQuery,
    ReceiptQuery,
    ReceiptSummary,
    RunId,
)
from retail_api.domain.paging import Page, Paging
from retail_api.resources import SharedSettings, SharedWarehouse
from retail_api.routes.answers import answered, document, problem_responses
from retail_api.services.operations import OperationsService, QuarantineService

router = APIRouter(tags=["operations"])


@router.get("/batches", response_model=Page[Batch], summary="Published batches")
def batches(
    request: Request, caller: Reader, warehouse: SharedWarehouse, query: Annotated[Paging, Query()]
) -> Response:
    """Return published batches, the newest first."""
    return answered(request, OperationsService(warehouse).batches(query))


@router.get("/batches/{batch_id}", response_model=Batch, summary="One batch", responses=problem_responses(404))
def batch(
    request: Request, caller: Reader, warehouse: SharedWarehouse, batch_id: Annotated[str, Path(pattern=BATCH_PATTERN)]
) -> Response:
    """Return a published batch."""
    return answered(request, OperationsService(warehouse).batch(batch_id))


@router.get("/receipts", response_model=Page[ReceiptSummary], summary="Receipts of runs")
def receipts(
    request: Request, caller: Reader, warehouse: SharedWarehouse, query: Annotated[ReceiptQuery, Query()]
) -> Response:
    """Return receipts, the newest first: what came in with each run, and what became of it."""
    return answered(request, OperationsService(warehouse).receipts(query))


@router.get("/receipts/{run_id}", response_model=Receipt, summary="One receipt", responses=problem_responses(404))
def receipt(request: Request, caller: Reader, warehouse: SharedWarehouse, run_id: RunId) -> Response:
    """Return the whole receipt of a run."""
    return answered(request, OperationsService(warehouse).receipt(run_id))


@router.get("/quality", response_model=Page[QualityScore], summary="Quality scores")
def quality(
    request: Request, caller: Reader, warehouse: SharedWarehouse, query: Annotated[QualityQuery, Query()]
) -> Response:
    """Return the overall scores of batches, the newest first, or every score of one batch."""
    return answered(request, OperationsService(warehouse).quality(query))


@router.get("/quarantine/rows", response_model=Page[QuarantinedRow], summary="Rows that were kept out of the warehouse")
def quarantined_rows(
    request: Request, caller: Reader, settings: SharedSettings, query: Annotated[QuarantineQuery, Query()]
) -> Response:
    """Return rows that broke a rule, those of the newest batch first, each with problem and remedy.

    They are in the lake, so this answers whether the warehouse does or not.
    """
    return document(request, QuarantineService(settings).page(query))
