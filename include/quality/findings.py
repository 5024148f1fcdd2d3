"""What the audit finds about a batch (`runs/<run id>/stages/audit.json`), and a release by hand (`release.json`)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, get_args

from pydantic import Field

from include.domain.model import Model

Status = Literal["passed", "held", "released", "nothing_to_score"]
Level = Literal["overall", "dimension", "column", "rule"]

STATUSES: tuple[Status, ...] = get_args(Status)
LEVELS: tuple[Level, ...] = get_args(Level)


class Example(Model):
    """A row that fails a rule.

    Attributes:
        line: Line of the source file; none for a file or a total.
        value: What is there, shortened.
    """

    file: str
    line: int | None = None
    value: str


class RuleScore(Model):
    """How a batch does by one rule; score and cost are none if there was no row to look at.

    Attributes:
        failing: Rows that fail.
        rows: Rows looked at.
        score: 1 - failing / rows.
        cost: What the rule takes off the overall score.
    """

    name: str
    dimension: str
    columns: list[str]
    weight: float
    failing: int
    rows: int
    score: float | None
    cost: float | None
    examples: list[Example] = Field(default_factory=list)


class Score(Model):
    """The score of a dimension or a column; none if no rule of it had a row to look at."""

    name: str
    score: float | None


class Problem(Model):
    """Rows of a file that were quarantined for one reason, in the words of its report.

    Attributes:
        first_line: Line of the first one.
        first_value: The value there.
        first_cell: Sheet and address of it, in a workbook.
        first_cause: Why it cannot be read, as far as it tells.
    """

    code: str
    rows: int
    problem: str
    remedy: str
    first_line: int
    first_value: str
    first_cell: str | None = None
    first_cause: str = ""


class FileSummary(Model):
    """What became of one file, for the person who sent it.

    Attributes:
        rows: Data rows found; none if they were not counted for this run, as in a rebuild.
        quarantined: Rows kept out.
        problems: Why, most frequent reason first; a row may have several.
        report: Path below the data folder of the report on each row.
        rejection: Why nothing of the file could be read.
    """

    name: str
    sha256: str
    rows: int | None
    quarantined: int = 0
    problems: list[Problem] = Field(default_factory=list)
    report: str | None = None
    rejection: str | None = None


class DriftAlert(Model):
    """A day that is unlike earlier days of its weekday.

    Attributes:
        statistic: Name of the statistic, a key of `drift.STATISTICS`.
        distance: How far the day is away, in the statistic's unit.
        bound: How far an ordinary day may be away.
        words: What the day has, and what is ordinary.
        compared: Earlier days it was compared with.
    """

    day: date
    statistic: str
    distance: float
    bound: float
    words: str
    compared: int

    def sentence(self) -> str:
        """Return the alert in one sentence with its numbers."""
        return (
            f"{self.day:%A} {self.day}: {self.words}; {self.statistic} is {self.distance:.2f} away from the last "
            f"{self.compared} {self.day:%A}s, ordinary is up to {self.bound:.2f}."
        )


class Drift(Model):
    """Comparison of the days of a batch with earlier ones.

    Attributes:
        days: Invoice days of the batch.
        compared: Those with enough earlier days of their weekday.
        alerts: What is unusual; all of a batch of at most `drift.MAX_DAYS` days, else none.
        summary: One sentence for a batch of more days.
        unusual: Whether the summary is worth a warning.
    """

    days: int = 0
    compared: int = 0
    alerts: list[DriftAlert] = Field(default_factory=list)
    summary: str | None = None
    unusual: bool = False

    def warnings(self) -> list[str]:
        """Return the sentences for the receipt."""
        summary = [self.summary] if self.summary and self.unusual else []
        return [alert.sentence() for alert in self.alerts] + summary


class Release(Model):
    """A person's decision to publish a held batch, at the score it had then."""

    by: str
    at: datetime
    reason: str
    score: float


class QualityRecord(Model):
    """Everything the audit found about a batch.

    Attributes:
        overall: Overall score, 0 to 1; none if the batch brought no row.
        bar: Score below which a batch is held.
        lag_days: Days from the newest and from the oldest invoice day to the claim; none without lines.
        report: Path of the HTML report below the data folder.
    """

    run_id: str
    batch_id: str
    kind: Literal["drop", "rebuild"]
    scored_at: datetime
    status: Status
    overall: float | None
    bar: float
    rows_in: int
    rows_loaded: int
    rows_duplicate: int
    rows_quarantined: int
    rows_already_seen: int
    lag_days: tuple[int, int] | None = None
    dimensions: list[Score] = Field(default_factory=list)
    columns: list[Score] = Field(default_factory=list)
    rules: list[RuleScore] = Field(default_factory=list)
    files: list[FileSummary] = Field(default_factory=list)
    drift: Drift = Field(default_factory=Drift)
    release: Release | None = None
    report: str | None = None
    seconds: float = 0.0


class ScoreRow(Model):
    """One score of one batch.

    Attributes:
        level: What was scored; `name` says which, and is `overall` for the overall score.
        weight: What the overall score loses if every row fails; of rules only.
        failing: Rows that fail; of rules, and for the overall score the quarantined rows.
        rows: Rows looked at; for the overall score all that came in.
        score: 0 to 1; none if there was no row to look at.
        cost: What it took off the overall score; of rules only.
    """

    batch_id: str
    run_id: str
    kind: Literal["drop", "rebuild"]
    scored_at: datetime
    status: Status
    level: Level
    name: str
    weight: float | None = None
    failing: int | None = None
    rows: int | None = None
    score: float | None
    cost: float | None = None
    bar: float


def score_rows(record: QualityRecord) -> list[ScoreRow]:
    """Return the scores of a batch as rows."""
    common = record.model_dump(include={"batch_id", "run_id", "kind", "scored_at", "status", "bar"})

    def row(level: Level, name: str, score: float | None, **more: float | None) -> ScoreRow:
        return ScoreRow.model_validate(common | {"level": level, "name": name, "score": score} | more)

    return [
        row("overall", "overall", record.overall, failing=record.rows_quarantined, rows=record.rows_in),
        *[row("dimension", item.name, item.score) for item in record.dimensions],
        *[row("column", item.name, item.score) for item in record.columns],
        *[
            row("rule", rule.name, rule.score, weight=rule.weight, failing=rule.failing, rows=rule.rows, cost=rule.cost)
            for rule in record.rules
        ],
    ]
