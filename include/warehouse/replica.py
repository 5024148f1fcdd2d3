"""The replica: the star in a local SQLite file, made from Gold, that stands in for PostgreSQL while it is away.

`warehouse.sqlite` in the replica folder is a link to the file in use. A full refresh builds a new file beside it and
moves the link, so a reader sees the old replica or the new one; a batch is one transaction.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from sqlalchemy import (
    CheckConstraint,
    Connection,
    Engine,
    MetaData,
    NullPool,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite as sqlite_dialect
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from include.domain.model import Model
from include.domain.star import DIMENSION_RULES, UNKNOWN_KEY
from include.files import flush
from include.quality.record import ScoreRow
from include.receipts import Receipt
from include.settings import Settings
from include.warehouse.gold import GoldBatch, GoldStar
from include.warehouse.portable import places, rounded_product
from include.warehouse.publish import PublishError, PublishReport, record_batch
from include.warehouse.quality import write_scores
from include.warehouse.receipts import write_receipt
from include.warehouse.tables import (
    FACT,
    MODEL_SCHEMA,
    NAMING,
    PRODUCT,
    STAR,
    UNKNOWN,
    loaded_columns,
    star_table,
)

REPLICA_TABLES = (*STAR, "etl_batch", "etl_receipt", "etl_quality")
BUSY_SECONDS = 60

_META = "replica_state"


class ReplicaUnusable(Exception):
    """The replica is missing, damaged or of an older version; the message says which and what to do."""


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
    amount: Decimal
    left_out: dict[str, int]
    gold_versions: dict[str, int]
    seconds: float


class ReplicaState(Model):
    """How old the replica is.

    Attributes:
        made_at: When the file was made by a full refresh.
        refreshed_at: When it last took a batch, or was made.
    """

    made_at: datetime
    refreshed_at: datetime


def replica_link(settings: Settings) -> Path:
    """Return the path that always names the replica in use."""
    return settings.replica / "warehouse.sqlite"


def replica_metadata() -> MetaData:
    """Return the warehouse's tables as SQLite has them: same names, keys and checks, decimals scaled.

    Computed columns are left out of their CREATE TABLE; `_computed_columns` adds them.

    Raises:
        ValueError: If a check compares decimals in a way that has no scaled counterpart here.
    """
    metadata = MetaData(naming_convention=NAMING)
    for name in REPLICA_TABLES:
        table = star_table(name).to_metadata(metadata, schema=cast("Any", None))
        for column in table.columns:
            if column.computed is not None:
                factor, rate = (table.c[of] for of in column.info[PRODUCT])
                digits = [places(of.type) or 0 for of in (factor, rate, column)]
                expression = rounded_product(factor.name, rate.name, digits[0] + digits[1] - digits[2])
                column.computed.sqltext = text(expression)
                column.system = True
        for check in table.constraints:
            if isinstance(check, CheckConstraint):
                check.sqltext = text(_scaled_check(table, str(check.sqltext)))
    return metadata


def _scaled_check(table: Table, check: str) -> str:
    decimals = {column.name: scale for column in table.columns if (scale := places(column.type)) is not None}
    words = set(check.replace("(", " ").replace(")", " ").split())
    used = decimals.keys() & words
    if not used:
        return check
    column, *rest = check.split(" ")
    if rest[:1] == ["BETWEEN"] and column in decimals:
        low, _, high = rest[1:]
        return f"{column} BETWEEN {int(low) * 10 ** decimals[column]} AND {int(high) * 10 ** decimals[column]}"
    if len({decimals[name] for name in used}) == 1 and not any(word.lstrip("-").isdigit() for word in words):
        return check  # sums, and products with whole numbers, of decimals with equally many places
    raise ValueError(f"Check {check!r} of {table.name} cannot be carried over to scaled decimals.")


def _computed_columns(metadata: MetaData) -> list[str]:
    """Return the statements that add the computed columns: computed when read, so that a load does not pay for them."""
    return [
        f"ALTER TABLE {table.name} ADD COLUMN {column.name} BIGINT "
        f"GENERATED ALWAYS AS ({column.computed.sqltext}) VIRTUAL"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.computed is not None
    ]


@lru_cache(maxsize=1)
def schema_version() -> str:
    """Return the version of the replica's tables: 64 bits of a hash of their definitions."""
    metadata = replica_metadata()
    made = "\n".join(str(CreateTable(table).compile(dialect=sqlite_dialect())) for table in metadata.sorted_tables)
    # The order of constraints within a table is that of a set.
    lines = sorted(line.strip(" \t,") for line in [*made.splitlines(), *_computed_columns(metadata)])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _engine(path: Path, *, write: bool, create: bool = False) -> Engine:
    """Return an engine on a file; each connection is opened anew, so that it follows the link."""
    mode = "rwc" if create else "rw"
    engine = create_engine(
        f"sqlite:///file:{path}?mode={mode}&uri=true",
        connect_args={"timeout": BUSY_SECONDS},
        poolclass=NullPool,
        execution_options={"schema_translate_map": {MODEL_SCHEMA: None}},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if not write:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def replica_reader(settings: Settings) -> Engine:
    """Return an engine that reads the replica in use, whichever file that is at the time of a connection."""
    return _engine(replica_link(settings), write=False)


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """Yield a connection that reads one state of the replica.

    Raises:
        ReplicaUnusable: If the replica is missing, damaged or of an older version, on entry or while it is read.
    """
    try:
        with _engine(replica_link(settings), write=False).begin() as connection:
            _require_version(connection)
            yield connection
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise _unusable(settings, error) from error


@contextmanager
def _writing(settings: Settings) -> Iterator[Connection]:
    try:
        with _engine(replica_link(settings), write=True).begin() as connection:
            _require_version(connection)
            yield connection
    except IntegrityError as error:
        raise PublishError(f"The rows do not fit the replica: {error.orig}. Nothing was changed.") from error
    except sqlite3.IntegrityError as error:
        raise PublishError(f"The rows do not fit the replica: {error}. Nothing was changed.") from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise _unusable(settings, error) from error


def _unusable(settings: Settings, error: Exception) -> ReplicaUnusable:
    reason = str(getattr(error, "orig", error)).rstrip(".")
    return ReplicaUnusable(
        f"The replica {replica_link(settings)} cannot be used: {reason}. "
        "Make it anew: `python -m include.warehouse refresh-replica`."
    )


def _require_version(connection: Connection) -> None:
    found = connection.execute(text(f"SELECT value FROM {_META} WHERE name = 'schema'")).scalar_one_or_none()
    if found != schema_version():
        raise ReplicaUnusable(
            "The replica has the tables of another version. "
            "Make it anew: `python -m include.warehouse refresh-replica`."
        )


def replica_state(connection: Connection) -> ReplicaState:
    """Return how old the replica is."""
    rows = connection.execute(text(f"SELECT name, value FROM {_META} WHERE name <> 'schema'"))
    return ReplicaState.model_validate({row.name: row.value for row in rows})


def damage(settings: Settings) -> list[str]:
    """Return what a check of the whole file finds wrong; reads all of it.

    Raises:
        ReplicaUnusable: If it cannot be read at all.
    """
    with reading(settings) as connection:
        found = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check"))]
    return [line for line in found if line != "ok"]


def refresh(settings: Settings, reports: Mapping[str, PublishReport], without: Iterable[str]) -> Refreshed:
    """Make the replica anew from Gold and put it in the place of the one in use.

    Args:
        settings: Where Gold and the replica are.
        reports: What is known of every published batch, by batch.
        without: Facts of Gold that were never published, as `batch_id:date_key`.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If what Gold holds does not fit the tables.
    """
    started = datetime.now(UTC)
    settings.replica.mkdir(parents=True, exist_ok=True)
    path = fresh_path(settings, started)
    metadata = replica_metadata()
    left_out = sorted(without)
    try:
        with GoldStar(settings) as gold:
            gold.pick_all(left_out)
            orphans = gold.orphans()
            if orphans:
                raise PublishError(
                    f"Facts in Gold refer to keys that are missing: {orphans}. The replica is as it was."
                )
            engine = _engine(path, write=True, create=True)
            try:
                with engine.connect() as connection:
                    _fill(connection, metadata, gold, reports, started)
            except sqlite3.IntegrityError as error:
                raise PublishError(f"Rows of Gold do not fit the replica: {error}. It is as it was.") from error
            rows, amount = _counted(settings, path)
            excluded = _rows_left_out(gold, left_out)
            versions = gold.versions
        _sync(path)
        put_in_place(settings, path)
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


def fresh_path(settings: Settings, moment: datetime) -> Path:
    """Return the path of a replica that is about to be made."""
    return settings.replica / f"warehouse-{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.sqlite"


def _fill(
    connection: Connection,
    metadata: MetaData,
    gold: GoldStar,
    reports: Mapping[str, PublishReport],
    moment: datetime,
) -> None:
    raw: Any = connection.connection.driver_connection
    # Nobody reads the file before it is whole, so it needs neither journal nor locks while it is filled.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -262144"):
        raw.execute(f"PRAGMA {pragma}")
    with connection.begin():
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table))
        connection.exec_driver_sql(f"CREATE TABLE {_META} (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        for name in STAR:
            columns = [column.name for column in loaded_columns(name)]
            marks = ", ".join("?" * len(columns))
            if name != FACT:
                connection.execute(insert(star_table(name)), unknown_member(name))
            for lot in gold.rows(name):
                raw.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", lot)
        for statement in _computed_columns(metadata):
            connection.exec_driver_sql(statement)
        for table in metadata.sorted_tables:
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index))
        for report in reports.values():
            record_batch(connection, report)
        stamp = moment.isoformat()
        states = {"schema": schema_version(), "made_at": stamp, "refreshed_at": stamp}
        raw.executemany(f"INSERT INTO {_META} VALUES (?, ?)", list(states.items()))
    raw.execute("PRAGMA journal_mode = WAL")


def unknown_member(table: str) -> dict[str, Any]:
    """Return the row that stands for what is not known, as the migrations make it."""
    row: dict[str, Any] = {}
    key, natural = next((rule.key, rule.natural) for rule in DIMENSION_RULES if rule.table == table)
    for column in star_table(table).columns:
        if column.name == key or (not column.nullable and column.type.python_type is int):
            row[column.name] = UNKNOWN_KEY
        elif column.name == natural and column.nullable:
            row[column.name] = None
        elif not column.nullable:
            row[column.name] = False if column.type.python_type is bool else UNKNOWN
    return row


def _counted(settings: Settings, path: Path) -> tuple[dict[str, int], Decimal]:
    with _engine(path, write=False).connect() as connection:
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


def _sync(path: Path) -> None:
    flush(path)
    flush(path.parent)


def put_in_place(settings: Settings, path: Path) -> None:
    """Move the link to `path` and delete the files it named before; readers that have one open keep it."""
    link = replica_link(settings)
    fresh = link.with_name(f".{path.name}.link")
    fresh.symlink_to(path.name)
    fresh.replace(link)
    _sync(path)
    for other in settings.replica.glob("warehouse-*.sqlite*"):
        if not other.name.startswith(path.name):
            other.unlink(missing_ok=True)


def recorded_batches(connection: Connection) -> dict[str, PublishReport]:
    """Return the published batches that a side knows, by batch, oldest first."""
    batch = star_table("etl_batch")
    rows = connection.execute(select(batch).order_by(batch.c.published_at, batch.c.batch_id)).mappings()
    return {row["batch_id"]: PublishReport.model_validate(dict(row)) for row in rows}


def newest_batch(connection: Connection) -> PublishReport | None:
    """Return the batch that a side published last, None if it has none."""
    batch = star_table("etl_batch")
    newest = select(batch).order_by(batch.c.published_at.desc(), batch.c.batch_id.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    return PublishReport.model_validate(dict(row)) if row else None


def apply_batch(settings: Settings, batch: GoldBatch, report: PublishReport | None = None) -> PublishReport:
    """Bring a batch from Gold into the replica in one transaction, or return the report of when that was done.

    The rules are those of `include.warehouse.publish.publish`; dimensions are taken as Gold has merged them.

    Args:
        settings: Where Gold and the replica are.
        batch: What Gold knows of the batch.
        report: What the primary reported; made here if it has not published the batch.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If the rows do not fit.
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    with _writing(settings) as connection:
        known = recorded_batches_of(connection, [batch.batch_id]).get(batch.batch_id)
        if known is not None and known.token == batch.token:
            return known
        # Gold is read under the write lock: of two processes the later one never writes what the earlier one read.
        with GoldStar(settings) as gold:
            gold.pick_batch(batch)
            written = {name: _upsert(connection, gold, name) for name in STAR if name != FACT}
            deleted = _delete_vanished(connection, gold, batch) if batch.kind == "rebuild" else 0
            written[FACT] = _upsert(connection, gold, FACT, kept={"batch_id"})
            if report is None:
                report = report_of(gold, batch, written, deleted, _loaded(connection, gold, batch))
        record_batch(connection, report)
        _stamp(connection)
    return report


def _loaded(connection: Connection, gold: GoldStar, batch: GoldBatch) -> tuple[int, Decimal]:
    """Return number and GBP of the facts that are live as this batch's."""
    first, last = gold.picked_span()
    if first is None:
        return 0, Decimal(0)
    fact = star_table(FACT)
    ours = select(func.count(), func.coalesce(func.sum(fact.c.amount), Decimal(0))).where(
        fact.c.sold_at.between(first, last), fact.c.batch_id == batch.batch_id
    )
    rows, amount = connection.execute(ours).one()
    return rows, amount


def report_of(
    gold: GoldStar, batch: GoldBatch, written: dict[str, int], deleted: int, loaded: tuple[int, Decimal]
) -> PublishReport:
    """Return the report of a batch that was brought into the replica, with its facts picked in `gold`."""
    total = gold.connection.execute("SELECT coalesce(sum(amount), 0)::DECIMAL(20, 4) FROM picked").fetchone()
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
        facts_loaded=loaded[0],
        amount_loaded=loaded[1],
    )


def recorded_batches_of(connection: Connection, batch_ids: Sequence[str]) -> dict[str, PublishReport]:
    """Return those of some batches that a side has published, by batch."""
    batch = star_table("etl_batch")
    rows = connection.execute(select(batch).where(batch.c.batch_id.in_(batch_ids))).mappings()
    return {row["batch_id"]: PublishReport.model_validate(dict(row)) for row in rows}


def replace_days(settings: Settings, days: Sequence[date], without: Iterable[str]) -> dict[str, int]:
    """Make the facts of some days, and the members they refer to, what Gold has; return the rows written by table.

    Args:
        settings: Where Gold and the replica are.
        days: Invoice days.
        without: Facts of Gold that were never published, as `batch_id:date_key`; those in the replica are kept,
            whichever batch they are of there.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If the rows do not fit.
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    left_out = sorted(without)
    with _writing(settings) as connection, GoldStar(settings) as gold:
        gold.pick_days(days, left_out)
        written = {name: _upsert(connection, gold, name) for name in STAR if name != FACT}
        condition = "batch_id || ':' || date_key NOT IN (SELECT value FROM json_each(?))"
        kept = gold.held_ids(days, left_out)
        deleted = _delete_of_days(connection, gold, days, condition, [_json(left_out)], kept)
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
    kept_ids: Sequence[str] = (),
) -> int:
    """Delete the facts of `days` that meet `condition`, are not picked and not in `kept_ids`; return how many."""
    raw: Any = connection.connection.driver_connection
    raw.execute("CREATE TEMP TABLE IF NOT EXISTS incoming (sale_id TEXT PRIMARY KEY)")
    raw.execute("DELETE FROM incoming")
    found = gold.connection.execute("SELECT sale_id FROM picked")
    while lot := found.fetchmany(50_000):
        raw.executemany("INSERT INTO incoming VALUES (?)", lot)
    raw.executemany("INSERT OR IGNORE INTO incoming VALUES (?)", [(sale_id,) for sale_id in kept_ids])
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
    connection.execute(text(f"UPDATE {_META} SET value = :value WHERE name = 'refreshed_at'"), moment)


def store_receipts(settings: Settings, receipts: Iterable[tuple[Receipt, Sequence[ScoreRow]]]) -> None:
    """Write receipts and the scores of their batches into the replica, replacing those of earlier attempts of a run.

    Raises:
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    with _writing(settings) as connection:
        for receipt, scores in receipts:
            write_receipt(connection, receipt)
            write_scores(connection, scores)
