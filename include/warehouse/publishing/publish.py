"""Publishing: one transaction that makes a staged batch live.

The protocol is described in `docs/warehouse.md`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Delete,
    Engine,
    Insert,
    Select,
    Table,
    Text,
    Update,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from include.domain.model import Model
from include.domain.star import DIMENSION_RULES
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable, advisory_lock, set_local, transaction
from include.warehouse.publishing.merge import collisions, merge_statement
from include.warehouse.publishing.staging import drop_staging, purge_staging, staged, staging_present, staging_table
from include.warehouse.schema.tables import DIMENSIONS, FACT, STAR, loaded_columns, star_table

log = logging.getLogger(__name__)

BULK_FACTS = 20_000
"""From this many staged facts on, foreign keys are checked as one join a dimension instead of one look-up a row."""

ANALYZE_SHARE = 0.1
"""Planner statistics are refreshed when a batch wrote at least this share of the facts."""

STATEMENT_TIMEOUT_SECONDS = 900.0
LOCK_TIMEOUT_SECONDS = 600.0
"""How long a publish waits for those before it."""

_MERGE_COLUMNS = tuple(column.name for column in loaded_columns(FACT) if column.name not in {"sale_id", "batch_id"})


class PublishError(Exception):
    """A batch cannot be published; nothing of it is visible. The message says what to do."""


class StagingIncomplete(PublishError):
    """What the Gold job staged of a batch is not there, or not all of it."""


class PublishReport(Model):
    """What a publish did.

    Attributes:
        token: Identity of the Gold output that was published.
        published_at: When the batch was ready to commit, by the server's clock.
        rows_staged: Rows staged by table.
        rows_written: Rows inserted or changed by table; the rest was live already.
        facts_deleted: Facts that a rebuild found gone.
        amount: GBP, sum over the staged facts.
        facts_loaded: Staged facts that are live as this batch's; of the others another batch is the owner.
        amount_loaded: GBP, sum over these.
    """

    batch_id: str
    run_id: str
    kind: Literal["drop", "rebuild"]
    token: str
    published_at: datetime
    rebuilt_days: list[date]
    rows_staged: dict[str, int]
    rows_written: dict[str, int]
    facts_deleted: int
    amount: Decimal
    facts_loaded: int
    amount_loaded: Decimal


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
        rows = self._staged_rows(connection, present, staged_rows)
        self._check_days(connection)
        bulk = rows[FACT] >= BULK_FACTS
        if bulk:
            self._hold_dimensions(connection)
        written = {
            rule.table: _written(connection, merge_statement(rule, self.staging[rule.table]))
            for rule in DIMENSION_RULES
        }
        self._check_collisions(connection)
        deleted = self._delete_vanished(connection) if self.kind == "rebuild" else 0
        written[FACT] = self._update_facts(connection) + self._insert_facts(connection, bulk)
        amount, facts_loaded, amount_loaded = self._check_facts(connection)
        report = PublishReport(
            batch_id=self.batch_id,
            run_id=run_id,
            kind=self.kind,
            token=token,
            published_at=connection.execute(select(func.clock_timestamp())).scalar_one(),
            rebuilt_days=self.days,
            rows_staged=rows,
            rows_written=written,
            facts_deleted=deleted,
            amount=amount,
            facts_loaded=facts_loaded,
            amount_loaded=amount_loaded,
        )
        self._record(connection, report)
        self._refresh_statistics(connection, written[FACT] + deleted)
        drop_staging(connection, self.settings, self.batch_id)
        return report

    def replace(self, connection: Connection, staged_rows: Mapping[str, int], without: Sequence[str]) -> dict[str, int]:
        """Make the days what is staged."""
        self._require_schema(connection)
        self._configure(connection)
        advisory_lock(connection, publish_lock_key(self.settings))
        present = staging_present(connection, self.settings, self.batch_id)
        bulk = self._staged_rows(connection, present, staged_rows)[FACT] >= BULK_FACTS
        self._check_days(connection)
        if bulk:
            self._hold_dimensions(connection)
        written = {
            rule.table: self._overwrite(connection, rule.table)
            + _written(connection, merge_statement(rule, self.staging[rule.table]))
            for rule in DIMENSION_RULES
        }
        fact = star_table(FACT)
        group = fact.c.batch_id + ":" + cast(fact.c.date_key, Text)
        written[FACT] = (
            self._delete_unstaged(connection, group.not_in(without))
            + self._overwrite(connection, FACT)
            + self._insert_facts(connection, bulk)
        )
        self._check_facts(connection)
        drop_staging(connection, self.settings, self.batch_id)
        return written

    def _overwrite(self, connection: Connection, name: str) -> int:
        """Change live rows to what is staged under the same key."""
        live, staging = star_table(name), self.staging[name]
        key = live.primary_key.columns.keys()[0]
        columns = [column.name for column in loaded_columns(name) if column.name != key]
        values = {column: cast(staging.c[column], live.c[column].type) for column in columns}
        statement = (
            update(live)
            .values(values)
            .where(
                live.c[key] == cast(staging.c[key], live.c[key].type),
                or_(*[live.c[column].is_distinct_from(value) for column, value in values.items()]),
            )
        )
        return _written(connection, statement)

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

    def _staged_rows(
        self, connection: Connection, present: dict[str, bool], expected: Mapping[str, int] | None
    ) -> dict[str, int]:
        missing = [staging_table(table, self.batch_id) for table, there in present.items() if not there]
        if missing:
            raise StagingIncomplete(
                f"Batch {self.batch_id} is staged in part: {', '.join(missing)} missing. Run gold again."
            )
        quote = connection.dialect.identifier_preparer.format_table
        for table in self.staging.values():
            connection.execute(text(f"ANALYZE {quote(table)}"))
        counts = [select(func.count()).select_from(table).scalar_subquery() for table in self.staging.values()]
        rows = dict(zip(self.staging, connection.execute(select(*counts)).one(), strict=True))
        if expected is None and not any(rows.values()):
            raise StagingIncomplete(
                f"The staging tables of batch {self.batch_id} are empty, as after a crash of the server. "
                "Run gold again, or state the rows that were staged if the batch is really empty."
            )
        if expected is not None and {table: expected.get(table, 0) for table in STAR} != rows:
            raise StagingIncomplete(
                f"Gold staged {dict(expected)} for batch {self.batch_id}, but staging holds {rows}. Run gold again."
            )
        return rows

    def _check_days(self, connection: Connection) -> None:
        if self.kind == "drop":
            return
        sold_on = cast(self.staging[FACT].c.sold_at, Date)
        stray = connection.execute(
            select(sold_on).where(sold_on.not_in(self.days)).order_by(sold_on).limit(1)
        ).scalar_one_or_none()
        if stray is not None:
            raise PublishError(
                f"Batch {self.batch_id} rebuilds {', '.join(map(str, self.days))} but stages a line of {stray}."
            )

    def _hold_dimensions(self, connection: Connection) -> None:
        """Keep other writers away from the dimensions until the commit; readers go on."""
        tables = ", ".join(_quoted(connection, self.settings, name) for name in DIMENSIONS)
        connection.execute(text(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"))

    def _check_collisions(self, connection: Connection) -> None:
        for rule in DIMENSION_RULES:
            found = connection.execute(collisions(rule, self.staging[rule.table])).first()
            if found is not None:
                staged_value, live_value, key = found
                raise PublishError(
                    f"{rule.table}: {rule.natural} {staged_value!r} has the key of {live_value!r} ({key}). "
                    "Nothing was published."
                )

    def _delete_vanished(self, connection: Connection) -> int:
        fact = star_table(FACT)
        before: ColumnElement[bool] = fact.c.batch_id <= self.batch_id
        if self.source_batches is not None:
            batch = star_table("etl_batch")
            rebuilds = select(batch.c.batch_id).where(batch.c.kind == "rebuild")
            sources = fact.c.batch_id == any_(literal(list(self.source_batches), postgresql.ARRAY(postgresql.TEXT)))
            before = or_(sources, and_(before, fact.c.batch_id.in_(rebuilds)))
        return self._delete_unstaged(connection, before)

    def _delete_unstaged(self, connection: Connection, condition: ColumnElement[bool]) -> int:
        """Delete the facts of the days that meet `condition` and are not staged; return how many."""
        fact, staging = star_table(FACT), self.staging[FACT]
        day = func.unnest(bindparam("days", self.days, postgresql.ARRAY(Date))).table_valued("day").render_derived("d")
        vanished = delete(fact).where(
            fact.c.sold_at >= day.c.day,
            fact.c.sold_at < day.c.day + 1,
            condition,
            ~exists().where(cast(staging.c.sale_id, fact.c.sale_id.type) == fact.c.sale_id),
        )
        return _written(connection, vanished)

    def _update_facts(self, connection: Connection) -> int:
        """Change lines that are live with other values; the batch that loaded a line first stays its owner."""
        fact, staging = star_table(FACT), self.staging[FACT]
        changed = [fact.c[name].is_distinct_from(staging.c[name]) for name in _MERGE_COLUMNS]
        statement = (
            update(fact)
            .values({name: staging.c[name] for name in _MERGE_COLUMNS})
            .where(fact.c.sale_id == cast(staging.c.sale_id, fact.c.sale_id.type), or_(*changed))
        )
        return _written(connection, statement)

    def _insert_facts(self, connection: Connection, bulk: bool) -> int:
        fact, staging = star_table(FACT), self.staging[FACT]
        live = fact.alias("live")
        sale_id = cast(staging.c.sale_id, fact.c.sale_id.type)
        columns = [column.name for column in loaded_columns(FACT)]
        rows = (
            select(*[cast(staging.c[name], fact.c[name].type) for name in columns])
            .where(~exists().where(live.c.sale_id == sale_id))
            .order_by(staging.c.sold_at, sale_id)  # lines of a day lie together, which is how they are read
        )
        statement = insert(fact).from_select(columns, rows)
        if not (bulk and self._suspend_row_checks(connection)):
            return _written(connection, statement)
        inserted = _written(connection, statement)
        set_local(connection, "session_replication_role", "origin")
        return inserted

    def _suspend_row_checks(self, connection: Connection) -> bool:
        """Turn per-row foreign key triggers off for this transaction, if the role may.

        `_check_facts` makes the same checks, set-based, while `_hold_dimensions` keeps the dimensions as they are.
        """
        try:
            with connection.begin_nested():
                set_local(connection, "session_replication_role", "replica")
        except ProgrammingError as error:
            log.info("Foreign keys are checked row by row, which is slower: %s", error.orig)
            return False
        return True

    def _check_facts(self, connection: Connection) -> tuple[Decimal, int, Decimal]:
        """Hold what is live against what was staged.

        Returns:
            The staged amount in GBP; of the staged facts, number and GBP of those that are live as this batch's.

        Raises:
            PublishError: If a staged line is not live with its amount, refers to nothing, or is on another day.
        """
        staging, fact = self.staging[FACT], star_table(FACT)
        expected = connection.execute(_rows_and_amount(staging)).one()
        live = fact.join(staging, fact.c.sale_id == cast(staging.c.sale_id, fact.c.sale_id.type))
        orphans = []
        for rule in DIMENSION_RULES:
            dimension = star_table(rule.table)
            live = live.outerjoin(dimension, dimension.c[rule.key] == fact.c[rule.key])
            orphans.append(func.count().filter(dimension.c[rule.key].is_(None)).label(rule.table))
        day = star_table("dim_date").c.full_date
        misdated = func.count().filter(day != cast(fact.c.sold_at, Date))
        ours = fact.c.batch_id == self.batch_id
        loaded = [func.count().filter(ours), func.coalesce(func.sum(fact.c.amount).filter(ours), Decimal(0))]
        query = _rows_and_amount(fact).add_columns(*loaded, *orphans, misdated).select_from(live)
        rows, amount, facts_loaded, amount_loaded, *missing, stray = connection.execute(query).one()
        if (rows, amount) != tuple(expected):
            raise PublishError(
                f"Batch {self.batch_id} staged {expected[0]} lines of GBP {expected[1]}, but {rows} of GBP {amount} "
                "are live. Nothing was published. Run gold again."
            )
        lost = {rule.table: count for rule, count in zip(DIMENSION_RULES, missing, strict=True) if count}
        if lost:
            counts = ", ".join(f"{count} in {table}" for table, count in lost.items())
            raise PublishError(
                f"Lines of batch {self.batch_id} refer to keys that are missing: {counts}. Nothing was published. "
                "Run gold again."
            )
        if stray:
            raise PublishError(
                f"{stray} lines of batch {self.batch_id} have a date_key that is not the day of sold_at. "
                "Nothing was published."
            )
        return Decimal(expected[1]), facts_loaded, Decimal(amount_loaded)

    def _record(self, connection: Connection, report: PublishReport) -> None:
        batch = star_table("etl_batch")
        values: dict[str, Any] = report.model_dump() | {"rebuilt_days": [day.isoformat() for day in self.days]}
        statement = postgresql.insert(batch).values(values)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["batch_id"], set_={name: statement.excluded[name] for name in values}
            )
        )

    def _refresh_statistics(self, connection: Connection, written: int) -> None:
        """Tell the planner about a batch too large to wait for autovacuum."""
        fact = _quoted(connection, self.settings, FACT)
        estimate = connection.execute(
            text("SELECT reltuples FROM pg_class WHERE oid = CAST(:name AS regclass)"), {"name": fact}
        ).scalar_one()
        if written > ANALYZE_SHARE * max(estimate, 0):
            for name in STAR:
                connection.execute(text(f"ANALYZE {_quoted(connection, self.settings, name)}"))


def _rows_and_amount(table: Table) -> Select[Any]:
    return select(func.count(), func.coalesce(func.sum(table.c.amount), Decimal(0)))


def _written(connection: Connection, statement: Insert | Update | Delete) -> int:
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def _quoted(connection: Connection, settings: Settings, table: str) -> str:
    preparer = connection.dialect.identifier_preparer
    return f"{preparer.quote(settings.warehouse_schema)}.{preparer.quote(table)}"
