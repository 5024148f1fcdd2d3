"""Runs and backfills of the pipeline."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from retail_api.domain.files import FileName
from retail_api.domain.paging import DEFAULT_SIZE, Day, Entity, Paging, Parameters

State = Literal["queued", "running", "success", "failed"]

MAX_BACKFILL_DAYS = 3_660
"""Longest range of a backfill; each day is a run."""

MAX_RUNS = 100
"""Items that Airflow's API gives at a time (`[api] maximum_page_limit`); of more it would leave out the rest unsaid."""


class RunRequest(Parameters):
    """What a run is to do: take files of the landing folder, all that wait if none are named, or rebuild a day."""

    files: list[FileName] | None = Field(
        None,
        max_length=200,
        description="Names in the landing folder; the run waits for the first.",
        examples=[["jan.csv"]],
    )
    rebuild_day: Day | None = Field(None, description="Invoice day to rebuild from Bronze.", examples=["2010-12-01"])
    note: str | None = Field(None, max_length=1000, description="Shown with the run.", examples=["asked for by sales"])

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.files and self.rebuild_day:
            raise ValueError("give files or rebuild_day, not both")
        return self


class BackfillRequest(Parameters):
    """Which invoice days to rebuild from Bronze, a run each."""

    date_from: Day = Field(description="First invoice day.", examples=["2010-12-01"])
    date_to: Day = Field(description="Last invoice day, itself included.", examples=["2010-12-03"])
    reprocess: Literal["none", "failed", "completed"] = Field(
        "none", description="Days that have a run already: leave them, rerun failed ones, or rerun completed ones too."
    )
    newest_first: bool = False
    max_active_runs: int = Field(4, ge=1, le=16)

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.date_from > self.date_to:
            raise ValueError("date_from is after date_to: exchange them")
        if (self.date_to - self.date_from).days >= MAX_BACKFILL_DAYS:
            raise ValueError(f"a backfill has at most {MAX_BACKFILL_DAYS} days")
        return self


class RunPaging(Paging):
    """Which page of what Airflow lists."""

    size: int = Field(DEFAULT_SIZE, ge=1, le=MAX_RUNS, description="Items a page.", examples=[20])


class RunQuery(RunPaging):
    """Which runs."""

    state: State | None = Field(None, examples=["success"])


class Run(Entity):
    """A run of the pipeline, as Airflow has it."""

    run_id: str = Field(examples=["manual__2026-11-24T08:00:00+00:00"])
    state: str = Field(examples=["queued"])
    run_type: str = Field(description="manual, asset_triggered or backfill.", examples=["manual"])
    logical_date: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    triggered_by: str | None = Field(description="User who asked for it; null for a run by itself.")
    conf: dict[str, Any]
    note: str | None


class Backfill(Entity):
    """A backfill, as Airflow has it."""

    id: int
    date_from: datetime
    date_to: datetime
    reprocess: str
    max_active_runs: int
    paused: bool
    created_at: datetime
    completed_at: datetime | None
