from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData, Table, inspect, text
from sqlalchemy.schema import CreateSchema, DropSchema

from include.domain.star import UNKNOWN_KEY
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseMisconfigured, transaction
from include.warehouse.schema.marts import MARTS, Mart
from include.warehouse.schema.migrations import current_revision, downgrade, upgrade
from include.warehouse.schema.tables import FACT, STAR, UNKNOWN, WarehouseTable, loaded_columns, metadata_in, star_table
from tests.support.batches import lines_of, star_of, whole_fact
from tests.support.warehouses import REVISIONS

CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), obj_description(c.oid, 'pg_class')
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind IN ('r', 'v')
        ORDER BY c.relname, a.attnum""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = CAST(:schema AS regnamespace) ORDER BY 1, 2""",
    "views": """
        SELECT relname, reloptions::text, pg_get_viewdef(oid) FROM pg_class
        WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind = 'v' ORDER BY 1""",
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


def make_view(connection: Connection, schema: str, mart: Mart) -> None:
    name = f"{schema}.{mart.name}"
    query = mart.query.format(schema=schema)
    connection.execute(text(f"CREATE VIEW {name} WITH (security_invoker = true) AS {query}"))
    connection.execute(text(f"COMMENT ON VIEW {name} IS '{mart.comment}'"))
    for column, (_, comment) in mart.columns.items():
        connection.execute(text(f"COMMENT ON COLUMN {name}.{column} IS '{comment}'"))


def revision(engine: Engine, settings: Settings) -> str | None:
    with transaction(engine) as connection:
        return current_revision(connection, settings)


def test_up_down_up(engine: Engine, blank: Settings) -> None:
    assert upgrade(blank) == REVISIONS[-1]
    first = catalogue(engine, blank.warehouse_schema)
    assert downgrade(blank, "base") is None
    assert revision(engine, blank) is None
    with transaction(engine) as connection:
        assert inspect(connection).get_table_names(schema=blank.warehouse_schema) == ["alembic_version"]
    assert upgrade(blank) == upgrade(blank) == REVISIONS[-1]
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
        for mart in MARTS:
            make_view(connection, by_models, mart)
    try:
        assert catalogue(engine, settings.warehouse_schema) == catalogue(engine, by_models)
    finally:
        with transaction(engine) as connection:
            connection.execute(DropSchema(by_models, cascade=True))


def test_upgrades_at_once(engine: Engine, blank: Settings) -> None:
    with ThreadPoolExecutor(max_workers=6) as workers:
        assert set(workers.map(upgrade, [blank] * 6)) == {REVISIONS[-1]}
    assert revision(engine, blank) == REVISIONS[-1]


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


def test_the_views_have_the_columns_that_are_documented(engine: Engine, settings: Settings) -> None:
    found = catalogue(engine, settings.warehouse_schema)["columns"]
    for mart in MARTS:
        columns = {row[1]: (row[2], row[5]) for row in found if row[0] == mart.name}
        assert columns == {name: tuple(column) for name, column in mart.columns.items()}
        assert list(columns) == list(mart.columns)
        assert {row[6] for row in found if row[0] == mart.name} == {mart.comment}


RECORDS = {
    "etl_batch": (
        "batch_id, run_id, kind, token, published_at, rebuilt_days, rows_staged, rows_written, facts_deleted, amount, "
        "facts_loaded, amount_loaded",
        "'20261124T000001-00000001', 'run', 'drop', 't', now(), '[]', '{}', '{}', 0, 1, 1, 1",
    ),
    "etl_receipt": (
        "run_id, batch_id, kind, status, started_at, finished_at, rows_in, rows_loaded, rows_duplicate, "
        "rows_quarantined, rows_already_seen, amount_in, amount_loaded, amount_duplicate, amount_quarantined, "
        "amount_already_seen, document",
        "'run', '20261124T000001-00000001', 'drop', 'loaded', now(), now(), 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, '{}'",
    ),
}


def fill(engine: Engine, schema: str) -> None:
    """Put rows into every table, in the columns the first revision had and those that later ones require."""
    with transaction(engine) as connection:
        for name, rows in star_of(lines_of(40), "20261124T000001-00000001").items():
            columns = [column.name for column in star_table(name).columns]
            table = Table(name, MetaData(), schema=schema, autoload_with=connection)
            columns = [column.name for column in loaded_columns(name)] if name == FACT else columns
            named_rows = [dict(zip(columns, whole_fact(row) if name == FACT else row, strict=False)) for row in rows]
            known = [{name: value for name, value in row.items() if name in table.c} for row in named_rows]
            connection.execute(table.insert(), known)
        for name, (named, values) in RECORDS.items():
            if name == "etl_batch" and "loaded" in Table(name, MetaData(), schema=schema, autoload_with=connection).c:
                named, values = f"{named}, loaded", f'{values}, \'{{"GBP": "1.000000"}}\''
            connection.execute(text(f"INSERT INTO {schema}.{name} ({named}) VALUES ({values})"))


def contents(engine: Engine, schema: str, columns: dict[str, list[str]]) -> dict[str, list[tuple[Any, ...]]]:
    with transaction(engine) as connection:
        return {
            name: sorted(
                map(tuple, connection.execute(text(f"SELECT {', '.join(names)} FROM {schema}.{name}"))), key=str
            )
            for name, names in columns.items()
        }


@pytest.mark.parametrize("start", REVISIONS)
def test_every_revision_is_upgraded_and_downgraded_with_its_data(engine: Engine, blank: Settings, start: str) -> None:
    schema = blank.warehouse_schema
    assert upgrade(blank, start) == start
    fill(engine, schema)
    at_start = catalogue(engine, schema)
    columns: dict[str, list[str]] = {name: [] for name in (*STAR, *RECORDS)}
    for table, column, *_ in at_start["columns"]:
        if table in columns:
            columns[table].append(column)
    before = contents(engine, schema, columns)
    assert all(before.values())

    assert upgrade(blank) == REVISIONS[-1]
    assert contents(engine, schema, columns) == before
    with transaction(engine) as connection:
        for mart in MARTS:
            assert connection.execute(text(f"SELECT count(*) FROM {schema}.{mart.name}")).scalar_one() > 0

    assert downgrade(blank, start) == start
    assert contents(engine, schema, columns) == before
    assert catalogue(engine, schema) == at_start
    assert downgrade(blank, "base") is None


def test_a_revision_that_does_not_exist(engine: Engine, settings: Settings) -> None:
    with pytest.raises(CommandError, match="9999"):
        upgrade(settings, "9999")
    assert revision(engine, settings) == REVISIONS[-1]


def test_a_database_without_supabases_roles_is_refused(engine: Engine, blank: Settings) -> None:
    said = {"database_type": "supabase", "supabase_url": "http://127.0.0.1:54321"}
    with pytest.raises(WarehouseMisconfigured, match=r"no role anon, authenticated, service_role.*DATABASE_TYPE"):
        upgrade(blank.model_copy(update=said))
    with transaction(engine) as connection:
        assert not inspect(connection).has_schema(blank.warehouse_schema)


def test_a_failed_migration_leaves_nothing(engine: Engine, blank: Settings) -> None:
    with transaction(engine) as connection:
        connection.execute(CreateSchema(blank.warehouse_schema))
        connection.execute(text(f"CREATE TABLE {blank.warehouse_schema}.etl_batch (taken int)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(blank)
    with transaction(engine) as connection:
        assert inspect(connection).get_table_names(schema=blank.warehouse_schema) == ["etl_batch"]
