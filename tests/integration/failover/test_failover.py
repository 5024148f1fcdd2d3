from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from include.domain.star import DIMENSION_RULES
from include.pipeline import publish, receipt
from include.settings import Settings
from include.warehouse import failover, replica
from include.warehouse.failover import Side, catch_up, known_batches, refresh_replica
from include.warehouse.figures import Scope, fact_hashes, member_hashes, side_figures
from include.warehouse.gold import GoldStar
from include.warehouse.integrity import compare_sides, open_side
from include.warehouse.record import RecordFile
from tests.integration.failover.lake import Lake
from tests.integration.failover.servers import Victim
from tests.integration.warehouse.batches import Line, batch, lines_of

DAY = date(2010, 12, 2)


def contents(settings: Settings, side: Side | None) -> dict[str, Any]:
    """Return the row hash of every fact and member of a side, or of Gold."""
    if side is None:
        with GoldStar(settings) as gold:
            return _hashes(gold, settings)
    with open_side(settings, side) as connection:
        return _hashes(connection, settings)


def _hashes(source: Any, settings: Settings) -> dict[str, Any]:
    members = {rule.table: member_hashes(source, settings, rule) for rule in DIMENSION_RULES}
    for rows in members.values():
        rows.pop(0, None)
    return members | {"fact_sales": fact_hashes(source, settings, Scope())}


def both_sides_equal(settings: Settings, expected: Settings) -> None:
    there = contents(expected, "primary")
    assert contents(settings, "primary") == there
    assert contents(settings, "replica") == there
    assert compare_sides(settings).whole


def test_a_batch_is_live_on_both_sides_and_equal_to_gold(lake: Lake, settings: Settings) -> None:
    found = publish(settings, lake.drop(1, lines_of(40), stage=True))
    assert found is not None
    assert (found.warehouse, found.warnings) == ("primary", [])
    assert found.rows_written["fact_sales"] == 40
    assert contents(settings, "primary") == contents(settings, "replica") == contents(settings, None)
    with open_side(settings, "primary") as primary, open_side(settings, "replica") as copy:
        assert side_figures(primary, settings, Scope()) == side_figures(copy, settings, Scope())
    assert RecordFile(settings).read().batches == []
    assert compare_sides(settings).whole


def test_drops_and_rebuilds_keep_both_sides_alike(lake: Lake, settings: Settings) -> None:
    publish(settings, lake.drop(1, lines_of(40), stage=True))
    publish(settings, lake.drop(2, lines_of(40, start=30)))
    of_day = [line for line in lake.lines if line.sold_at.date() == DAY]
    publish(settings, lake.rebuild(3, DAY, [*of_day[2:], Line(sold_at=datetime(2010, 12, 2, 23, 1), quantity=99)]))
    assert contents(settings, "primary")["fact_sales"] == contents(settings, None)["fact_sales"]
    assert contents(settings, "primary") == contents(settings, "replica")
    assert list(known_batches(settings)) == [batch(1), batch(2), batch(3)]
