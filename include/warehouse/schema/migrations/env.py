"""Alembic environment: runs on the connection and settings that `include.warehouse.schema.migrations` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from include.settings import Settings
from include.warehouse.schema.tables import metadata_in


def run() -> None:
    """Run the migrations on the caller's transaction."""
    connection: Connection | None = context.config.attributes.get("connection")
    settings: Settings | None = context.config.attributes.get("settings")
    if connection is None or settings is None:
        raise RuntimeError("Migrations are run by `python -m include.operate migrate`.")
    context.configure(
        connection=connection,
        target_metadata=metadata_in(settings.warehouse_schema),
        version_table_schema=settings.warehouse_schema,
        include_schemas=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
