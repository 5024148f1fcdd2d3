from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Engine, inspect, text
from sqlalchemy.schema import CreateSchema, DropSchema

from include.domain.star import UNKNOWN_KEY
from include.settings import Settings
from include.warehouse.engine import transaction
from include.warehouse.migrations import current_revision, downgrade, upgrade
from include.warehouse.tables import UNKNOWN, WarehouseTable, metadata_in, star_table

CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class')
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r' ORDER BY c.relname, a.attnum""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = CAST(:schema AS regnamespace) ORDER BY 1, 2""",
    "indices": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = :schema ORDER BY 1, 2",
}


def catalogue(engine: Engine, schema: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what PostgreSQL knows of a schema's tables, without the schema's name and Alembic's own table."""
    found = {}
    with transaction(engine) as connection:
        for what, query in CATALOGUE.items():
            rows = [
                tuple(value.replace(f"{schema}.", "") if isinstance(value, str) else value for value in row)
                for row in connection.execute(text(query), {"schema": schema})
            ]
            found[what] = [row for row in rows if row[0] != "alembic_version"]
    return found


def revision(engine: Engine, settings: Settings) -> str | None:
    with transaction(engine) as connection:
        return current_revision(connection, settings)


def test_up_down_up(engine: Engine, blank: Settings) -> None:
    assert upgrade(blank) == "0003"
    first = catalogue(engine, blank.warehouse_schema)
    assert downgrade(blank, "base") is None
    assert revision(engine, blank) is None
    with transaction(engine) as connection:
        assert inspect(connection).get_table_names(schema=blank.warehouse_schema) == ["alembic_version"]
    assert upgrade(blank) == upgrade(blank) == "0003"
    assert catalogue(engine, blank.warehouse_schema) == first


def test_models_and_migrations_are_the_same(engine: Engine, settings: Settings) -> None:
    schema = settings.warehouse_schema
    with transaction(engine) as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, parents: name == schema if kind == "schema" else True,
                "include_object": lambda item, name, kind, reflected, other: name != "alembic_version",
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, metadata_in(schema)) == []


def test_postgresql_sees_no_difference_between_models_and_migrations(engine: Engine, settings: Settings) -> None:
    by_models = f"models_{settings.warehouse_schema}"
    with transaction(engine) as connection:
        connection.execute(CreateSchema(by_models))
        metadata_in(by_models).create_all(connection)
    try:
        assert catalogue(engine, settings.warehouse_schema) == catalogue(engine, by_models)
    finally:
        with transaction(engine) as connection:
            connection.execute(DropSchema(by_models, cascade=True))


def test_upgrades_at_once(engine: Engine, blank: Settings) -> None:
    with ThreadPoolExecutor(max_workers=6) as workers:
        assert set(workers.map(upgrade, [blank] * 6)) == {"0003"}
    assert revision(engine, blank) == "0003"


def test_every_dimension_has_its_unknown_member(engine: Engine, settings: Settings) -> None:
    natural = {
        "dim_date": "month_name",
        "dim_country": "country",
        "dim_product": "stock_code",
        "dim_customer": "customer_id",
        "dim_invoice": "invoice_no",
    }
    with transaction(engine) as connection:
        for name, column in natural.items():
            table = star_table(name)
            row = connection.execute(table.select()).mappings().one()
            assert row[next(iter(table.primary_key.columns)).name] == UNKNOWN_KEY
            assert row[column] == UNKNOWN


def test_every_table_and_column_says_what_it_is() -> None:
    for table in WarehouseTable.metadata.sorted_tables:
        assert table.comment, table.name
        assert all(column.comment for column in table.columns), table.name


def test_a_revision_that_does_not_exist(engine: Engine, settings: Settings) -> None:
    with pytest.raises(CommandError, match="9999"):
        upgrade(settings, "9999")
    assert revision(engine, settings) == "0003"


def test_a_failed_migration_leaves_nothing(engine: Engine, blank: Settings) -> None:
    with transaction(engine) as connection:
        connection.execute(CreateSchema(blank.warehouse_schema))
        connection.execute(text(f"CREATE TABLE {blank.warehouse_schema}.etl_batch (taken int)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(blank)
    with transaction(engine) as connection:
        assert inspect(connection).get_table_names(schema=blank.warehouse_schema) == ["etl_batch"]
