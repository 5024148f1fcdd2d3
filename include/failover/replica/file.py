"""The replica: the star in a local SQLite file, made from Gold, that stands in for PostgreSQL while it is away.

`warehouse.sqlite` in the replica folder is a link to the file in use. A full refresh builds a new file beside it and
moves the link, so a reader sees the old replica or the new one; a batch is one transaction.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from include.domain.model import Model
from include.failover.replica.schema import schema_version
from include.files import flush
from include.settings import Settings
from include.warehouse import MODEL_SCHEMA, PublishError

BUSY_SECONDS = 60

STATE_TABLE = "replica_state"


class ReplicaUnusable(Exception):
    """The replica is missing, damaged or of an older version; the message says which and what to do."""


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


def sqlite_engine(path: Path, *, write: bool, create: bool = False) -> Engine:
    """Return an engine on a file; each connection opens it again, so that it follows the link."""
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


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """Yield a connection that reads one state of the replica.

    Raises:
        ReplicaUnusable: If the replica is missing, damaged or of an older version, on entry or while it is read.
    """
    try:
        with sqlite_engine(replica_link(settings), write=False).begin() as connection:
            _require_version(connection)
            yield connection
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise _unusable(settings, error) from error


@contextmanager
def writing(settings: Settings) -> Iterator[Connection]:
    """Yield a connection that changes the replica in one transaction.

    Raises:
        PublishError: If rows do not fit; nothing was changed.
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
    """
    try:
        with sqlite_engine(replica_link(settings), write=True).begin() as connection:
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
        "Rebuild it: `python -m include.operate refresh-replica`."
    )


def _require_version(connection: Connection) -> None:
    found = connection.execute(text(f"SELECT value FROM {STATE_TABLE} WHERE name = 'schema'")).scalar_one_or_none()
    if found != schema_version():
        raise ReplicaUnusable(
            "The replica has the tables of another version. Rebuild it: `python -m include.operate refresh-replica`."
        )


def replica_state(connection: Connection) -> ReplicaState:
    """Return how old the replica is."""
    rows = connection.execute(text(f"SELECT name, value FROM {STATE_TABLE} WHERE name <> 'schema'"))
    return ReplicaState.model_validate({row.name: row.value for row in rows})


def damage(settings: Settings) -> list[str]:
    """Return what a check of the whole file finds wrong, down to the values of each row; reads all of it.

    Raises:
        ReplicaUnusable: If it cannot be read at all.
    """
    with reading(settings) as connection:
        return _wrong(connection)


def damaged_pages(settings: Settings) -> list[str]:
    """Return the tables and indices that have pages which cannot be read; twenty times as fast as `damage`.

    Raises:
        ReplicaUnusable: If it cannot be read at all.
    """
    with reading(settings) as connection:
        if not connection.execute(text("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'")).scalar():
            return _wrong(connection)  # this build of SQLite does not list pages
        query = "SELECT name, count(*) AS pages FROM dbstat WHERE pagetype = 'corrupted' GROUP BY name ORDER BY name"
        return [f"{row.pages} pages of {row.name} cannot be read" for row in connection.execute(text(query))]


def _wrong(connection: Connection) -> list[str]:
    found = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check"))]
    return [line for line in found if line != "ok"]


def fresh_path(settings: Settings, moment: datetime) -> Path:
    """Return the path of a replica that is about to be made."""
    return settings.replica / f"warehouse-{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.sqlite"


def put_replica_in_place(settings: Settings, path: Path) -> None:
    """Move the link to `path` and delete the files it named before; readers that have one open keep it."""
    link = replica_link(settings)
    fresh = link.with_name(f".{path.name}.link")
    fresh.symlink_to(path.name)
    fresh.replace(link)
    flush(path)
    flush(path.parent)
    for other in settings.replica.glob("warehouse-*.sqlite*"):
        if not other.name.startswith(path.name):
            other.unlink(missing_ok=True)
