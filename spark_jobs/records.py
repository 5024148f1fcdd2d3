"""Records the Spark stages leave for the tasks after them (`runs/<run id>/stages/*.json`)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from include.sources.model import SourceReading


class StagedFile(BaseModel):
    """A file Bronze read, or why it could not."""

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str
    reading: SourceReading | None = None
    code: str | None = None
    problem: str | None = None
    remedy: str | None = None
    line: int | None = None
    value: str | None = None


class BronzeRecord(BaseModel):
    """Rows and money (GBP) of the batch as counted by the source readers, and the table version that holds them."""

    model_config = ConfigDict(extra="forbid")

    files: list[StagedFile]
    rows: int
    amount: Decimal
    table_version: int | None
    seconds: float


class SilverRecord(BaseModel):
    """What became of each Bronze row of the batch, counted from the written tables."""

    model_config = ConfigDict(extra="forbid")

    rows_in: int
    amount_in: Decimal
    rows_loaded: int
    amount_loaded: Decimal
    rows_duplicate: int
    amount_duplicate: Decimal
    rows_already_seen: int
    amount_already_seen: Decimal
    rows_quarantined: dict[str, int] = Field(default_factory=dict)
    amount_quarantined: Decimal
    first_day: date | None
    last_day: date | None
    months: list[str]
    table_version: int
    quarantine_version: int
    seconds: float


class GoldRecord(BaseModel):
    """Rows staged in the warehouse by table, and the Gold table versions."""

    model_config = ConfigDict(extra="forbid")

    token: str
    staged_rows: dict[str, int]
    table_versions: dict[str, int]
    seconds: float
