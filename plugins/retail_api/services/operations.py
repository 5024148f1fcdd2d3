"""What the pipeline records about itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from include.failover import Answer, Warehouse
from include.quality.reasons import explain, field_of
from include.receipts.model import Receipt
from include.settings import Settings
from retail_api.data.operations import Found, OperationsRepository
from retail_api.data.quarantine import QuarantineRepository
from retail_api.domain.errors import NotFound
from retail_api.domain.operations import (
    Batch,
    QualityQuery,
    QualityScore,
    QuarantinedRow,
    QuarantineQuery,
    Reason,
    ReceiptQuery,
    ReceiptSummary,
)
from retail_api.domain.paging import Entity, Page, Paging, page_of

EntityT = TypeVar("EntityT", bound=Entity)


class OperationsService:
    """Reads records on the active side of the warehouse.

    Each method raises `WarehouseUnavailable` if neither side answers.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def batches(self, paging: Paging) -> Answer[Page[Batch]]:
        """Return a page of batches, the newest first."""
        return self._page(paging, Batch, lambda records: records.batches(paging))

    def batch(self, batch_id: str) -> Answer[Batch]:
        """Return a batch.

        Raises:
            NotFound: If there is none of this id.
        """
        answer = self._warehouse.read(lambda connection: OperationsRepository(connection).batch(batch_id))
        if answer.value is None:
            raise NotFound(f"No batch {batch_id} was published.", side=answer.side)
        return Answer(Batch.model_validate(dict(answer.value)), answer.side)

    def receipts(self, query: ReceiptQuery) -> Answer[Page[ReceiptSummary]]:
        """Return a page of receipts, the newest first."""
        return self._page(query, ReceiptSummary, lambda records: records.receipts(query))

    def receipt(self, run_id: str) -> Answer[Receipt]:
        """Return the receipt of a run.

        Raises:
            NotFound: If it has left none.
        """
        answer = self._warehouse.read(lambda connection: OperationsRepository(connection).receipt(run_id))
        if answer.value is None:
            raise NotFound("This run has left no receipt, or not yet.", side=answer.side)
        return Answer(Receipt.model_validate(answer.value), answer.side)

    def quality(self, query: QualityQuery) -> Answer[Page[QualityScore]]:
        """Return a page of scores."""
        return self._page(query, QualityScore, lambda records: records.quality(query))

    def _page(
        self, paging: Paging, entity: type[EntityT], read: Callable[[OperationsRepository], Found]
    ) -> Answer[Page[EntityT]]:
        answer = self._warehouse.read(lambda connection: read(OperationsRepository(connection)))
        rows, total = answer.value
        return Answer(page_of([entity.model_validate(dict(row)) for row in rows], total, paging), answer.side)


def _reason(code: str, row: Mapping[str, Any]) -> Reason:
    problem, remedy = explain(code, row.get(field_of(code) or ""))
    return Reason(code=code, problem=problem, remedy=remedy)


class QuarantineService:
    """Reads rows that were kept out."""

    def __init__(self, settings: Settings) -> None:
        self._rows = QuarantineRepository(settings)

    def page(self, query: QuarantineQuery) -> Page[QuarantinedRow]:
        """Return a page of rows, each with what was wrong and what to do about it."""
        rows, total = self._rows.page(query)
        items = [
            QuarantinedRow(
                file=row["source_file"],
                page=row["source_page"],
                line=row["source_line"],
                reasons=[_reason(code, row) for code in row["codes"]],
                **{name: row[name] for name in row.keys() & QuarantinedRow.model_fields.keys()},
            )
            for row in rows
        ]
        return page_of(items, total, query)
