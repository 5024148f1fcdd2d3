"""Building the replica from Gold: a new file that takes the place of the one in use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, func, insert, select
from sqlalchemy.schema import CreateIndex, CreateTable

from include.domain.model import Model
from include.domain.money import Money
from include.failover.replica.file import STATE_TABLE, fresh_path, put_replica_in_place, sqlite_engine
from include.failover.replica.schema import computed_columns, replica_metadata, schema_version, unknown_member
from include.files import flush
from include.settings import Settings
from include.warehouse import (
    FACT,
    STAR,
    GoldStar,
    PublishError,
    PublishReport,
    loaded_columns,
    record_batch,
    star_table,
)


class Refreshed(Model):
    """What a full refresh made.

    Attributes:
        rows: Rows by table.
        amount: GBP, sum over the facts.
        left_out: Batch -> its facts in Gold, for batches that were never published.
        gold_versions: Delta version of each table it was made from.
    """

    path: Path
    rows: dict[str, int]
    amount: Money
    left_out: dict[str, int]
    gold_versions: dict[str, int]
    seconds: float


def refresh(
    settings: Settings, reports: Mapping[str, PublishReport], unpublished: Callable[[GoldStar], Iterable[str]]
) -> Refreshed:
    """Build the replica from Gold and put it in the place of the one in use.

    Args:
        settings: Where Gold and the replica are.
        reports: What is known of every published batch, by batch.
        unpublished: Returns the facts of Gold that were never published, as `batch_id:date_key`.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If what Gold holds does not fit the tables.
    """
    started = datetime.now(UTC)
    settings.replica.mkdir(parents=True, exist_ok=True)
    path = fresh_path(settings, started)
    metadata = replica_metadata()
    try:
        with GoldStar(settings) as gold:
            left_out = sorted(unpublished(gold))
            gold.pick_all(left_out)
            orphans = gold.orphans()
            if orphans:
                raise PublishError(
                    f"Facts in Gold refer to keys that are missing: {orphans}. The replica is as it was."
                )
            engine = sqlite_engine(path, write=True, create=True)
            try:
                with engine.connect() as connection:
                    _fill(connection, metadata, gold, reports, started, settings.replica_journal)
            except sqlite3.IntegrityError as error:
                raise PublishError(f"Rows of Gold do not fit the replica: {error}. It is as it was.") from error
            rows, amount = _counted(settings, path)
            excluded = _rows_left_out(gold, left_out)
            versions = gold.versions
        flush(path)
        flush(path.parent)
        put_replica_in_place(settings, path)
    except BaseException:
        for leftover in settings.replica.glob(f"{path.name}*"):
            leftover.unlink()
        raise
    return Refreshed(
        path=path,
        rows=rows,
        amount=amount,
        left_out=excluded,
        gold_versions=versions,
        seconds=(datetime.now(UTC) - started).total_seconds(),
    )


def _fill(
    connection: Connection,
    metadata: MetaData,
    gold: GoldStar,
    reports: Mapping[str, PublishReport],
    moment: datetime,
    journal: str,
) -> None:
    raw: Any = connection.connection.driver_connection
    # Nobody reads the file before it is whole, so it needs neither journal nor locks while it is filled.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -262144"):
        raw.execute(f"PRAGMA {pragma}")
    with connection.begin():
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table))
        connection.exec_driver_sql(f"CREATE TABLE {STATE_TABLE} (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        for name in STAR:
            columns = [column.name for column in loaded_columns(name)]
            marks = ", ".join("?" * len(columns))
            if name != FACT:
                connection.execute(insert(star_table(name)), unknown_member(name))
            for lot in gold.rows(name):
                raw.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", lot)
        for statement in computed_columns(metadata):
            connection.exec_driver_sql(statement)
        for table in metadata.sorted_tables:
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index))
        for report in reports.values():
            record_batch(connection, report)
        stamp = moment.isoformat()
        states = {"schema": schema_version(), "made_at": stamp, "refreshed_at": stamp}
        raw.executemany(f"INSERT INTO {STATE_TABLE} VALUES (?, ?)", list(states.items()))
    raw.execute(f"PRAGMA journal_mode = {journal}")


def _counted(settings: Settings, path: Path) -> tuple[dict[str, int], Decimal]:
    with sqlite_engine(path, write=False).connect() as connection:
        rows = {
            name: int(connection.execute(select(func.count()).select_from(star_table(name))).scalar_one())
            for name in STAR
        }
        amount = connection.execute(select(func.sum(star_table(FACT).c.amount))).scalar_one()
    return rows, amount or Decimal(0)


def _rows_left_out(gold: GoldStar, without: Sequence[str]) -> dict[str, int]:
    if not without:
        return {}
    query = f"""SELECT batch_id, count(*) FROM {FACT} WHERE list_contains(?, batch_id || ':' || date_key)
        GROUP BY batch_id ORDER BY batch_id"""
    return dict(gold.connection.execute(query, [list(without)]).fetchall())
