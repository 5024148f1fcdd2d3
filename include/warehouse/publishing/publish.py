"""Publishing: one transaction that makes a staged batch live.

The protocol is described in `docs/warehouse.md`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    Text,
    and_,
    any_,
    cast,
    func,
    inspect,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from include.domain.star import DIMENSION_RULES
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable, advisory_lock, set_local, transaction
from include.warehouse.publishing.batches import PublishError, PublishReport, StagingIncomplete, record_batch
from include.warehouse.publishing.checks import check_collisions, check_days, check_facts, count_staged
from include.warehouse.publishing.facts import delete_unstaged, insert_facts, overwrite, update_facts, written
from include.warehouse.publishing.indices import without_indices
from include.warehouse.publishing.merge import merge_statement
from include.warehouse.publishing.staging import drop_staging, purge_staging, staged, staging_present
from include.warehouse.schema.tables import DIMENSIONS, FACT, STAR, star_table

log = logging.getLogger(__name__)

BULK_FACTS = 20_000
"""From this many staged facts on, foreign keys are checked as one join a dimension instead of one look-up a row."""

ANALYZE_SHARE = 0.1
"""Planner statistics are refreshed when a batch wrote at least this share of the facts."""

STATEMENT_TIMEOUT_SECONDS = 900.0
LOCK_TIMEOUT_SECONDS = 600.0
"""How long a publish waits for those before it."""


def publish_lock_key(settings: Settings) -> int:
    """Return the advisory lock key that publishes into a schema take: 64 bits of SHA-256 of `<schema>.publish`."""
    digest = hashlib.sha256(f"{settings.warehouse_schema}.publish".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def publish(
    engine: Engine,
    settings: Settings,
    batch_id: str,
    run_id: str,
    kind: Literal["drop", "rebuild"],
    token: str,
    rebuilt_days: Sequence[date] = (),
    *,
    staged_rows: Mapping[str, int] | None = None,
    source_batches: Sequence[str] | None = None,
) -> PublishReport:
    """Make a staged batch live in one transaction, or return the report of when that was done.

    Args:
        engine: From `make_engine`.
        settings: Names the schemas.
        batch_id: Batch that was staged.
        run_id: Run that publishes.
        kind: `drop` adds lines; `rebuild` also deletes lines of `rebuilt_days` that are not staged.
        token: Identity of the Gold output; a new Gold attempt has a new one.
        rebuilt_days: Invoice days a rebuild covers; empty for a drop.
        staged_rows: Rows the Gold job says it staged, by table; anything else in staging is refused.
        source_batches: Batches a rebuild was made from. It deletes lines of these and of earlier rebuilds only. If not
            given, it deletes lines of any batch claimed before it.

    Raises:
        StagingIncomplete: If staging is missing or incomplete.
        PublishError: If staging contradicts itself or the star.
        WarehouseUnavailable: If the server cannot be reached.
        ValueError: If the days do not fit the kind, or the batch id is none.
        sqlalchemy.exc.OperationalError: If the server gives up midway; nothing is visible, the call can be repeated.
    """
    if (kind == "rebuild") != bool(rebuilt_days):
        raise ValueError(f"A {kind} {'needs' if kind == 'rebuild' else 'has no'} days to rebuild.")
    publication = _Publication(settings, batch_id, kind, sorted(set(rebuilt_days)), source_batches)
    try:
        with transaction(
            engine,
            statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
            lock_timeout_seconds=LOCK_TIMEOUT_SECONDS,
        ) as connection:
            report = publication.run(connection, run_id, token, staged_rows)
    except (IntegrityError, DataError, ProgrammingError) as error:
        cause = " ".join(str(error.orig).split())
        raise PublishError(
            f"The staged rows of batch {batch_id} do not fit the warehouse: {cause}. Nothing was published. "
            "Run gold again; if it fails the same way, the batch itself has to be corrected."
        ) from error
    try:
        purge_staging(engine, settings)
    except (OperationalError, WarehouseUnavailable) as error:
        log.warning("Batch %s is published, but old staging tables were not purged: %s", batch_id, error)
    return report


def replace_days(
    engine: Engine,
    settings: Settings,
    batch_id: str,
    days: Sequence[date],
    staged_rows: Mapping[str, int],
    without: Sequence[str] = (),
) -> dict[str, int]:
    """Make the facts of some days, and the members staged with them, exactly what is staged; return the rows written.

    Unlike a rebuild this knows no merge rules: what differs from staging is wrong, `batch_id` too. It records no batch.

    Args:
        engine: From `make_engine`.
        settings: Names the schemas.
        batch_id: By which the rows are staged.
        days: Invoice days.
        staged_rows: Rows staged, by table.
        without: Facts, as `batch_id:date_key`, that are kept though they are not staged.

    Raises:
        PublishError: If staging is incomplete or contradicts itself.
        WarehouseUnavailable: If the server cannot be reached.
        sqlalchemy.exc.OperationalError: If the server gives up midway; nothing is visible, the call can be repeated.
    """
    publication = _Publication(settings, batch_id, "rebuild", sorted(set(days)), None)
    try:
        with transaction(
            engine,
            statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
            lock_timeout_seconds=LOCK_TIMEOUT_SECONDS,
        ) as connection:
            return publication.replace(connection, staged_rows, without)
    except (IntegrityError, DataError, ProgrammingError) as error:
        cause = " ".join(str(error.orig).split())
        raise PublishError(f"The rows of Gold do not fit the warehouse: {cause}. Nothing was changed.") from error


class _Publication:
    """The steps of one publish, each on the same open transaction."""

    def __init__(
        self,
        settings: Settings,
        batch_id: str,
        kind: Literal["drop", "rebuild"],
        days: list[date],
        source_batches: Sequence[str] | None,
    ) -> None:
        self.settings = settings
        self.batch_id = batch_id
        self.kind = kind
        self.days = days
        self.source_batches = source_batches
        self.staging: dict[str, Table] = {table: staged(settings, table, batch_id) for table in STAR}

    def run(
        self, connection: Connection, run_id: str, token: str, staged_rows: Mapping[str, int] | None
    ) -> PublishReport:
        """Publish, or find that it is done."""
        self._require_schema(connection)
        self._configure(connection)
        advisory_lock(connection, publish_lock_key(self.settings))
        present = staging_present(connection, self.settings, self.batch_id)
        if not any(present.values()):
            return self._published_before(connection, token)
        rows = count_staged(connection, self.batch_id, self.staging, present, staged_rows)
        if self.kind == "rebuild":
            check_days(connection, self.batch_id, self.staging, self.days)
        if rows[FACT] >= BULK_FACTS:
            self._hold_dimensions(connection)
        counts = {
            rule.table: written(connection, merge_statement(rule, self.staging[rule.table])) for rule in DIMENSION_RULES
        }
        check_collisions(connection, self.staging)
        staging = self.staging[FACT]
        deleted = self._delete_vanished(connection) if self.kind == "rebuild" else 0
        counts[FACT] = update_facts(connection, staging) + self._insert(connection, rows[FACT])
        amount, facts_loaded, amount_loaded, loaded = check_facts(connection, self.batch_id, self.staging)
        report = PublishReport(
            batch_id=self.batch_id,
            run_id=run_id,
            kind=self.kind,
            token=token,
            published_at=connection.execute(select(func.clock_timestamp())).scalar_one(),
            rebuilt_days=self.days,
            rows_staged=rows,
            rows_written=counts,
            facts_deleted=deleted,
            amount=amount,
            facts_loaded=facts_loaded,
            amount_loaded=amount_loaded,
            loaded=loaded,
        )
        record_batch(connection, report)
        self._refresh_statistics(connection, counts[FACT] + deleted)
        drop_staging(connection, self.settings, self.batch_id)
        return report

    def replace(self, connection: Connection, staged_rows: Mapping[str, int], without: Sequence[str]) -> dict[str, int]:
        """Make the days what is staged."""
        self._require_schema(connection)
        self._configure(connection)
        advisory_lock(connection, publish_lock_key(self.settings))
        present = staging_present(connection, self.settings, self.batch_id)
        facts = count_staged(connection, self.batch_id, self.staging, present, staged_rows)[FACT]
        check_days(connection, self.batch_id, self.staging, self.days)
        if facts >= BULK_FACTS:
            self._hold_dimensions(connection)
        counts = {
            rule.table: overwrite(connection, rule.table, self.staging[rule.table])
            + written(connection, merge_statement(rule, self.staging[rule.table]))
            for rule in DIMENSION_RULES
        }
        fact, staging = star_table(FACT), self.staging[FACT]
        group = fact.c.batch_id + ":" + cast(fact.c.date_key, Text)
        counts[FACT] = (
            delete_unstaged(connection, staging, self.days, group.not_in(without))
            + overwrite(connection, FACT, staging)
            + self._insert(connection, facts)
        )
        check_facts(connection, self.batch_id, self.staging)
        drop_staging(connection, self.settings, self.batch_id)
        return counts

    def _require_schema(self, connection: Connection) -> None:
        if not inspect(connection).has_table("etl_batch", schema=self.settings.warehouse_schema):
            raise PublishError(
                f"Schema {self.settings.warehouse_schema} has no warehouse tables. "
                "Run `python -m include.operate migrate`."
            )

    def _configure(self, connection: Connection) -> None:
        # synchronous_commit is left alone: what is reported as published has to survive a crash.
        for name, value in {
            "TimeZone": "UTC",  # so are the moments Spark writes, if it made the columns with a time zone
            "work_mem": "128MB",
            "maintenance_work_mem": "256MB",
            "jit": "off",
            "random_page_cost": "1.1",  # a small batch looks its lines up rather than reading every fact
            "idle_in_transaction_session_timeout": "60s",
            "client_connection_check_interval": "5s",
        }.items():
            set_local(connection, name, value)

    def _published_before(self, connection: Connection, token: str) -> PublishReport:
        batch = star_table("etl_batch")
        recorded = connection.execute(select(batch).where(batch.c.batch_id == self.batch_id)).mappings().first()
        if recorded is not None and recorded["token"] == token:
            return PublishReport.model_validate(dict(recorded))
        was = "" if recorded is None else f" An earlier Gold output of it was published at {recorded['published_at']}."
        raise StagingIncomplete(
            f"Batch {self.batch_id} is not staged in schema {self.settings.staging_schema}.{was} Run gold again."
        )

    def _hold_dimensions(self, connection: Connection) -> None:
        """Keep other writers away from the dimensions until the commit; readers go on."""
        tables = ", ".join(_quoted(connection, self.settings, name) for name in DIMENSIONS)
        connection.execute(text(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))

    def _insert(self, connection: Connection, staged_facts: int) -> int:
        staging = self.staging[FACT]
        if staged_facts < BULK_FACTS:
            return insert_facts(connection, staging, bulk=False)
        with without_indices(connection, self.settings.warehouse_schema, staged_facts):
            return insert_facts(connection, staging, bulk=True)

    def _delete_vanished(self, connection: Connection) -> int:
        fact = star_table(FACT)
        before: ColumnElement[bool] = fact.c.batch_id <= self.batch_id
        if self.source_batches is not None:
            batch = star_table("etl_batch")
            rebuilds = select(batch.c.batch_id).where(batch.c.kind == "rebuild")
            sources = fact.c.batch_id == any_(literal(list(self.source_batches), postgresql.ARRAY(postgresql.TEXT)))
            before = or_(sources, and_(before, fact.c.batch_id.in_(rebuilds)))
        return delete_unstaged(connection, self.staging[FACT], self.days, before)

    def _refresh_statistics(self, connection: Connection, written: int) -> None:
        """Tell the planner about a batch too large to wait for autovacuum."""
        fact = _quoted(connection, self.settings, FACT)
        estimate = connection.execute(
            text("SELECT reltuples FROM pg_class WHERE oid = CAST(:name AS regclass)"), {"name": fact}
        ).scalar_one()
        if written > ANALYZE_SHARE * max(estimate, 0):
            for name in STAR:
                connection.execute(text(f"ANALYZE {_quoted(connection, self.settings, name)}"))


def _quoted(connection: Connection, settings: Settings, table: str) -> str:
    preparer = connection.dialect.identifier_preparer
    return f"{preparer.quote(settings.warehouse_schema)}.{preparer.quote(table)}"
