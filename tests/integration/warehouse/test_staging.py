from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, inspect, text

from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.publishing.staging import create_staging, purge_staging, staging_table
from include.warehouse.schema.tables import STAR, loaded_columns
from tests.support.batches import batch, lines_of, stage, staging_tables

ANCIENT = "20101201T082600-0a1b2c3d"


def test_staging_has_the_columns_of_the_star_and_writes_no_log(engine: Engine, settings: Settings) -> None:
    create_staging(engine, settings, ANCIENT)
    with transaction(engine) as connection:
        for table in STAR:
            columns = inspect(connection).get_columns(staging_table(table, ANCIENT), schema=settings.staging_schema)
            assert [(column["name"], str(column["type"])) for column in columns] == [
                (column.name, column.type.compile(engine.dialect).replace(" WITHOUT TIME ZONE", ""))
                for column in loaded_columns(table)
            ]
        query = text("SELECT DISTINCT relpersistence FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace)")
        assert connection.execute(query, {"schema": settings.staging_schema}).scalars().all() == ["u"]


def test_a_second_attempt_starts_from_nothing(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, batch(1), lines_of(5))
    rows = stage(engine, settings, batch(1), lines_of(3))
    assert publish(engine, settings, batch(1), "run", "drop", "t", staged_rows=rows).rows_staged["fact_sales"] == 3


def test_purge_goes_by_when_staging_was_made_not_by_the_age_of_the_batch(engine: Engine, settings: Settings) -> None:
    create_staging(engine, settings, ANCIENT)
    assert purge_staging(engine, settings) == []
    dropped = purge_staging(engine, settings, timedelta(seconds=-5))
    assert dropped == sorted(staging_table(table, ANCIENT) for table in STAR)
    assert staging_tables(engine, settings) == []


def test_purge_takes_the_claim_time_for_tables_that_spark_made_and_leaves_others(
    engine: Engine, settings: Settings
) -> None:
    with transaction(engine) as connection:
        for name in (f"fact_sales__{'20101201t082600_0a1b2c3d'}", "notes", "fact_sales__old"):
            connection.execute(text(f"CREATE TABLE {settings.staging_schema}.{name} (x int)"))
    stage(engine, settings, batch(1), lines_of(5))
    publish(engine, settings, batch(1), "run", "drop", "t")
    assert staging_tables(engine, settings) == ["fact_sales__old", "notes"]


def test_purge_leaves_a_table_in_use_for_the_next_time(
    engine: Engine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    create_staging(engine, settings, ANCIENT)
    used = staging_table("dim_date", ANCIENT)
    with transaction(engine) as connection:
        connection.execute(text(f"LOCK TABLE {settings.staging_schema}.{used} IN ACCESS SHARE MODE"))
        assert len(purge_staging(engine, settings, timedelta(seconds=-5))) == len(STAR) - 1
    assert used in caplog.text
    assert purge_staging(engine, settings, timedelta(seconds=-5)) == [used]
