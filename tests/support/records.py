"""Receipts and scores as the warehouse keeps them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from include.quality.findings import ScoreRow
from include.receipts.model import FileEntry, Receipt
from tests.support.batches import batch


def receipt() -> Receipt:
    """Return a receipt that adds up."""
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    return Receipt(
        run_id="manual__2026-11-24T12:00:00+00:00",
        batch_id=batch(1),
        kind="drop",
        status="loaded",
        started_at=now,
        finished_at=now,
        files=[FileEntry(name="a'b.csv", sha256="0" * 64, bytes=10, status="loaded", rows=10)],
        rows_in=10,
        rows_loaded=5,
        rows_duplicate=1,
        rows_quarantined={"missing_price": 2, "nul_byte": 1},
        rows_already_seen=1,
        amount_in=Decimal("100.1001"),
        amount_loaded=Decimal("90.1"),
        amount_duplicate=Decimal("5"),
        amount_quarantined=Decimal("5.0001"),
        amount_already_seen=Decimal(0),
    )


def score(number: int = 1, **changes: Any) -> ScoreRow:
    """Return the score of a rule on the `number`-th batch."""
    content: dict[str, Any] = {
        "batch_id": batch(number),
        "run_id": "r",
        "kind": "drop",
        "scored_at": datetime(2026, 11, 24, 12, tzinfo=UTC),
        "status": "passed",
        "level": "rule",
        "name": "row_valid",
        "weight": 0.35,
        "failing": 1,
        "rows": 10,
        "score": 0.9,
        "cost": 0.035,
        "bar": 0.85,
    }
    return ScoreRow.model_validate(content | changes)
