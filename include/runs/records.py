"""Records the Spark stages leave for the tasks after them (`runs/<run id>/stages/*.json`)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field

from include.domain.model import Model
from include.domain.money import Money, printed
from include.runs.folder import ClaimedFile
from include.sources.model import SourceReading


class StagedFile(Model):
    """A file Bronze read, or why it could not."""

    name: str
    sha256: str
    reading: SourceReading | None = None
    code: str | None = None
    problem: str | None = None
    remedy: str | None = None
    line: int | None = None
    value: str | None = None


STILL_WRITTEN = (
    "still_being_written",
    "The file was still being written when it was read.",
    "Nothing to do: it has been put back and is loaded once it stays as it is. Writing under a name that ends in .part "
    "and renaming it when it is complete avoids this.",
)
"""Code, problem and remedy of a file that is not read as it is now."""


def unreadable(file: ClaimedFile) -> StagedFile:
    """Return what is recorded of a claimed file that the system does not let us read."""
    return StagedFile(
        name=file.name,
        sha256=file.sha256,
        code="unreadable_file",
        problem=f"The file cannot be opened: {file.problem}.",
        remedy="Let the system read it and drop it again.",
    )


class Balance(Model):
    """Money of one currency: what came in, and what became of it."""

    amount_in: Money = Decimal(0)
    amount_loaded: Money = Decimal(0)
    amount_duplicate: Money = Decimal(0)
    amount_already_seen: Money = Decimal(0)
    amount_quarantined: Money = Decimal(0)

    @property
    def accounted(self) -> Decimal:
        """What is accounted for of `amount_in`."""
        return self.amount_loaded + self.amount_duplicate + self.amount_already_seen + self.amount_quarantined

    def told(self, currency: str) -> str:
        """Return a sentence that says what came in and what became of it."""
        return (
            f"{currency} {self.amount_in} came in but {currency} {printed(self.accounted)} is accounted for: loaded "
            f"{self.amount_loaded}, duplicate {self.amount_duplicate}, quarantined {self.amount_quarantined}, "
            f"already seen {self.amount_already_seen}"
        )


class BronzeRecord(Model):
    """Rows and money of the batch as counted by the source readers, and the table version that holds them.

    Attributes:
        amount: Of the rows in the base currency.
        foreign_amounts: Other currency -> the same of the rows in it.
    """

    files: list[StagedFile]
    rows: int
    amount: Money
    foreign_amounts: dict[str, Money] = Field(default_factory=dict)
    table_version: int | None
    seconds: float


class SilverRecord(Model):
    """What became of each Bronze row of the batch, counted from the written tables.

    The amounts are those of rows in the base currency; currencies are never added up.

    Attributes:
        other_currencies: Currency -> the amounts of rows in it.
        unpublished: Batches in Silver that were not live when this stage began. A drop has taken over the lines it
            shares with them; a rebuild leaves theirs to their own runs.
    """

    rows_in: int = 0
    amount_in: Money = Decimal(0)
    rows_loaded: int = 0
    amount_loaded: Money = Decimal(0)
    rows_duplicate: int = 0
    amount_duplicate: Money = Decimal(0)
    rows_already_seen: int = 0
    amount_already_seen: Money = Decimal(0)
    rows_quarantined: dict[str, int] = Field(default_factory=dict)
    amount_quarantined: Money = Decimal(0)
    other_currencies: dict[str, Balance] = Field(default_factory=dict)
    first_day: date | None = None
    last_day: date | None = None
    months: list[str] = Field(default_factory=list)
    unpublished: list[str] = Field(default_factory=list)
    table_version: int | None = None
    quarantine_version: int | None = None
    seconds: float = 0.0

    def balances(self, base: str) -> dict[str, Balance]:
        """Return the amounts by currency, the base currency's first."""
        own = Balance.model_validate(self.model_dump(include=set(Balance.model_fields)))
        return {base: own} | self.other_currencies


class ServiceMetrics(Model):
    """What a client did, for the record of a run.

    Attributes:
        service: Name of the service.
        questions: Questions put to the client.
        cache_hits: Questions answered from the cache.
        requests: HTTP requests sent, retries included.
        retries: Requests sent because an earlier one failed.
        failures: Reason code -> questions without an answer.
        seconds: Wall seconds spent on all questions.
        breaker: State of the breaker; None if the service may not be called.
        budget_left: Calls left of the monthly budget; None without a budget, or if the service may not be called.
    """

    service: str
    questions: int = 0
    cache_hits: int = 0
    requests: int = 0
    retries: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    breaker: str | None = None
    budget_left: int | None = None


class EnrichRecord(Model):
    """What was looked up about the batch, what is missing, and what has changed about earlier batches.

    Attributes:
        looked_up: Days, countries and products of the batch, by reference table.
        missing: Reference table -> reason -> days, countries or products of the batch without an answer.
        stale_days: Invoice days whose exchange rates in Gold differ from those recorded now.
        stale_countries: Countries of earlier batches whose facts in Gold differ from those recorded now.
        stale_products: Stock codes of earlier batches whose category in Gold differs from the one recorded now.
        services: Outside services that were asked -> what became of the calls.
        table_versions: Reference table -> its Delta version.
    """

    looked_up: dict[str, int] = Field(default_factory=dict)
    missing: dict[str, dict[str, int]] = Field(default_factory=dict)
    stale_days: list[date] = Field(default_factory=list)
    stale_countries: list[str] = Field(default_factory=list)
    stale_products: list[str] = Field(default_factory=list)
    services: dict[str, ServiceMetrics] = Field(default_factory=dict)
    table_versions: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0


class GoldRecord(Model):
    """Rows of the batch by table of the star, and the Gold table versions; an empty token if there was nothing to do.

    Attributes:
        staged: Whether the rows are in the warehouse's staging tables too; otherwise publishing takes them from Gold.
        load_seconds: Wall seconds of loading them there by JDBC.
    """

    token: str = ""
    staged: bool = True
    load_seconds: float = 0.0
    staged_rows: dict[str, int] = Field(default_factory=dict)
    table_versions: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0


class IndexRecord(Model):
    """What became of the search index.

    Attributes:
        status: `indexed`; `pending` if it could not be brought up to date, which the next run does; `off` if no search
            service is configured.
        collection: The collection that is searched.
        rebuilt: Whether the whole index was built again.
        documents: Products as sold in a country that it holds.
        compared: Documents that were compared with those held: of the products that may have changed, or all.
        upserted: Documents that were written.
        removed: Documents that no longer exist.
        embedded: Vectors that had to be computed; the others were known.
        reason: Why the index is pending or off.
        problems: The first documents that the service refused, and why.
    """

    status: Literal["indexed", "pending", "off"]
    collection: str | None = None
    rebuilt: bool = False
    documents: int = 0
    compared: int = 0
    upserted: int = 0
    removed: int = 0
    embedded: int = 0
    reason: str | None = None
    problems: list[str] = Field(default_factory=list)
    seconds: float = 0.0
