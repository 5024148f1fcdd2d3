"""Alembic migrations of the warehouse, run by program: no ini file, no URL written down anywhere.

A migration runs in one transaction under an advisory lock, so that components starting together may all call `upgrade`.
Alembic is imported where it is used: it takes 0.3 s, which steps that migrate nothing need not wait for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.schema import CreateSchema

from include.settings import Settings
from include.warehouse.connection.engine import WarehouseMisconfigured, advisory_lock, open_engine, transaction
from include.warehouse.schema.security import SecurityReport, enforce

MIGRATIONS = Path(__file__).parent
"""Folder of Alembic's environment and revisions."""

STATEMENT_TIMEOUT_SECONDS = 3600.0
LOCK_TIMEOUT_SECONDS = 300.0

_Way = Literal["upgrade", "downgrade"]


def upgrade(settings: Settings, revision: str = "head", engine: Engine | None = None) -> str | None:
    """Bring the warehouse to `revision`; does nothing if it is there.

    On Supabase every table is under row-level security when it becomes visible, unless the settings say otherwise.

    Args:
        settings: Name the server and the schemas.
        revision: Where to.
        engine: Engine on the server to do it with, such as a watched one; one of its own if not given.

    Returns:
        The revision the warehouse is at.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is unusable or the server cannot be reached.
        alembic.util.CommandError: If there is no such revision.
    """
    return _migrate(settings, "upgrade", revision, engine)


def create_schemas(settings: Settings, engine: Engine | None = None) -> list[str]:
    """Make the schemas of the warehouse and its staging tables, without tables; does nothing if they are there.

    Args:
        settings: Name the server and the schemas.
        engine: Engine on the server to do it with; one of its own if not given.

    Returns:
        The schemas that were made.

    Raises:
        WarehouseMisconfigured: If the settings cannot work.
        WarehouseUnavailable: If the server cannot be reached.
    """
    with _alone(settings, engine) as connection:
        return [schema for schema in _schemas(settings) if _make_schema(connection, schema)]


def downgrade(settings: Settings, revision: str) -> str | None:
    """Take the warehouse back to `revision`; `base` drops every table of the warehouse, with its data.

    The two schemas stay, as they may hold what is not the warehouse's.

    Returns:
        The revision the warehouse is at, none for `base`.

    Raises:
        WarehouseUnavailable: If DATABASE_URL is unusable or the server cannot be reached.
        alembic.util.CommandError: If there is no such revision.
    """
    return _migrate(settings, "downgrade", revision)


def current_revision(connection: Connection, settings: Settings) -> str | None:
    """Return the revision the warehouse is at, none if it was never migrated."""
    from alembic.runtime.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"version_table_schema": settings.warehouse_schema})
    return context.get_current_revision()


def migration_lock_key(settings: Settings) -> int:
    """Return the advisory lock key of migrations: 64 bits of SHA-256 of `<schema>.migrate`."""
    digest = hashlib.sha256(f"{settings.warehouse_schema}.migrate".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def secure(settings: Settings) -> SecurityReport:
    """Put the tables of a warehouse on Supabase under row-level security; does nothing if they are.

    Raises:
        WarehouseMisconfigured: If the settings want none, or the database is not Supabase's.
        WarehouseUnavailable: If the server cannot be reached.
    """
    if not settings.row_level_security:
        raise WarehouseMisconfigured(
            "Row-level security is for Supabase: set DATABASE_TYPE to supabase and ENABLE_SUPABASE_RLS to true."
        )
    with _alone(settings) as connection:
        if not inspect(connection).has_schema(settings.warehouse_schema):
            raise WarehouseMisconfigured(
                f"Schema {settings.warehouse_schema} is not there. Run `python -m include.operate migrate`."
            )
        return enforce(connection, settings)


def _migrate(settings: Settings, way: _Way, revision: str, engine: Engine | None = None) -> str | None:
    with _alone(settings, engine) as connection:
        from alembic import command
        from alembic.config import Config

        for schema in _schemas(settings):
            _make_schema(connection, schema)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        config.attributes["settings"] = settings
        {"upgrade": command.upgrade, "downgrade": command.downgrade}[way](config, revision)
        if settings.row_level_security:
            enforce(connection, settings)
        return current_revision(connection, settings)


@contextmanager
def _alone(settings: Settings, engine: Engine | None = None) -> Iterator[Connection]:
    """Yield a connection in a transaction that nobody else who changes the schema runs beside."""
    with (
        open_engine(settings, pool_size=1) if engine is None else nullcontext(engine) as used,
        transaction(
            used,
            statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
            lock_timeout_seconds=LOCK_TIMEOUT_SECONDS,
        ) as connection,
    ):
        advisory_lock(connection, migration_lock_key(settings))
        yield connection


def _schemas(settings: Settings) -> tuple[str, str]:
    return settings.warehouse_schema, settings.staging_schema


def _make_schema(connection: Connection, schema: str) -> bool:
    # Alembic keeps its version table in the warehouse schema, so it has to be there before the first revision. Asking
    # first serves roles that may not create schemas, in a database where somebody else has.
    if inspect(connection).has_schema(schema):
        return False
    connection.execute(CreateSchema(schema))
    return True
