"""Batches, receipts and quality scores in the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from include.warehouse import star_table
from retail_api.domain.operations import QualityQuery, ReceiptQuery, ReceiptSummary
from retail_api.domain.paging import Paging

batch, receipt, quality = (star_table(f"etl_{name}") for name in ("batch", "receipt", "quality"))

Found = tuple[Sequence[RowMapping], int]
"""Rows of a page, and how many there are on all pages."""


class OperationsRepository:
    """Reads what the pipeline recorded, on one connection to either side."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def batches(self, paging: Paging) -> Found:
        """Return batches, the newest first."""
        return self._page(select(batch).order_by(batch.c.published_at.desc(), batch.c.batch_id.desc()), paging)

    def batch(self, batch_id: str) -> RowMapping | None:
        """Return a batch, None if there is none of this id."""
        return self._connection.execute(select(batch).where(batch.c.batch_id == batch_id)).mappings().first()

    def receipts(self, query: ReceiptQuery) -> Found:
        """Return receipts, the newest first, without their documents."""
        columns = [receipt.c[name] for name in ReceiptSummary.model_fields]
        chosen = select(*columns).order_by(receipt.c.finished_at.desc(), receipt.c.run_id.desc())
        if query.status is not None:
            chosen = chosen.where(receipt.c.status == query.status)
        return self._page(chosen, query)

    def receipt(self, run_id: str) -> dict[str, Any] | None:
        """Return the whole receipt of a run, None if it has left none."""
        return self._connection.execute(select(receipt.c.document).where(receipt.c.run_id == run_id)).scalar()

    def quality(self, query: QualityQuery) -> Found:
        """Return overall scores, the newest first, or every score of a batch."""
        if query.batch is None:
            chosen = (
                select(quality)
                .where(quality.c.level == "overall")
                .order_by(quality.c.scored_at.desc(), quality.c.batch_id.desc())
            )
        else:
            chosen = select(quality).where(quality.c.batch_id == query.batch).order_by(quality.c.level, quality.c.name)
        return self._page(chosen, query)

    def _page(self, chosen: Select[Any], paging: Paging) -> Found:
        total = self._connection.execute(
            select(func.count()).select_from(chosen.order_by(None).subquery())
        ).scalar_one()
        rows = self._connection.execute(chosen.offset(paging.offset).limit(paging.size)).mappings().all()
        return rows, total
