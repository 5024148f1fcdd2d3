"""Changing the replica in use: a batch, some invoice days, or receipts, in one transaction each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select, text

from include.failover.replica.file import STATE_TABLE, writing
from include.quality.findings import ScoreRow
from include.receipts.model import Receipt
from include.settings import Settings
from include.warehouse import (
    FACT,
    STAR,
    GoldBatch,
    GoldStar,
    Loaded,
    PublishReport,
    loaded_columns,
    record_batch,
    recorded_batches_of,
    star_table,
    write_receipt,
    write_scores,
)


def apply_batch(
    settings: Settings,
    batch: GoldBatch,
    report: PublishReport | None = None,
    owners: Callable[[GoldStar], Mapping[str, str]] | None = None,
) -> PublishReport:
    """Bring a batch from Gold into the replica in one transaction, or return the report of when that was done.

    The rules are those of `include.warehouse.publishing`; dimensions are taken as Gold has merged them.

    Args:
        settings: Where Gold and the replica are.
        batch: What Gold knows of the batch.
        report: What the primary reported; made here if it has not published the batch.
        owners: Returns the facts that Gold has as another batch's and the primary as this one's (`GoldStar.assign`).

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If the rows do not fit.
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    with writing(settings) as connection:
        known = recorded_batches_of(connection, [batch.batch_id]).get(batch.batch_id)
        if known is not None and known.token == batch.token:
            return known
        # Gold is read under the write lock: of two processes the later one never writes what the earlier one read.
        with GoldStar(settings) as gold:
            if owners is not None:
                gold.assign(owners(gold))
            gold.pick_batch(batch)
            written = {name: _upsert(connection, gold, name) for name in STAR if name != FACT}
            deleted = _delete_vanished(connection, gold, batch) if batch.kind == "rebuild" else 0
            written[FACT] = _upsert(connection, gold, FACT, kept={"batch_id"})
            if report is None:
                report = report_of(gold, batch, written, deleted, _loaded(connection, gold, batch))
        record_batch(connection, report)
        _stamp(connection)
    return report


def _loaded(connection: Connection, gold: GoldStar, batch: GoldBatch) -> Loaded:
    """Return the facts that are live as this batch's."""
    first, last = gold.picked_span()
    if first is None:
        return Loaded(0, Decimal(0), {})
    fact = star_table(FACT)
    ours = (
        select(fact.c.currency, func.count(), func.sum(fact.c.amount), func.sum(fact.c.original_amount))
        .where(fact.c.sold_at.between(first, last), fact.c.batch_id == batch.batch_id)
        .group_by(fact.c.currency)
        .order_by(fact.c.currency)
    )
    found = connection.execute(ours).tuples().all()
    by_currency = {currency: original for currency, _, _, original in found}
    return Loaded(sum(row[1] for row in found), sum((row[2] for row in found), Decimal(0)), by_currency)


def report_of(gold: GoldStar, batch: GoldBatch, written: dict[str, int], deleted: int, loaded: Loaded) -> PublishReport:
    """Return the report of a batch that was brought into the replica, with its facts picked in `gold`."""
    total = gold.connection.execute("SELECT coalesce(sum(amount), 0)::DECIMAL(38, 6) FROM picked").fetchone()
    return PublishReport(
        batch_id=batch.batch_id,
        run_id=batch.run_id,
        kind=batch.kind,
        token=batch.token,
        published_at=datetime.now(UTC),
        rebuilt_days=sorted(set(batch.days)),
        rows_staged={name: gold.count(name) for name in STAR},
        rows_written=written,
        facts_deleted=deleted,
        amount=total[0] if total else Decimal(0),
        facts_loaded=loaded.rows,
        amount_loaded=loaded.amount,
        loaded=loaded.by_currency,
    )


def replace_days(
    settings: Settings, days: Sequence[date], unpublished: Callable[[GoldStar, Connection], Iterable[str]]
) -> dict[str, int]:
    """Make the facts of some days, and the members they refer to, what Gold has; return the rows written by table.

    Args:
        settings: Where Gold and the replica are.
        days: Invoice days.
        unpublished: Returns the facts of Gold that were never published, as `batch_id:date_key`; they are passed over.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If the rows do not fit.
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    with writing(settings) as connection, GoldStar(settings) as gold:
        left_out = sorted(unpublished(gold, connection))
        gold.pick_days(days, left_out)
        written = {name: _upsert(connection, gold, name) for name in STAR if name != FACT}
        condition = "batch_id || ':' || date_key NOT IN (SELECT value FROM json_each(?))"
        deleted = _delete_of_days(connection, gold, days, condition, [_json(left_out)])
        written[FACT] = _upsert(connection, gold, FACT) + deleted
        _stamp(connection)
    return written


def _upsert(connection: Connection, gold: GoldStar, name: str, kept: Iterable[str] = ()) -> int:
    """Insert or change rows of `name` to what Gold has, but for columns `kept`; return how many changed."""
    raw: Any = connection.connection.driver_connection
    columns = [column.name for column in loaded_columns(name)]
    key = star_table(name).primary_key.columns.keys()[0]
    changed = [column for column in columns if column not in {key, *kept}]
    statement = (
        f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in changed)} "
        f"WHERE {' OR '.join(f'{name}.{column} IS NOT excluded.{column}' for column in changed)}"
    )
    before = raw.total_changes
    for lot in gold.rows(name):
        raw.executemany(statement, lot)
    return int(raw.total_changes - before)


def _delete_vanished(connection: Connection, gold: GoldStar, batch: GoldBatch) -> int:
    rebuilds = "batch_id IN (SELECT batch_id FROM etl_batch WHERE kind = 'rebuild')"
    if batch.source_batches is None:
        return _delete_of_days(connection, gold, batch.days, "batch_id <= ?", [batch.batch_id])
    condition = f"(batch_id IN (SELECT value FROM json_each(?)) OR (batch_id <= ? AND {rebuilds}))"
    parameters = [_json(batch.source_batches), batch.batch_id]
    return _delete_of_days(connection, gold, batch.days, condition, parameters)


def _delete_of_days(
    connection: Connection,
    gold: GoldStar,
    days: Sequence[date],
    condition: str,
    parameters: list[str],
) -> int:
    """Delete the facts of `days` that meet `condition` and are not picked; return how many."""
    raw: Any = connection.connection.driver_connection
    raw.execute("CREATE TEMP TABLE IF NOT EXISTS incoming (sale_id TEXT PRIMARY KEY)")
    raw.execute("DELETE FROM incoming")
    found = gold.connection.execute("SELECT sale_id FROM picked")
    while lot := found.fetchmany(50_000):
        raw.executemany("INSERT INTO incoming VALUES (?)", lot)
    deleted = 0
    for day in sorted(set(days)):
        span = [f"{day} 00:00:00.000000", f"{day + timedelta(days=1)} 00:00:00.000000"]
        deleted += raw.execute(
            f"DELETE FROM {FACT} WHERE sold_at >= ? AND sold_at < ? AND {condition} "
            "AND sale_id NOT IN (SELECT sale_id FROM incoming)",
            [*span, *parameters],
        ).rowcount
    return deleted


def _json(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _stamp(connection: Connection) -> None:
    moment = {"value": datetime.now(UTC).isoformat()}
    connection.execute(text(f"UPDATE {STATE_TABLE} SET value = :value WHERE name = 'refreshed_at'"), moment)


def store_receipts(settings: Settings, receipts: Iterable[tuple[Receipt, Sequence[ScoreRow]]]) -> None:
    """Write receipts and the scores of their batches into the replica, replacing those of earlier attempts of a run.

    Raises:
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    with writing(settings) as connection:
        for receipt, scores in receipts:
            write_receipt(connection, receipt)
            write_scores(connection, scores)
