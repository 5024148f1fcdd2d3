"""PostgreSQL's share of a backup: one snapshot dumped, and a dump loaded in one transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import psycopg
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy import Connection, Engine, insert, inspect
from sqlalchemy.exc import DBAPIError

from include.backup.contents import contents_of, differences
from include.backup.manifest import BackupFailed, Contents, Manifest
from include.backup.programs import data_of, dump, program, require_session
from include.domain.star import DIMENSION_RULES
from include.settings import Settings
from include.warehouse.engine import WarehouseUnavailable, advisory_lock, set_local, transaction
from include.warehouse.migrations import current_revision, make_anew, upgrade_within
from include.warehouse.publish import publish_lock_key
from include.warehouse.replica import REPLICA_TABLES, schema_version, unknown_member
from include.warehouse.tables import star_table
from include.warehouse.watch import primary_failed, said, watched_engine

LIMIT_SECONDS = 3600.0
LOCK_SECONDS = 60.0
SETTLE_SECONDS = 60.0
"""How long the server may take to notice that the process behind a transaction is gone."""

_COPY = re.compile(rb'^COPY "?(?P<schema>\w+)"?\."?(?P<table>\w+)"? \((?P<columns>.*)\) FROM stdin;\n$')
_LOT_BYTES = 1 << 20

Fate = Literal["committed", "aborted"]


@dataclass(frozen=True)
class Snapshot:
    """One state of the primary, kept open.

    Attributes:
        name: As other sessions import it.
        revision: Migration it is at.
        major: Version of the server.
    """

    connection: Connection
    name: str
    revision: str
    major: int

    def contents(self, settings: Settings) -> Contents:
        """Return what the primary has in it."""
        return contents_of(self.connection, settings, self.revision)

    def dump(self, settings: Settings, target: Path) -> int:
        """Write it as a dump; return the version of PostgreSQL that reads it.

        Raises:
            BackupFailed: If there is no pg_dump that can, or it fails.
        """
        return dump(settings, target, self.name, self.major)


@contextmanager
def snapshot(settings: Settings) -> Iterator[Snapshot]:
    """Yield the present state of the primary.

    Raises:
        BackupFailed: If it has no tables, or there is no pg_dump for its version.
        WarehouseUnavailable: If it does not answer.
    """
    require_session(settings)
    with (
        _explained("The primary cannot be backed up"),
        watched_engine(settings, LIMIT_SECONDS) as engine,
        transaction(
            engine.execution_options(isolation_level="REPEATABLE READ"), statement_timeout_seconds=LIMIT_SECONDS
        ) as connection,
    ):
        set_local(connection, "idle_in_transaction_session_timeout", "0")
        revision = current_revision(connection, settings)
        if revision is None:
            raise BackupFailed(
                f"Schema {settings.warehouse_schema} of the primary has no warehouse tables to back up. "
                "Run `python -m include.warehouse migrate`."
            )
        major = _major(connection)
        program("pg_dump", major)
        name = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
        yield Snapshot(connection, str(name), revision, major)


def _major(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000


@contextmanager
def _explained(consequence: str) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if primary_failed(error):
            raise WarehouseUnavailable(f"{consequence}: {said(error)}") from error
        raise BackupFailed(f"{consequence}: {said(error)}") from error


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


@dataclass(frozen=True)
class Loaded:
    """What a transaction has given the primary.

    Attributes:
        transaction: Its id.
        contents: What the primary has; None if it was left empty.
    """

    transaction: str
    contents: Contents | None


@contextmanager
def loading(settings: Settings, manifest: Manifest, source: Path | None) -> Iterator[Loaded]:
    """Give the primary what a dump holds, in one transaction that is committed on leaving.

    Tables are made by the migrations that the backup was at, and brought to the newest afterwards. What is loaded is
    held against the manifest before anybody sees it.

    Args:
        settings: Names server and schema.
        manifest: Of the backup.
        source: The dump; None to leave the tables empty.

    Raises:
        BackupFailed: If it cannot be loaded, or differs from the manifest; the primary is as it was.
        WarehouseUnavailable: If the primary does not answer, or falls silent.
    """
    require_session(settings)
    with (
        _explained("The primary was not restored and is as it was"),
        watched_engine(settings, LIMIT_SECONDS) as engine,
        transaction(engine, statement_timeout_seconds=LIMIT_SECONDS, lock_timeout_seconds=LOCK_SECONDS) as connection,
    ):
        set_local(connection, "maintenance_work_mem", "256MB")
        try:
            found = _load(connection, settings, manifest, source)
        except CommandError as error:
            raise BackupFailed(
                f"The primary was not restored and is as it was: {error}. Restore with the version of this project "
                "that the backup was made by, or a newer one."
            ) from error
        number = connection.exec_driver_sql("SELECT pg_current_xact_id()::text").scalar_one()
        yield Loaded(str(number), found)


def _load(connection: Connection, settings: Settings, manifest: Manifest, source: Path | None) -> Contents | None:
    advisory_lock(connection, publish_lock_key(settings))
    if manifest.primary is None or source is None:
        upgrade_within(connection, settings)
        _empty(connection, settings)
        for dimension in DIMENSION_RULES:
            connection.execute(insert(star_table(dimension.table)), unknown_member(dimension.table))
        return None
    make_anew(connection, settings, manifest.primary.version)
    _empty(connection, settings)
    with _without_extras(connection, settings), data_of(source, manifest.dump_version or 0) as script:
        _copy_rows(connection, settings, script)
    upgrade_within(connection, settings)
    connection.exec_driver_sql(f"ANALYZE {', '.join(_tables(connection, settings))}")
    comparable = manifest.hash_version == schema_version()
    found = contents_of(connection, settings, current_revision(connection, settings) or "")
    wrong = differences(manifest.primary, found, hashed=comparable)
    if wrong:
        raise BackupFailed(
            "The primary was not restored and is as it was: what was loaded differs from the backup: "
            + "; ".join(wrong)
        )
    return found


def _tables(connection: Connection, settings: Settings) -> list[str]:
    present = inspect(connection).get_table_names(schema=settings.warehouse_schema)
    return [f"{settings.warehouse_schema}.{name}" for name in REPLICA_TABLES if name in present]


def _empty(connection: Connection, settings: Settings) -> None:
    connection.exec_driver_sql(f"TRUNCATE {', '.join(_tables(connection, settings))}")


@contextmanager
def _without_extras(connection: Connection, settings: Settings) -> Iterator[None]:
    """Drop foreign keys and indices, and make them again afterwards: cheaper than keeping them row by row."""
    schema = settings.warehouse_schema
    keys = connection.exec_driver_sql(
        "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'f' AND connamespace = %s::regnamespace ORDER BY 1, 2",
        (schema,),
    ).fetchall()
    indices = connection.exec_driver_sql(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i "
        "JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = %s::regnamespace AND c.relname = ANY(%s) "
        "AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid) ORDER BY 1",
        (schema, list(REPLICA_TABLES)),
    ).fetchall()
    for table, name, _ in keys:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in indices:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    yield
    for _, definition in indices:
        connection.exec_driver_sql(definition.replace("%", "%%"))
    for table, name, definition in keys:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}".replace("%", "%%"))


def _copy_rows(connection: Connection, settings: Settings, script: IO[bytes]) -> None:
    """Copy the rows of the warehouse's tables; those of other tables in the schema are passed over."""
    raw: Any = connection.connection.driver_connection
    known = {name.partition(".")[2] for name in _tables(connection, settings)}
    for line in script:
        found = _COPY.match(line)
        if not found:
            continue
        table = found["table"].decode()
        if table not in known:
            for _ in _rows(script):
                continue
            continue
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(settings.warehouse_schema, table),
            sql.SQL(", ").join(sql.Identifier(name.strip(' "')) for name in found["columns"].decode().split(",")),
        )
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            for lot in _rows(script):
                copy.write(lot)


def _rows(script: IO[bytes]) -> Iterator[bytes]:
    """Yield the rows up to the end of a COPY, in lots."""
    lot: list[bytes] = []
    size = 0
    for line in script:
        if line == b"\\.\n":
            yield b"".join(lot)
            return
        lot.append(line)
        size += len(line)
        if size > _LOT_BYTES:
            yield b"".join(lot)
            lot, size = [], 0
    raise BackupFailed("The dump ends in the middle of a table.")


def fate(settings: Settings, transaction_id: str) -> Fate:
    """Return what became of a transaction on the primary.

    Raises:
        WarehouseUnavailable: If the primary does not answer, or the transaction goes on.
    """
    end = time.monotonic() + SETTLE_SECONDS
    with _explained("What became of the restore cannot be told"), watched_engine(settings, LIMIT_SECONDS) as engine:
        while True:
            match _status(engine, transaction_id):
                case "committed":
                    return "committed"
                case "in progress" if time.monotonic() < end:
                    time.sleep(0.5)
                case "in progress":
                    raise WarehouseUnavailable(
                        f"Transaction {transaction_id} of the restore still goes on at the primary. Try again later."
                    )
                case _:
                    return "aborted"


def _status(engine: Engine, transaction_id: str) -> str | None:
    try:
        with transaction(engine) as connection:
            query = "SELECT pg_xact_status(%s::xid8)"
            found: str | None = connection.exec_driver_sql(query, (transaction_id,)).scalar_one()
            return found
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InvalidParameterValue):
            # The server has crashed and knows of no such transaction: nothing of it had reached the disk.
            return "aborted"
        raise
