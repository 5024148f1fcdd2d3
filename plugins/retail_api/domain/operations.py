"""What the pipeline records about itself: batches, receipts, quality scores, rows kept out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from include.domain.money import Money
from include.runs.folder import RUN_ID
from retail_api.domain.paging import Entity, Paging, Printable

BATCH_PATTERN = r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{8}$"


Counts = Annotated[dict[str, int], AfterValidator(lambda counts: dict(sorted(counts.items())))]
"""Numbers by name, in order: the two sides of the warehouse keep them in different orders."""


class Batch(Entity):
    """A published batch."""

    batch_id: str = Field(description="Sortable by claim time.")
    run_id: str = Field(description="Airflow run that published it.")
    kind: Literal["drop", "rebuild"]
    published_at: datetime
    rebuilt_days: list[date]
    rows_staged: Counts = Field(description="Rows staged by table.")
    rows_written: Counts = Field(description="Rows inserted or changed by table.")
    facts_deleted: int = Field(description="Facts a rebuild found gone.")
    amount: Money = Field(description="Sum over the staged facts, in the base currency.")
    facts_loaded: int = Field(description="Staged facts that are live as this batch's.")
    amount_loaded: Money = Field(description="Of those, in the base currency.")


class ReceiptSummary(Entity):
    """What came in with a run, and what became of it; amounts of lines in the base currency."""

    run_id: str
    batch_id: str
    kind: Literal["drop", "rebuild"]
    status: Literal["loaded", "nothing_new", "rejected"]
    started_at: datetime
    finished_at: datetime
    rows_in: int
    rows_loaded: int
    rows_duplicate: int
    rows_quarantined: int
    rows_already_seen: int
    amount_in: Money
    amount_loaded: Money
    amount_duplicate: Money
    amount_quarantined: Money
    amount_already_seen: Money


class ReceiptQuery(Paging):
    """Which receipts."""

    status: Literal["loaded", "nothing_new", "rejected"] | None = Field(None, examples=["loaded"])


class QualityScore(Entity):
    """One score of a batch."""

    batch_id: str
    run_id: str
    kind: Literal["drop", "rebuild"]
    scored_at: datetime
    status: Literal["passed", "held", "released", "nothing_to_score"] = Field(description="Verdict on the batch.")
    level: Literal["overall", "dimension", "column", "rule"] = Field(description="What was scored.")
    name: str = Field(description="Which dimension, column or rule.")
    score: float | None = Field(description="0 to 1; null if there was no row to look at.")
    failing: int | None
    rows: int | None
    weight: float | None
    cost: float | None
    bar: float = Field(description="Overall score the batch had to reach.")


class QualityQuery(Paging):
    """Which scores: the overall ones of all batches, or all of one batch."""

    batch: str | None = Field(
        None,
        pattern=BATCH_PATTERN,
        description="Batch of which to give every score.",
        examples=["20261124T080000-0a1b2c3d"],
    )


class QuarantineQuery(Paging):
    """Which rows that were kept out."""

    batch: str | None = Field(None, pattern=BATCH_PATTERN, examples=["20261124T080000-0a1b2c3d"])
    code: str | None = Field(
        None, pattern=r"^[a-z_]{1,60}$", description="Reason code, first or not.", examples=["malformed_quantity"]
    )
    file: Annotated[str, Field(min_length=1, max_length=255), Printable] | None = Field(
        None, description="Name of the source file."
    )


class Reason(Entity):
    """Why a row was kept out."""

    code: str
    problem: str
    remedy: str


class QuarantinedRow(Entity):
    """A row that was kept out, its values as they came."""

    batch_id: str
    file: str
    page: int | None = Field(description="Page of a PDF.")
    line: int | None = Field(description="Line of the file.")
    reasons: list[Reason]
    invoice: str | None
    stock_code: str | None
    description: str | None
    quantity: str | None
    invoice_date: str | None
    price: str | None
    customer_id: str | None
    country: str | None
    line_amount: str | None = Field(description="What the row says it costs in all.")
    raw: str | None = Field(description="The row as it came, cut to 200 characters.")
    amount: Money | None = Field(description="In `currency`; null where it is not known.")
    currency: str = Field(description="Currency of the row.")


def _checked_run_id(run_id: str) -> str:
    """Return `run_id`.

    Raises:
        ValueError: If it is not one of Airflow's.
    """
    if not RUN_ID.match(run_id) or ".." in run_id:
        raise ValueError("it is not the id of a run")
    return run_id


RunId = Annotated[
    str,
    Field(
        max_length=250,
        description="Id of a run in Airflow.",
        examples=["manual__2026-11-24T08:00:00+00:00"],
        json_schema_extra={"pattern": rf"^(?!.*\.\.){RUN_ID.pattern.removeprefix('^')}"},
    ),
    AfterValidator(_checked_run_id),
]
