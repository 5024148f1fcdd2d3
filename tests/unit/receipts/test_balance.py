"""A receipt that does not balance is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from include.receipts.model import Receipt, ReceiptUnbalanced

NOW = datetime(2011, 1, 4, tzinfo=UTC)


def receipt(**changes: object) -> Receipt:
    content: dict[str, object] = {
        "run_id": "r",
        "batch_id": "b",
        "kind": "drop",
        "status": "loaded",
        "started_at": NOW,
        "finished_at": NOW,
        "files": [],
        "rows_in": 10,
        "rows_loaded": 6,
        "rows_duplicate": 1,
        "rows_quarantined": {"malformed_price": 2},
        "rows_already_seen": 1,
        "amount_in": Decimal("10.10"),
        "amount_loaded": Decimal("9.05"),
        "amount_duplicate": Decimal("1.00"),
        "amount_quarantined": Decimal("0"),
        "amount_already_seen": Decimal("0.05"),
    }
    return Receipt.model_validate(content | changes)


def test_a_balanced_receipt_passes() -> None:
    receipt().check()


@pytest.mark.parametrize(
    "changes",
    [
        {"rows_in": 11},
        {"rows_loaded": 5},
        {"rows_quarantined": {}},
        {"amount_in": Decimal("10.11")},
        {"amount_duplicate": Decimal("1.0001")},
    ],
)
def test_a_row_or_a_penny_off_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ReceiptUnbalanced):
        receipt(**changes).check()
