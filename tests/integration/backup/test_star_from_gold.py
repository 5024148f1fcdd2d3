"""The star that Gold gives is the one that was there: what lets a backup do without a copy of the sides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from sqlalchemy import select

from include.backup import back_up, restore
from include.domain.star import DIMENSION_RULES
from include.failover import SIDES, StateFile, catch_up, check_integrity, open_side
from include.pipeline import receipt
from include.runs.folder import RunFolder
from include.runs.marks import mark_unpublished
from include.runs.records import EnrichRecord
from include.settings import Settings
from include.warehouse import GoldStar, recorded_batches, star_table
from tests.support.batches import Line, batch, lines_of
from tests.support.lake import Lake, converted, gold_schema
from tests.support.servers import Victim
from tests.support.sides import contents
from tests.support.steps import publish

REBUILT, STALE = date(2010, 12, 2), date(2010, 12, 3)


def load(settings: Settings, run_id: str) -> None:
    publish(settings, run_id)
    receipt(settings, run_id)


def history(lake: Lake) -> None:
    """Publish drops that share lines, one that takes lines over, a rebuild, and new rates."""
    settings = lake.settings
    load(settings, lake.drop(1, lines_of(40), stage=True))
    load(settings, lake.drop(2, lines_of(40, start=30)))
    taken_over(lake, settings)
    load(settings, "run_4")
    lone = Line(invoice="540000", code="LONE", customer="99999", sold_at=datetime(2010, 12, 2, 9, 1), country="Malta")
    load(settings, lake.drop(5, [lone, *lines_of(20, start=90)]))
    of_day = [line for line in lake.lines if line.sold_at.date() == REBUILT and line != lone]
    load(settings, lake.rebuild(6, REBUILT, [*of_day[3:], Line(sold_at=datetime(2010, 12, 2, 23, 1), quantity=99)]))
    load(settings, with_new_rates(lake, settings, 7))


@pytest.fixture
def lake(copy_of: Callable[[Callable[[Lake], None]], Lake], victim: Victim) -> Lake:
    """The lake and warehouse under test, with a history whose last batch the primary lacks."""
    lake = copy_of(history)
    with victim.down():
        late = Line(invoice="550000", sold_at=datetime(2011, 1, 5, 9, 1))
        load(lake.settings, lake.drop(8, [*lines_of(20, start=110), late]))
    return lake


def taken_over(lake: Lake, settings: Settings) -> None:
    """Bring a drop to Gold that never is published, and a later one that takes over half of its lines."""
    lake.drop(3, lines_of(20, start=70))
    mark_unpublished(settings, batch(3))
    taken = [line for line, owner in lake.lines.items() if owner == batch(3)][:10]
    ids = {line.sale_id.hex for line in taken}
    rewrite_facts(settings, lambda row: None if row["sale_id"] in ids else row)
    for line in taken:
        del lake.lines[line]
    lake.drop(4, [*taken, *lines_of(3, start=200)])


def rewrite_facts(settings: Settings, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Replace each fact in Gold by what `change` returns; None deletes it."""
    uri, schema = settings.table("gold", "fact_sales"), gold_schema("fact_sales")
    rows = [
        {**row, "sold_at": row["sold_at"].replace(tzinfo=None)}
        for row in DeltaTable(uri).to_pyarrow_table().to_pylist()
    ]
    kept = [row for row in map(change, rows) if row is not None]
    write_deltalake(uri, pa.Table.from_pylist(kept, schema=schema), mode="overwrite")


def with_new_rates(lake: Lake, settings: Settings, number: int) -> str:
    """Bring a drop to Gold with other exchange rates for the facts of an earlier day."""
    run_id = lake.drop(number, lines_of(5, start=220))
    RunFolder(settings, run_id).save_stage("enrich", EnrichRecord(stale_days=[STALE]))

    def with_rates(row: dict[str, Any]) -> dict[str, Any]:
        of_day = row["sold_at"].date() == STALE and row["batch_id"] != batch(3)
        return converted(row | {"rate_usd": Decimal("1.6100")}) if of_day and row["rate_usd"] else row

    rewrite_facts(settings, with_rates)
    return run_id


def in_flight(lake: Lake, settings: Settings) -> set[tuple[str, int]]:
    """Bring a drop to Gold that is not published yet; return the members that its facts refer to."""
    lines = [
        Line(invoice="560000", code="NEW", country="Chile", sold_at=datetime(2012, 1, 2, 9, 1)),
        *lines_of(3, start=300),
    ]
    lake.drop(9, lines)
    mark_unpublished(settings, batch(9))
    with GoldStar(settings) as gold:
        return {
            (rule.table, row[0])
            for rule in DIMENSION_RULES
            for row in gold.connection.execute(
                f"SELECT {rule.key} FROM fact_sales WHERE batch_id IN ('{batch(3)}', '{batch(9)}')"
            ).fetchall()
        }


def owners(settings: Settings, side: Any) -> dict[Any, str]:
    """Return the batch that each fact of a side belongs to."""
    fact = star_table("fact_sales")
    with open_side(settings, side) as connection:
        return {row.sale_id: row.batch_id for row in connection.execute(select(fact.c.sale_id, fact.c.batch_id))}


def restored_elsewhere(settings: Settings, make: Callable[[str], Lake]) -> Settings:
    """Back up, restore into an empty system, and return its settings."""
    backups = back_up(settings).path.parent
    empty = make("empty").settings.model_copy(update={"backup_dir": backups})
    assert restore(empty).whole
    return empty


def test_the_star_made_from_gold_is_the_one_that_is_there(
    lake: Lake, settings: Settings, make: Callable[[str], Lake]
) -> None:
    assert len(StateFile(settings).read().batches_in_state("pending")) == 1
    served = contents(settings, "replica")
    catch_up(settings)
    there = {side: contents(settings, side) for side in SIDES}
    assert len(there["primary"]["fact_sales"]) > 100
    empty = restored_elsewhere(settings, make)
    for side in SIDES:
        assert contents(empty, side) == served == there[side]
        assert owners(empty, side) == owners(settings, side)
        assert check_integrity(empty, side).whole
        # What the primary reported of the pending batch, rather than what the replica had.
        with open_side(settings, "primary") as before, open_side(empty, side) as after:
            assert recorded_batches(after) == recorded_batches(before)


def test_before_the_primary_has_the_pending_batch_it_is_the_same(
    lake: Lake, settings: Settings, make: Callable[[str], Lake]
) -> None:
    empty = restored_elsewhere(settings, make)
    for side in SIDES:
        assert contents(empty, side) == contents(settings, "replica")
        assert owners(empty, side) == owners(settings, "replica")


def test_of_a_batch_between_gold_and_publish_only_members_are_ahead(
    lake: Lake, settings: Settings, make: Callable[[str], Lake]
) -> None:
    catch_up(settings)
    there = contents(settings, "primary")
    ahead = in_flight(lake, settings)
    empty = restored_elsewhere(settings, make)
    for side in SIDES:
        made = contents(empty, side)
        assert made["fact_sales"] == there["fact_sales"]
        for rule in DIMENSION_RULES:
            found = made[rule.table].items() ^ there[rule.table].items()
            assert {(rule.table, key) for key, _ in found} <= ahead
    load(settings, "run_9")
    load(empty, "run_9")
    for side in SIDES:
        assert contents(empty, side) == contents(settings, side)
