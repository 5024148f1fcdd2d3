from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable, make_engine, transaction
from include.warehouse.publishing import indices
from include.warehouse.publishing import publish as publishing
from include.warehouse.publishing.batches import PublishError, PublishReport
from include.warehouse.publishing.publish import publish
from include.warehouse.publishing.staging import staging_table
from include.warehouse.schema.tables import STAR
from tests.support.batches import (
    Line,
    batch,
    key,
    lines_of,
    stage,
    stage_rows,
    staging_tables,
    star_of,
    star_rows,
    table_rows,
    whole_fact,
)
from tests.support.warehouses import fact_indices

BATCH = batch(1)
EMPTY: dict[str, list[tuple[Any, ...]]] = {table: [] for table in STAR}


def drop(engine: Engine, settings: Settings, batch_id: str, token: str = "gold-1") -> PublishReport:
    return publish(engine, settings, batch_id, f"run {batch_id}", "drop", token)


def stated(lines: list[Line], batch_id: str = BATCH) -> dict[str, list[tuple[Any, ...]]]:
    """Return what the star has to hold once `lines` are live."""
    made = star_of(lines, batch_id)
    facts = [(line.sale_id, *row[1:]) for row in made["fact_sales"] for line in lines if line.sale_id.hex == row[0]]
    return {table: sorted(rows) for table, rows in (made | {"fact_sales": facts}).items()}


def test_a_staged_batch_becomes_the_star(engine: Engine, settings: Settings) -> None:
    lines = lines_of(30)
    rows = stage(engine, settings, BATCH, lines)
    report = publish(engine, settings, BATCH, "run 1", "drop", "gold-1", staged_rows=rows)
    assert star_rows(engine) == stated(lines)
    assert report.rows_staged == report.rows_written == rows
    assert report.amount == sum(line.amount for line in lines)
    assert staging_tables(engine, settings) == []


def test_publishing_again_returns_the_recorded_report(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, BATCH, lines_of(30))
    first = drop(engine, settings, BATCH)
    before = star_rows(engine)
    assert drop(engine, settings, BATCH) == first
    assert star_rows(engine) == before


def test_gold_run_again_is_published_again_and_changes_nothing(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, BATCH, lines_of(30))
    drop(engine, settings, BATCH)
    before = star_rows(engine)
    stage(engine, settings, BATCH, lines_of(30))
    report = drop(engine, settings, BATCH, "gold-2")
    assert report.token == "gold-2"
    assert set(report.rows_written.values()) == {0}
    assert star_rows(engine) == before
    assert len(table_rows(engine, "etl_batch")) == 1


def test_a_line_stays_with_the_batch_that_loaded_it_and_takes_new_values(engine: Engine, settings: Settings) -> None:
    line = Line(kind="sale")
    stage(engine, settings, BATCH, [line])
    drop(engine, settings, BATCH)
    stage(engine, settings, batch(2), [replace(line, kind="fee"), Line(quantity=9)])
    report = drop(engine, settings, batch(2))
    assert report.rows_written["fact_sales"] == 2
    live = {row[0]: row[-2:] for row in table_rows(engine, "fact_sales")}
    assert live == {line.sale_id: ("fee", BATCH), Line(quantity=9).sale_id: ("sale", batch(2))}


def test_without_staging_the_error_says_to_run_gold_again(engine: Engine, settings: Settings) -> None:
    with pytest.raises(PublishError, match=r"is not staged.*Run gold again"):
        drop(engine, settings, BATCH)
    stage(engine, settings, BATCH, lines_of(3))
    drop(engine, settings, BATCH)
    with pytest.raises(PublishError, match="earlier Gold output of it was published"):
        drop(engine, settings, BATCH, "gold-2")


def test_without_tables_the_error_says_to_migrate(engine: Engine, blank: Settings) -> None:
    with pytest.raises(PublishError, match=r"python -m include\.operate migrate"):
        drop(engine, blank, BATCH)


def test_half_a_staging_is_refused(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, BATCH, lines_of(3))
    with transaction(engine) as connection:
        connection.execute(text(f"DROP TABLE {settings.staging_schema}.{staging_table('dim_date', BATCH)}"))
    with pytest.raises(PublishError, match="staged in part: dim_date__"):
        drop(engine, settings, BATCH)


def test_rows_other_than_gold_says_are_refused(engine: Engine, settings: Settings) -> None:
    rows = stage(engine, settings, BATCH, lines_of(3))
    with pytest.raises(PublishError, match="but staging holds"):
        publish(engine, settings, BATCH, "run", "drop", "t", staged_rows=rows | {"fact_sales": 4})
    assert table_rows(engine, "fact_sales") == []


def test_empty_staging_is_refused_unless_it_is_said_to_be_empty(engine: Engine, settings: Settings) -> None:
    rows = stage_rows(engine, settings, BATCH, EMPTY)
    with pytest.raises(PublishError, match="as after a crash of the server"):
        drop(engine, settings, BATCH)
    report = publish(engine, settings, BATCH, "run", "drop", "t", staged_rows=rows)
    assert report.amount == Decimal(0)
    assert report.rows_written["fact_sales"] == 0


def test_staging_that_spark_made_with_types_of_its_own_is_cast(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, BATCH, lines_of(10))
    own_types = {
        "fact_sales": ("sale_id TYPE text USING replace(sale_id::text, '-', '')", "sold_at TYPE timestamptz"),
        "dim_product": ("described_at TYPE timestamptz", "last_sold_at TYPE timestamptz"),
    }
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
        for table, changes in own_types.items():
            for change in changes:
                name = f"{settings.staging_schema}.{staging_table(table, BATCH)}"
                connection.execute(text(f"ALTER TABLE {name} ALTER {change}"))
    url = engine.url.update_query_dict({"options": "-c TimeZone=America/New_York"})
    abroad = make_engine(
        settings.model_copy(update={"database_url": SecretStr(url.render_as_string(hide_password=False))})
    )
    drop(abroad, settings, BATCH)
    abroad.dispose()
    assert star_rows(engine) == stated(lines_of(10))


@pytest.mark.parametrize("bulk", [False, True])
@pytest.mark.parametrize("dimension", ["dim_date", "dim_country", "dim_product", "dim_customer", "dim_invoice"])
def test_a_fact_without_its_dimension_stops_everything(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, dimension: str, bulk: bool
) -> None:
    monkeypatch.setattr(publishing, "BULK_FACTS", 1 if bulk else 1000)
    stage_rows(engine, settings, BATCH, star_of(lines_of(10), BATCH) | {dimension: []})
    with pytest.raises(PublishError, match="Nothing was published"):
        drop(engine, settings, BATCH)
    assert all(rows == [] for rows in star_rows(engine).values())
    assert len(staging_tables(engine, settings)) == len(STAR)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [(1, 20101202, "not the day of sold_at"), (9, Decimal(1), "ck_fact_sales_amount"), (10, "gift", "fact_sales_kind")],
)
def test_a_fact_that_contradicts_itself_stops_everything(
    engine: Engine, settings: Settings, column: int, value: object, said: str
) -> None:
    rows = star_of([Line(), Line(sold_at=datetime(2010, 12, 2))], BATCH)
    fact = list(next(row for row in rows["fact_sales"] if row[1] == 20101201))
    fact[column] = value
    own = whole_fact((*fact[:9], fact[7] * fact[8], *fact[10:]))[12:]
    if column == 9:
        own = (*own[:-2], value, own[-1])
    stage_rows(engine, settings, BATCH, rows | {"fact_sales": [(*fact, *own)]})
    with pytest.raises(PublishError, match=said):
        drop(engine, settings, BATCH)
    assert all(rows == [] for rows in star_rows(engine).values())


def test_the_same_line_twice_in_staging_is_refused(engine: Engine, settings: Settings) -> None:
    rows = star_of([Line()], BATCH)
    stage_rows(engine, settings, BATCH, rows | {"fact_sales": rows["fact_sales"] * 2})
    with pytest.raises(PublishError, match="pk_fact_sales"):
        drop(engine, settings, BATCH)


def test_one_key_for_two_products_is_a_collision_not_a_change(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, BATCH, [Line(code="A1")])
    drop(engine, settings, BATCH)
    rows = star_of([Line(code="B2")], batch(2))
    product = (key("A1"), *rows["dim_product"][0][1:])
    fact = list(rows["fact_sales"][0])
    fact[2] = key("A1")
    stage_rows(engine, settings, batch(2), rows | {"dim_product": [product], "fact_sales": [tuple(fact)]})
    with pytest.raises(PublishError, match="stock_code 'B2' has the key of 'A1'"):
        drop(engine, settings, batch(2))


def test_a_large_batch_is_the_same_star(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BULK_FACTS", 1)
    stage(engine, settings, BATCH, lines_of(50))
    drop(engine, settings, BATCH)
    assert star_rows(engine) == stated(lines_of(50))
    with transaction(engine) as connection:
        assert connection.execute(text("SHOW session_replication_role")).scalar_one() == "origin"


def test_a_role_without_rights_over_triggers_publishes_large_batches_too(
    engine: Engine, settings: Settings, role: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "BULK_FACTS", 1)
    _, plain = role
    stage(plain, settings, BATCH, lines_of(50))
    drop(plain, settings, BATCH)
    assert star_rows(engine) == stated(lines_of(50))
    stage_rows(plain, settings, batch(2), star_of([Line()], batch(2)) | {"dim_invoice": []})
    with transaction(engine) as connection:
        connection.execute(text(f"DELETE FROM {settings.warehouse_schema}.fact_sales"))
        connection.execute(text(f"DELETE FROM {settings.warehouse_schema}.dim_invoice WHERE invoice_key <> 0"))
    with pytest.raises(PublishError, match="fk_fact_sales_invoice_key"):
        drop(plain, settings, batch(2))


def test_ten_publishes_at_once_are_the_same_as_one_after_the_other(engine: Engine, settings: Settings) -> None:
    lines = lines_of(200)
    overlapping = {batch(number): lines[number * 15 : number * 15 + 40] for number in range(10)}
    for batch_id, part in overlapping.items():
        stage(engine, settings, batch_id, part)
    with ThreadPoolExecutor(max_workers=10) as workers:
        reports = list(workers.map(lambda batch_id: drop(engine, settings, batch_id), overlapping))
    assert [report.batch_id for report in reports] == list(overlapping)
    published = list({line for part in overlapping.values() for line in part})
    live, expected = star_rows(engine), stated(published)
    assert sum(report.rows_written["fact_sales"] for report in reports) == len(live["fact_sales"])
    for rows in (live, expected):  # which of two batches came first, and owns a shared line, is not decided here
        rows["fact_sales"] = [row[:-1] for row in rows["fact_sales"]]
    assert live == expected
    assert len(table_rows(engine, "etl_batch")) == 10


@contextmanager
def killed_at(engine: Engine, number: int) -> Iterator[list[str]]:
    """Terminate the server process of the first connection when it is about to run its `number`-th statement."""
    seen: list[str] = []
    assassin = make_engine_like(engine)

    def count(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if len(seen) == number:
            with assassin.begin() as other:
                pid = conn.connection.driver_connection.info.backend_pid
                other.execute(text("SELECT pg_terminate_backend(:pid, 2000)"), {"pid": pid})
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", count)
        assassin.dispose()


def make_engine_like(engine: Engine) -> Engine:
    url = engine.url.render_as_string(hide_password=False)
    return make_engine(Settings(_env_file=None, database_url=SecretStr(url)), pool_size=1)


@pytest.mark.parametrize("bulk", [False, True])
def test_killed_at_any_write_nothing_is_visible_and_a_retry_completes(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, bulk: bool
) -> None:
    if bulk:
        monkeypatch.setattr(publishing, "BULK_FACTS", 1)
        monkeypatch.setattr(indices, "OUTWEIGHS", 2)
    stage(engine, settings, BATCH, lines_of(20))
    with killed_at(engine, -1) as statements:
        drop(engine, settings, BATCH)
    writes = [
        number
        for number, statement in enumerate(statements)
        if statement.lstrip().startswith(("INSERT", "UPDATE", "DROP", "ALTER", "CREATE", "ANALYZE"))
    ]
    before, made = star_rows(engine), fact_indices(engine, settings)
    stage(engine, settings, batch(2), lines_of(40, start=10))
    for number in [0, *writes]:
        with killed_at(engine, number), pytest.raises(OperationalError):
            drop(engine, settings, batch(2))
        assert (star_rows(engine), fact_indices(engine, settings)) == (before, made)
    assert len(staging_tables(engine, settings)) == len(STAR)
    drop(engine, settings, batch(2))
    assert len(table_rows(engine, "fact_sales")) == 50
    assert len(table_rows(engine, "etl_batch")) == 2
    assert (fact_indices(engine, settings) != made) == bulk


def test_a_purge_that_fails_does_not_fail_the_publish(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise WarehouseUnavailable("No connection.")

    monkeypatch.setattr(publishing, "purge_staging", fail)
    stage(engine, settings, BATCH, lines_of(5))
    assert drop(engine, settings, BATCH).rows_written["fact_sales"] == 5
    assert "not purged: No connection." in caplog.text


def test_killed_after_the_commit_the_retry_finds_it_done(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, BATCH, lines_of(20))

    def lose_the_answer(connection: Any) -> None:
        connection.connection.driver_connection.commit()
        connection.connection.driver_connection.close()

    event.listen(engine, "commit", lose_the_answer)
    try:
        with pytest.raises(OperationalError):
            drop(engine, settings, BATCH)
    finally:
        event.remove(engine, "commit", lose_the_answer)
    assert drop(engine, settings, BATCH).rows_written["fact_sales"] == 20
    assert star_rows(engine) == stated(lines_of(20))


def test_readers_go_on_while_a_large_batch_is_published(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "BULK_FACTS", 1)
    seen: list[int] = []

    def read(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith("INSERT INTO") and "etl_batch" in statement:
            seen.append(len(table_rows(reader, "fact_sales")))

    reader = make_engine(settings, pool_size=1)
    stage(engine, settings, BATCH, lines_of(20))
    drop(engine, settings, BATCH)
    stage(engine, settings, batch(2), lines_of(20, start=20))
    event.listen(engine, "before_cursor_execute", read)
    try:
        drop(engine, settings, batch(2))
    finally:
        event.remove(engine, "before_cursor_execute", read)
        reader.dispose()
    assert seen == [20]
    assert len(table_rows(engine, "fact_sales")) == 40
