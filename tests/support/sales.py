"""A warehouse with sales in two batches, and the API over either side of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.quality.findings import ScoreRow
from include.quality.rules import COLUMNS
from include.receipts.model import Receipt
from include.settings import Settings
from tests.support.batches import Line, batch

COUNTRIES = ("United Kingdom", "France", "EIRE", "Ödland's & <Söhne>")
DESCRIPTIONS = {f"P{number}": f"PRODUCT {number}" for number in range(6)} | {"P6": "=CMD()|'X'!A1", "P7": None}
KINDS = ("sale", "sale", "sale", "cancellation", "return", "adjustment")


def made_lines(count: int) -> list[Line]:
    """Lines of 40 days, several of them equal in most fields, in no order; always the same."""
    chance = random.Random(6)
    return [
        Line(
            invoice=f"{536000 + number // 3}",
            code=(code := f"P{chance.randrange(8)}"),
            description=DESCRIPTIONS[code],
            quantity=chance.choice((1, 1, 2, 6, 12, -3)),
            sold_at=datetime(2010, 12, 1, 9) + timedelta(days=number // 3 % 40, minutes=number // 3 % 7),
            price=Decimal(chance.choice(("0.0010", "0.85", "2.5500", "2.55", "9999.9999"))),
            customer=None if number // 3 % 4 == 0 else str(17850 + number // 3 % 5),
            country=COUNTRIES[chance.randrange(4)],
            kind=chance.choice(KINDS),
        )
        for number in range(count)
    ]


LINES = list({line.sale_id: line for line in made_lines(600)}.values())
FIRST = LINES[:400]
LOADED = sum((line.amount for line in FIRST), Decimal(0))

RECEIPT = Receipt(
    run_id="run_1",
    batch_id=batch(1),
    kind="drop",
    status="loaded",
    started_at=datetime(2026, 11, 24, 8, tzinfo=UTC),
    finished_at=datetime(2026, 11, 24, 8, 1, tzinfo=UTC),
    files=[],
    rows_in=len(FIRST) + 2,
    rows_loaded=len(FIRST),
    rows_duplicate=1,
    rows_quarantined={"malformed_quantity": 1},
    rows_already_seen=0,
    amount_in=LOADED + Decimal("2.3400"),
    amount_loaded=LOADED,
    amount_duplicate=Decimal("2.3400"),
    amount_quarantined=Decimal(0),
    amount_already_seen=Decimal(0),
)

SCORES = [
    ScoreRow(
        batch_id=batch(1),
        run_id="run_1",
        kind="drop",
        scored_at=datetime(2026, 11, 24, 8, tzinfo=UTC),
        status="passed",
        level=level,
        name=name,
        score=0.975,
        bar=0.85,
        weight=None,
        failing=1,
        rows=10,
        cost=None,
    )
    for level, name in (("overall", "overall"), ("dimension", "validity"))
]


def quarantine_rows() -> pa.Table:
    text = dict.fromkeys(COLUMNS, "x")
    rows: list[dict[str, Any]] = [
        {
            "batch_id": batch(1),
            "source_file": "a.csv",
            "source_sha256": "0" * 64,
            "source_line": number,
            "source_page": None,
            "code": "malformed_quantity",
            "codes": ["malformed_quantity", *(["missing_price"] if number == 3 else [])],
            **text,
            "raw": "x" * 500,
            "currency": "GBP",
            "amount": None if number == 3 else Decimal("1.5000"),
            "invoice_day": date(2010, 12, 1),
        }
        for number in (4, 3, 2)
    ]
    kinds = [(name, pa.string()) for name in rows[0]]
    types = dict(kinds) | {
        "source_line": pa.int64(),
        "source_page": pa.int32(),
        "codes": pa.list_(pa.string()),
        "amount": pa.decimal128(26, 6),
        "invoice_day": pa.date32(),
    }
    return pa.Table.from_pylist(rows, schema=pa.schema(list(types.items())))


@dataclass(frozen=True)
class Side:
    """The API over one side of the warehouse."""

    name: str
    settings: Settings
    app: FastAPI
    client: TestClient

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(f"/api/v1{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()
