"""The receipt of a run: what came in, what became of every row and every penny, and how it was decided.

The JSON document is written to `data/receipts/<run id>.json` and, one row per run, to the warehouse table
`etl_receipt`. `docs/receipt.md` documents each field.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from include.domain.model import Model
from include.domain.money import Money
from include.quality.findings import Release
from include.runs.records import Balance, ServiceMetrics
from include.sources.model import FileDecisions


class ReceiptUnbalanced(Exception):
    """Rows or money that came in do not equal rows or money accounted for."""


class FileEntry(Model):
    """One file of the drop.

    Attributes:
        name: Name in the landing folder.
        sha256: Content hash of the bytes as dropped.
        bytes: Size in bytes as dropped.
        status: `loaded`, `already_seen` (`first_run_id` loaded these bytes) or `rejected` (nothing of it was read).
        rows: Data rows found in the file; 0 for a rejected file.
        amount: What the rows in the base currency are worth, over those where it can be told exactly.
        foreign_amounts: Other currency -> the same of the rows in it.
        decisions: What was detected about the file; none for a rejected or already seen file.
        report: Path below the data folder of the report for the sender, if any row or the file was quarantined.
        reason: Code and sentence of the rejection.
    """

    name: str
    sha256: str
    bytes: int
    status: Literal["loaded", "already_seen", "rejected"]
    rows: int = 0
    amount: Money = Decimal(0)
    foreign_amounts: dict[str, Money] = Field(default_factory=dict)
    decisions: FileDecisions | None = None
    first_run_id: str | None = None
    report: str | None = None
    reason: str | None = None


class Enrichment(Model):
    """What was looked up about the batch.

    Attributes:
        looked_up: Invoice days (`fx_rates`), `countries` and goods (`products`) of the batch.
        missing: Of these, by reason, those without an answer; later runs look them up again.
        services: Outside services -> what became of the calls.
    """

    looked_up: dict[str, int]
    missing: dict[str, dict[str, int]]
    services: dict[str, ServiceMetrics]


class QualityEntry(Model):
    """How the batch did in the quality audit.

    Attributes:
        overall: Overall score, 0 to 1; none if the batch brought no row.
        bar: Score it had to reach.
        by_dimension: Score of each dimension; none where no rule applies.
        released: Who let a batch below the bar be published, when and why.
        report: Path of the HTML report below the data folder.
        drift_alerts: Statistics of days that are unlike earlier days; each is in `warnings`.
    """

    overall: float | None
    bar: float
    by_dimension: dict[str, float | None]
    released: Release | None = None
    report: str
    drift_alerts: int


class Receipt(Model):
    """Account of one run.

    `rows_in = rows_loaded + rows_duplicate + rows_quarantined + rows_already_seen`, and the same for `amount_*` (exact
    decimals written as strings) of the rows in the base currency and, in `other_currencies`, of those in each other.
    Currencies are never added up. Rows whose amount cannot be told exactly count 0.

    Attributes:
        base_currency: Code of the currency of `amount_*`.
        other_currencies: Code -> the amounts of rows in another currency, in that.
        kind: `drop` for files from the landing folder, `rebuild` for a backfilled invoice day.
        status: `loaded`, `nothing_new` (all bytes seen before, or nothing to claim) or `rejected` (no readable file).
        rows_quarantined: Rows kept out of the warehouse, by reason code.
        seconds: Wall seconds by stage.
        table_versions: Delta version of each table after the run.
        invoice_days: First and last invoice day touched.
        quality: Outcome of the quality audit; none for a run that had nothing to audit.
        warehouse: Side of the warehouse that took the batch: `primary`, or `replica` while the primary was away; none
            if nothing was published.
    """

    schema_version: Literal[1] = 1
    run_id: str
    batch_id: str
    kind: Literal["drop", "rebuild"]
    status: Literal["loaded", "nothing_new", "rejected"]
    started_at: datetime
    finished_at: datetime
    files: list[FileEntry]
    rebuilt_days: list[date] = Field(default_factory=list)
    rows_in: int
    rows_loaded: int
    rows_duplicate: int
    rows_quarantined: dict[str, int]
    rows_already_seen: int
    amount_in: Money
    amount_loaded: Money
    amount_duplicate: Money
    amount_quarantined: Money
    amount_already_seen: Money
    base_currency: str = "GBP"
    other_currencies: dict[str, Balance] = Field(default_factory=dict)
    invoice_days: tuple[date, date] | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    table_versions: dict[str, int] = Field(default_factory=dict)
    warehouse: Literal["primary", "replica"] | None = None
    enrichment: Enrichment | None = None
    warnings: list[str] = Field(default_factory=list)
    quality: QualityEntry | None = None

    def check(self) -> None:
        """Raise unless rows and money balance.

        Raises:
            ReceiptUnbalanced: With both sides of the equation that fails.
        """
        accounted = (
            self.rows_loaded + self.rows_duplicate + sum(self.rows_quarantined.values()) + self.rows_already_seen
        )
        if self.rows_in != accounted:
            raise ReceiptUnbalanced(
                f"{self.rows_in} rows came in but {accounted} are accounted for: loaded {self.rows_loaded}, "
                f"duplicate {self.rows_duplicate}, quarantined {self.rows_quarantined}, "
                f"already seen {self.rows_already_seen}"
            )
        for currency, balance in self.balances().items():
            if balance.amount_in != balance.accounted:
                raise ReceiptUnbalanced(balance.told(currency))

    def balances(self) -> dict[str, Balance]:
        """Return the amounts by currency, the base currency's first."""
        own = Balance.model_validate(self.model_dump(include=set(Balance.model_fields)))
        return {self.base_currency: own} | self.other_currencies
