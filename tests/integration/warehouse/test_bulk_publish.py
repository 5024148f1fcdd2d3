"""A batch that outweighs the live facts is inserted without indices, which are then as they were."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sqlalchemy import Engine, event, text

from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing import indices
from include.warehouse.publishing import publish as publishing
from include.warehouse.publishing.batches import PublishError, PublishReport
from include.warehouse.publishing.publish import LOCK_TIMEOUT_SECONDS, publish, replace_days
from include.warehouse.publishing.staging import staging_table
from tests.support.batches import batch, lines_of, stage, table_rows
from tests.support.warehouses import fact_indices

BATCH = batch(1)


@pytest.fixture(autouse=True)
def every_batch_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BULK_FACTS", 1)


def drop(engine: Engine, settings: Settings, batch_id: str = BATCH) -> PublishReport:
    return publish(engine, settings, batch_id, f"run {batch_id}", "drop", "gold")


def remade(before: Mapping[int, object], after: Mapping[int, object]) -> bool:
    """Return whether all indices were made again; whether they were or not, they have to be the same ones."""
    assert sorted(map(repr, before.values())) == sorted(map(repr, after.values()))
    kept = before.keys() & after.keys()
    assert kept in (set(), set(before))
    return not kept


def row_hash(engine: Engine, settings: Settings) -> str:
    """Return the hash of all facts with every column, computed ones too."""
    query = f"SELECT md5(string_agg(f::text, ';' ORDER BY sale_id)) FROM {settings.warehouse_schema}.fact_sales f"
    with transaction(engine) as connection:
        found: str = connection.execute(text(query)).scalar_one()
    return found


def test_the_indices_are_those_of_the_migration(engine: Engine, settings: Settings) -> None:
    before = fact_indices(engine, settings)
    assert len(before) == 7
    stage(engine, settings, BATCH, lines_of(50))
    drop(engine, settings)
    assert remade(before, fact_indices(engine, settings))


def test_the_facts_are_those_of_the_ordinary_way(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(engine, settings, BATCH, lines_of(50))
    report = drop(engine, settings)
    found = row_hash(engine, settings)
    with transaction(engine) as connection:
        connection.execute(text(f"DELETE FROM {settings.warehouse_schema}.fact_sales"))
    monkeypatch.setattr(publishing, "BULK_FACTS", 1000)
    before = fact_indices(engine, settings)
    stage(engine, settings, BATCH, lines_of(50))
    assert drop(engine, settings).amount_loaded == report.amount_loaded
    assert not remade(before, fact_indices(engine, settings))
    assert row_hash(engine, settings) == found


@pytest.mark.parametrize(("live", "outweighed"), [(10, True), (11, False)])
def test_only_a_batch_of_four_times_the_live_facts_goes_without(
    engine: Engine, settings: Settings, live: int, outweighed: bool
) -> None:
    stage(engine, settings, BATCH, lines_of(live))
    drop(engine, settings)
    before = fact_indices(engine, settings)
    stage(engine, settings, batch(2), lines_of(40, start=5))
    assert drop(engine, settings, batch(2)).rows_written["fact_sales"] == 45 - live
    assert remade(before, fact_indices(engine, settings)) == outweighed
    assert len(table_rows(engine, "fact_sales")) == 45


def test_a_repair_of_all_that_is_live_goes_without_too(engine: Engine, settings: Settings) -> None:
    before = fact_indices(engine, settings)
    lines = lines_of(50)
    rows = stage(engine, settings, BATCH, lines)
    written = replace_days(engine, settings, BATCH, sorted({line.sold_at.date() for line in lines}), rows)
    assert written["fact_sales"] == 50
    assert remade(before, fact_indices(engine, settings))


def test_a_batch_that_is_refused_leaves_them(engine: Engine, settings: Settings) -> None:
    before = fact_indices(engine, settings)
    stage(engine, settings, BATCH, lines_of(50))
    staging = f"{settings.staging_schema}.{staging_table('fact_sales', BATCH)}"
    with transaction(engine) as connection:
        connection.execute(text(f"INSERT INTO {staging} SELECT * FROM {staging} LIMIT 1"))
    with pytest.raises(PublishError, match=r"\(sale_id\)=\(.*\) is duplicated"):
        drop(engine, settings)
    assert fact_indices(engine, settings) == before
    assert table_rows(engine, "fact_sales") == []


@pytest.mark.parametrize(
    ("rights", "owner"),
    [
        ((), False),
        (("ALTER TABLE {schema}.fact_sales OWNER TO {role}", "REVOKE CREATE ON SCHEMA {schema} FROM {role}"), False),
        (("ALTER TABLE {schema}.fact_sales OWNER TO {role}",), True),
    ],
    ids=["no owner", "no right to make indices", "owner"],
)
def test_a_role_publishes_whether_or_not_it_may_make_indices(
    engine: Engine, settings: Settings, role: tuple[str, Engine], rights: tuple[str, ...], owner: bool
) -> None:
    name, writer = role
    with transaction(engine) as connection:
        for right in rights:
            connection.execute(text(right.format(schema=settings.warehouse_schema, role=name)))
    before = fact_indices(engine, settings)
    stage(writer, settings, BATCH, lines_of(50))
    assert drop(writer, settings).rows_written["fact_sales"] == 50
    assert remade(before, fact_indices(engine, settings)) == owner


def test_a_table_that_refers_to_the_facts_keeps_their_indices(engine: Engine, settings: Settings) -> None:
    schema = settings.warehouse_schema
    with transaction(engine) as connection:
        connection.execute(text(f"CREATE TABLE {schema}.note (sale_id uuid REFERENCES {schema}.fact_sales)"))
    before = fact_indices(engine, settings)
    stage(engine, settings, BATCH, lines_of(50))
    assert drop(engine, settings).rows_written["fact_sales"] == 50
    assert not remade(before, fact_indices(engine, settings))


@pytest.mark.parametrize("reading", [True, False])
def test_a_publish_does_not_wait_long_for_a_reader(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, reading: bool
) -> None:
    monkeypatch.setattr(indices, "LOCK_SECONDS", 0.2)
    patience: list[str] = []

    def look(conn: object, cursor: object, statement: str, parameters: object, context: object, many: bool) -> None:
        if statement.startswith("INSERT INTO") and "fact_sales" in statement and not patience:
            patience.append("")
            patience[0] = conn.exec_driver_sql("SHOW lock_timeout").scalar_one()  # type: ignore[attr-defined]

    before = fact_indices(engine, settings)
    stage(engine, settings, BATCH, lines_of(50))
    event.listen(engine, "before_cursor_execute", look)
    with transaction(engine) as reader:
        if reading:
            reader.execute(text(f"SELECT count(*) FROM {settings.warehouse_schema}.fact_sales"))
        assert drop(engine, settings).rows_written["fact_sales"] == 50
    event.remove(engine, "before_cursor_execute", look)
    assert patience == [f"{round(LOCK_TIMEOUT_SECONDS / 60)}min"]
    assert remade(before, fact_indices(engine, settings)) != reading
