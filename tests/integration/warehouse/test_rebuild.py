from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest
from sqlalchemy import Engine

from include.settings import Settings
from include.warehouse.publishing.batches import PublishError
from include.warehouse.publishing.publish import publish
from include.warehouse.schema.tables import STAR
from tests.support.batches import Line, batch, lines_of, stage, stage_rows, star_rows, table_rows

DAY = date(2010, 12, 2)


def loaded(engine: Engine, settings: Settings, batch_id: str, lines: list[Line]) -> None:
    stage(engine, settings, batch_id, lines)
    publish(engine, settings, batch_id, "run", "drop", "gold")


def facts(engine: Engine) -> dict[object, object]:
    return {row[0]: row[-1] for row in table_rows(engine, "fact_sales")}


def test_a_rebuild_deletes_exactly_what_vanished_from_its_days(engine: Engine, settings: Settings) -> None:
    lines = lines_of(50)
    loaded(engine, settings, batch(1), lines)
    of_day = [line for line in lines if line.sold_at.date() == DAY]
    vanished, changed, *kept = of_day
    new = Line(sold_at=datetime(2010, 12, 2, 23, 59, 59), quantity=777)
    stage(engine, settings, batch(2), [replace(changed, kind="fee"), *kept, new])
    report = publish(engine, settings, batch(2), "run 2", "rebuild", "gold", [DAY])
    assert (report.facts_deleted, report.rows_written["fact_sales"], report.rebuilt_days) == (1, 2, [DAY])
    expected = {line.sale_id: batch(1) for line in lines if line != vanished} | {new.sale_id: batch(2)}
    assert facts(engine) == expected
    kinds = {row[0]: row[-2] for row in table_rows(engine, "fact_sales")}
    assert kinds[changed.sale_id] == "fee"


def test_midnight_belongs_to_one_day(engine: Engine, settings: Settings) -> None:
    edges = [Line(sold_at=datetime(2010, 12, day)) for day in (1, 2, 3)]
    loaded(engine, settings, batch(1), [*edges, Line(sold_at=datetime(2010, 12, 1, 23, 59, 59, 999999))])
    rows = stage(engine, settings, batch(2), [])
    report = publish(engine, settings, batch(2), "run", "rebuild", "gold", [DAY], staged_rows=rows)
    assert report.facts_deleted == 1
    assert edges[1].sale_id not in facts(engine)


def test_several_days_at_once(engine: Engine, settings: Settings) -> None:
    loaded(engine, settings, batch(1), lines_of(50))
    rows = stage(engine, settings, batch(2), [])
    days = [date(2010, 12, 3), DAY, DAY]
    report = publish(engine, settings, batch(2), "run", "rebuild", "gold", days, staged_rows=rows)
    assert report.facts_deleted == 20
    assert report.rebuilt_days == [DAY, date(2010, 12, 3)]
    assert {row[1] for row in table_rows(engine, "fact_sales")} == {20101201, 20101204, 20101205}
    assert publish(engine, settings, batch(2), "run", "rebuild", "gold", days) == report


def test_a_drop_claimed_after_the_rebuild_keeps_its_lines(engine: Engine, settings: Settings) -> None:
    old, new = Line(sold_at=datetime(2010, 12, 2)), Line(sold_at=datetime(2010, 12, 2), quantity=9)
    loaded(engine, settings, batch(1), [old])
    loaded(engine, settings, batch(3), [new])
    rows = stage(engine, settings, batch(2), [])
    publish(engine, settings, batch(2), "run", "rebuild", "gold", [DAY], staged_rows=rows)
    assert facts(engine) == {new.sale_id: batch(3)}


def test_lines_of_batches_the_rebuild_was_not_made_from_are_kept(engine: Engine, settings: Settings) -> None:
    source, other, rebuilt = (Line(sold_at=datetime(2010, 12, 2), quantity=number) for number in (1, 2, 3))
    loaded(engine, settings, batch(1), [source])
    loaded(engine, settings, batch(2), [other])
    stage(engine, settings, batch(3), [source, rebuilt])
    publish(engine, settings, batch(3), "run", "rebuild", "gold", [DAY], source_batches=[batch(1)])
    assert set(facts(engine)) == {source.sale_id, other.sale_id, rebuilt.sale_id}
    rows = stage(engine, settings, batch(4), [])
    publish(engine, settings, batch(4), "run", "rebuild", "gold", [DAY], staged_rows=rows, source_batches=[batch(1)])
    assert facts(engine) == {other.sale_id: batch(2)}


def test_a_line_of_another_day_is_refused(engine: Engine, settings: Settings) -> None:
    loaded(engine, settings, batch(1), lines_of(10))
    before = star_rows(engine)
    stage(engine, settings, batch(2), lines_of(10))
    with pytest.raises(PublishError, match="rebuilds 2010-12-02 but stages a line of 2010-12-01"):
        publish(engine, settings, batch(2), "run", "rebuild", "gold", [DAY])
    assert star_rows(engine) == before


def test_days_belong_to_rebuilds(engine: Engine, settings: Settings) -> None:
    stage_rows(engine, settings, batch(1), {table: [] for table in STAR})
    with pytest.raises(ValueError, match="drop has no days"):
        publish(engine, settings, batch(1), "run", "drop", "gold", [DAY])
    with pytest.raises(ValueError, match="rebuild needs days"):
        publish(engine, settings, batch(1), "run", "rebuild", "gold", [])
