"""A small batch in order, as the relations of the rule set, to break one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import duckdb

from include.quality.batch import prepare
from include.quality.findings import RuleScore
from include.quality.scoring import score_rules
from include.runs.folder import Manifest
from include.runs.records import SilverRecord

CLAIMED_AT = datetime(2011, 1, 5, 6, tzinfo=UTC)
SOLD_AT = datetime(2011, 1, 4, 9)


def line(number: int, **values: Any) -> dict[str, Any]:
    """Return a line of `lines`; amount and day follow from the others unless given."""
    found: dict[str, Any] = {
        "sale_id": f"id-{number}",
        "invoice": f"5400{number // 2:02}",
        "stock_code": f"P{number}",
        "description": "LANTERN",
        "quantity": 2,
        "invoice_date": SOLD_AT,
        "price": Decimal("1.50"),
        "customer_id": f"170{number // 2:02}",
        "country": "France",
        "kind": "sale",
        "amount_declared": False,
        "currency": "GBP",
        "source_file": "a.csv",
        "source_line": number + 2,
        "batch_id": "b",
    } | values
    amount, day = found["quantity"] * found["price"], found["invoice_date"].date()
    return {"amount": amount, "invoice_day": day} | found


def broken(number: int, *codes: str, **values: Any) -> dict[str, Any]:
    """Return a row of `broken` with these reason codes."""
    text: dict[str, Any] = {
        "invoice": "540099",
        "stock_code": "P1",
        "description": "LANTERN",
        "quantity": "2",
        "invoice_date": "2011-01-04 09:00:00",
        "price": "1.50",
        "customer_id": "17099",
        "country": "France",
        "raw": None,
    }
    place = {"source_file": "a.csv", "source_sha256": "s", "source_line": number, "codes": list(codes)}
    return text | {"source_page": None, "currency": "GBP", "amount": None} | place | values


@dataclass
class Batch:
    """Rows of each relation; the counts of Silver follow from them unless given."""

    lines: list[dict[str, Any]] = field(default_factory=lambda: [line(number) for number in range(8)])
    broken: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[dict[str, Any]] = field(default_factory=list)
    files: list[tuple[str, bool, str | None]] = field(default_factory=lambda: [("a.csv", True, None)])
    rows_recorded: int | None = None
    amount_recorded: Decimal | None = None
    kind: Literal["drop", "rebuild"] = "drop"

    @property
    def silver(self) -> SilverRecord:
        """Counts as Silver would record them."""
        duplicate = sum(repeat["twin_line"] is not None for repeat in self.repeats)
        return SilverRecord(
            rows_in=len(self.lines) + len(self.broken) + len(self.repeats),
            rows_loaded=len(self.lines),
            rows_duplicate=duplicate,
            rows_already_seen=len(self.repeats) - duplicate,
            rows_quarantined={"some": len(self.broken)} if self.broken else {},
        )

    @property
    def manifest(self) -> Manifest:
        """What the run works on."""
        return Manifest(
            run_id="r", batch_id="b", kind=self.kind, claimed_at=CLAIMED_AT, days=[date(2011, 1, 4)], files=[]
        )

    @contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that holds the relations."""
        with duckdb.connect() as connection:
            prepare(connection, CLAIMED_AT)
            for relation in ("lines", "broken", "repeats"):
                for row in getattr(self, relation):
                    names = ", ".join(row)
                    marks = ", ".join("?" for _ in row)
                    connection.execute(f"INSERT INTO {relation} ({names}) VALUES ({marks})", list(row.values()))
            for name, readable, problem in self.files if self.kind == "drop" else []:
                connection.execute("INSERT INTO files VALUES (?, NULL, ?, ?)", [name, readable, problem])
            amount = sum((row["amount"] for row in self.lines), Decimal(0))
            rows = self.rows_recorded if self.rows_recorded is not None else len(self.lines)
            recorded = self.amount_recorded if self.amount_recorded is not None else amount
            connection.execute(
                "INSERT INTO totals VALUES ('Silver', NULL, ?, ?, ?, ?)", [rows, len(self.lines), recorded, amount]
            )
            count = len(self.broken)
            connection.execute("INSERT INTO totals VALUES ('Quarantine', NULL, ?, ?, 0, 0)", [count, count])
            yield connection

    def scores(self) -> dict[str, RuleScore]:
        """Return the score of every rule by its name."""
        with self.open() as connection:
            return {rule.name: rule for rule in score_rules(connection, self.manifest, self.silver)}


def repeat(number: int, twin: int | None) -> dict[str, Any]:
    """Return a row of `repeats`, with the line of the equal one in the batch if it is there."""
    return {
        "source_file": "a.csv",
        "source_line": number,
        "invoice": "540000",
        "stock_code": "P0",
        "twin_file": None if twin is None else "a.csv",
        "twin_line": twin,
    }
