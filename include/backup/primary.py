"""PostgreSQL's share of backups and restores: one state of it to read, and the star of Gold put into it at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from alembic.util import CommandError
from sqlalchemy import Connection, insert, inspect
from sqlalchemy.exc import DBAPIError

from include.backup.contents import contents_of, differences
from include.backup.manifest import BackupFailed, Contents
from include.domain.star import DIMENSION_RULES
from include.failover import REPLICA_TABLES, unknown_member
from include.quality.findings import ScoreRow
from include.receipts.model import Receipt
from include.settings import Settings
from include.warehouse import (
    STAR,
    AuditEntry,
    GoldStar,
    PublishReport,
    WarehouseUnavailable,
    advisory_lock,
    copy_picked,
    current_revision,
    error_text,
    primary_failed,
    publish_lock_key,
    record_batch,
    save_entries,
    set_local,
    star_table,
    suspend_row_checks,
    transaction,
    upgrade,
    watched_engine,
    write_receipt,
    write_scores,
)

LIMIT_SECONDS = 3600.0
LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Load:
    """What the primary is given.

    Attributes:
        gold: With the facts picked; None if there is no Gold, which leaves the star empty.
        expected: What the primary has to have afterwards.
        hashed: Whether row hashes are comparable.
        reports: Batches to record.
        receipts: Receipts of the runs, with their scores.
        audit: Entries of the audit trail, in lots; those that the primary has stay as they are.
    """

    gold: GoldStar | None
    expected: Contents
    hashed: bool = True
    reports: Iterable[PublishReport] = ()
    receipts: Iterable[tuple[Receipt, Sequence[ScoreRow]]] = ()
    audit: Iterable[list[AuditEntry]] = ()


@contextmanager
def _explained(consequence: str) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if primary_failed(error):
            raise WarehouseUnavailable(f"{consequence}: {error_text(error)}") from error
        raise BackupFailed(f"{consequence}: {error_text(error)}") from error


@contextmanager
def snapshot(settings: Settings) -> Iterator[Connection]:
    """Yield a connection that reads the present state of the primary.

    Raises:
        BackupFailed: If it has no tables.
        WarehouseUnavailable: If it does not answer.
    """
    with (
        _explained("The primary cannot be backed up"),
        watched_engine(settings, LIMIT_SECONDS) as engine,
        transaction(
            engine.execution_options(isolation_level="REPEATABLE READ"), statement_timeout_seconds=LIMIT_SECONDS
        ) as connection,
    ):
        set_local(connection, "idle_in_transaction_session_timeout", "0")
        if current_revision(connection, settings) is None:
            raise BackupFailed(
                f"Schema {settings.warehouse_schema} of the primary has no warehouse tables to back up. "
                "Run `python -m include.operate migrate`."
            )
        yield connection


def holds_data(settings: Settings) -> bool:
    """Return whether the primary has facts or has recorded a batch.

    Raises:
        WarehouseUnavailable: If it does not answer.
    """
    with (
        _explained("The primary cannot be looked at"),
        watched_engine(settings, LIMIT_SECONDS) as engine,
        transaction(engine) as connection,
    ):
        present = inspect(connection).get_table_names(schema=settings.warehouse_schema)
        return any(
            connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {settings.warehouse_schema}.{name})").scalar_one()
            for name in ("fact_sales", "etl_batch")
            if name in present
        )


@contextmanager
def loading(settings: Settings, load: Load) -> Iterator[Contents]:
    """Give the primary the star of Gold, in one transaction that is committed on leaving; yield what it has then.

    Readers wait, or are answered by the replica. Its tables are brought to the newest migration first.

    Args:
        settings: Names server and schema.
        load: What to give it.

    Raises:
        BackupFailed: If the rows do not fit or differ from what is expected; the primary is as it was.
        WarehouseUnavailable: If the primary does not answer, or falls silent.
    """
    with (
        _explained("The primary was not restored"),
        watched_engine(settings, LIMIT_SECONDS) as engine,
    ):
        try:
            upgrade(settings, engine=engine)
        except CommandError as error:
            raise BackupFailed(
                f"The primary was not restored and is as it was: {error}. Use the version of this project that has "
                "migrated it, or a newer one."
            ) from error
        with transaction(
            engine, statement_timeout_seconds=LIMIT_SECONDS, lock_timeout_seconds=LOCK_SECONDS
        ) as connection:
            advisory_lock(connection, publish_lock_key(settings))
            _replace_rows(connection, settings, load)
            found = contents_of(connection, settings)
            wrong = differences(load.expected, found, hashed=load.hashed)
            if wrong:
                raise BackupFailed(
                    f"The primary was not restored and is as it was: what was loaded differs: {'; '.join(wrong)}"
                )
            yield found


def _replace_rows(connection: Connection, settings: Settings, load: Load) -> None:
    tables = ", ".join(f"{settings.warehouse_schema}.{name}" for name in REPLICA_TABLES)
    connection.exec_driver_sql(f"TRUNCATE {tables}")
    for dimension in DIMENSION_RULES:
        connection.execute(insert(star_table(dimension.table)), unknown_member(dimension.table))
    if load.gold is not None:
        orphans = load.gold.orphans()
        if orphans:
            raise BackupFailed(f"Facts in Gold refer to keys that are missing: {orphans}. The primary is as it was.")
        suspended = suspend_row_checks(connection)
        for name in STAR:
            copy_picked(connection, settings.warehouse_schema, name, load.gold, name)
        if suspended:
            set_local(connection, "session_replication_role", "origin")
    for report in load.reports:
        record_batch(connection, report)
    for receipt, scores in load.receipts:
        write_receipt(connection, receipt)
        write_scores(connection, scores)
    for entries in load.audit:
        save_entries(connection, entries, replace=False)
    connection.exec_driver_sql(f"ANALYZE {tables}")
