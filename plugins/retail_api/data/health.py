"""The age of the data and the state of the pipeline, read on one connection to either side."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from include.warehouse import newest_batch, star_table
from retail_api.domain.health import DataHealth, Reading


def data_age(connection: Connection) -> DataHealth:
    """Return which batch was published last and which run ended last, and when."""
    newest = newest_batch(connection)
    receipt = star_table("etl_receipt")
    last = connection.execute(
        select(receipt.c.run_id, receipt.c.status, receipt.c.finished_at)
        .order_by(receipt.c.finished_at.desc())
        .limit(1)
    ).first()
    found = DataHealth()
    if newest is not None:
        found.newest_batch, found.published_at = newest.batch_id, newest.published_at
        found.age_seconds = round((datetime.now(UTC) - newest.published_at).total_seconds(), 1)
    if last is not None:
        found.last_run, found.last_run_status, found.last_run_finished_at = last
    return found


def pipeline_gauges(connection: Connection) -> list[Reading]:
    """Return the gauges of receipts, rows, the last run and its quality."""
    receipt, quality = star_table("etl_receipt"), star_table("etl_quality")
    rows = {name: receipt.c[f"rows_{name}"] for name in ("in", "loaded", "duplicate", "quarantined", "already_seen")}
    found: list[Reading] = []
    for status, count in connection.execute(select(receipt.c.status, func.count()).group_by(receipt.c.status)):
        found.append(Reading("retail_receipts", "Runs with a receipt, by outcome", {"status": status}, float(count)))
    sums = connection.execute(select(*(func.sum(column).label(name) for name, column in rows.items()))).mappings().one()
    found += [
        Reading("retail_rows", "Rows of all runs, by what became of them", {"outcome": name}, float(value or 0))
        for name, value in sums.items()
    ]
    last = connection.execute(select(receipt).order_by(receipt.c.finished_at.desc()).limit(1)).mappings().first()
    if last is not None:
        finished, started = last["finished_at"], last["started_at"]
        found += [
            Reading("retail_last_run_timestamp_seconds", "When the last run ended", {}, finished.timestamp()),
            Reading("retail_last_run_seconds", "How long the last run took", {}, (finished - started).total_seconds()),
            Reading("retail_last_run_rows_in", "Rows that came in with the last run", {}, float(last["rows_in"])),
        ]
    newest = newest_batch(connection)
    if newest is not None:
        published = newest.published_at.timestamp()
        found.append(Reading("retail_published_timestamp_seconds", "When a batch was published last", {}, published))
    scored = connection.execute(
        select(quality.c.score, quality.c.bar)
        .where(quality.c.level == "overall", quality.c.score.is_not(None))
        .order_by(quality.c.scored_at.desc())
        .limit(1)
    ).first()
    if scored is not None:
        found += [
            Reading(
                "retail_quality_score",
                "Overall quality score of the last scored batch, 0 to 1",
                {},
                float(scored.score),
            ),
            Reading("retail_quality_bar", "Score that batch had to reach", {}, float(scored.bar)),
        ]
    return found
