"""Scores of all batches: the Delta table `quality/scores`, of each batch one row for each score."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from include.domain.model import Model
from include.quality.findings import QualityRecord, Status, score_rows
from include.quality.store import existing_table, replace_rows
from include.settings import Settings

_SCHEMA = pa.schema(
    [
        *[(name, pa.string()) for name in ("batch_id", "run_id", "kind")],
        ("scored_at", pa.timestamp("us", tz="UTC")),
        *[(name, pa.string()) for name in ("status", "level", "name")],
        ("weight", pa.float64()),
        *[(name, pa.int64()) for name in ("failing", "rows")],
        *[(name, pa.float64()) for name in ("score", "cost", "bar")],
    ]
)


class Verdict(Model):
    """How one batch of the history did."""

    batch_id: str
    run_id: str
    kind: Literal["drop", "rebuild"]
    scored_at: datetime
    status: Status
    rows: int
    overall: float | None
    bar: float


def _uri(settings: Settings) -> str:
    return settings.table("quality", "scores")


def save_scores(settings: Settings, record: QualityRecord) -> None:
    """Keep the scores of a batch instead of those that an earlier audit of it kept."""
    rows = pa.Table.from_pylist([row.model_dump() for row in score_rows(record)], schema=_SCHEMA)
    replace_rows(_uri(settings), rows, f"batch_id = '{record.batch_id}'")


def last_verdicts(settings: Settings, limit: int) -> list[Verdict]:
    """Return the batches scored last, oldest first, at most `limit`."""
    table = existing_table(_uri(settings))
    if table is None:
        return []
    overall = table.to_pyarrow_dataset().to_table(filter=pc.field("level") == "overall")
    newest = overall.sort_by([("scored_at", "descending")]).slice(0, limit).to_pylist()
    return [
        Verdict(
            overall=row["score"],
            scored_at=row["scored_at"].astimezone(UTC),
            **{name: row[name] for name in ("batch_id", "run_id", "kind", "status", "rows", "bar")},
        )
        for row in reversed(newest)
    ]
