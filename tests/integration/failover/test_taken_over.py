"""A batch at work has taken over a line of a batch that is published while its Gold job runs."""

from __future__ import annotations

from typing import Any

import pytest
from deltalake import DeltaTable
from sqlalchemy import func, select

from include.failover import SIDES, check_integrity, compare_sides, open_side, refresh_replica, repair, update_replica
from include.runs.marks import mark_unpublished
from include.settings import Settings
from include.warehouse import star_table
from tests.integration.failover.test_update import publish_run
from tests.support.batches import Line, batch, lines_of
from tests.support.lake import Lake
from tests.support.steps import publish


@pytest.fixture
def taken(lake: Lake, settings: Settings) -> list[Line]:
    """Lines that the first batch has published and Gold has as the second's, which is not published."""
    publish(settings, lake.drop(9, lines_of(10, start=500)))
    run_id = lake.drop(1, lines_of(20), stage=True)
    lines: list[Line] = lines_of(20)[5:9]
    ids = ", ".join(f"'{line.sale_id.hex}'" for line in lines)
    DeltaTable(settings.table("gold", "fact_sales")).delete(f"sale_id IN ({ids})")
    for line in lines:
        del lake.lines[line]
    lake.drop(2, [*lines, *lines_of(5, start=100)])
    mark_unpublished(settings, batch(2))
    publish_run(settings, run_id)
    return lines


def live(settings: Settings) -> dict[str, Any]:
    """Return facts and GBP by batch, of both sides, which have to have the same."""
    fact, found = star_table("fact_sales"), []
    for side in SIDES:
        with open_side(settings, side) as connection:
            query = select(fact.c.batch_id, func.count(), func.sum(fact.c.amount)).group_by(fact.c.batch_id)
            found.append({row[0]: tuple(row[1:]) for row in connection.execute(query)})
    assert found[0] == found[1]
    return {batch_id: row[0] for batch_id, row in found[0].items()}


def alike(settings: Settings) -> None:
    assert compare_sides(settings).whole
    for side in SIDES:
        assert check_integrity(settings, side).whole


@pytest.mark.parametrize("how", ["update", "refresh"])
def test_the_replica_has_the_line_as_the_primary_has_it(
    lake: Lake, settings: Settings, taken: list[Line], how: str
) -> None:
    if how == "update":
        assert update_replica(settings).batches == [batch(1)]
    else:
        refresh_replica(settings)
    assert live(settings) == {batch(9): 10, batch(1): 20}
    alike(settings)
    refresh_replica(settings)
    assert live(settings) == {batch(9): 10, batch(1): 20}
    publish_run(settings, "run_2")
    update_replica(settings)
    assert live(settings) == {batch(9): 10, batch(1): 20, batch(2): 5}
    alike(settings)


def test_a_repair_of_its_day_keeps_it(lake: Lake, settings: Settings, taken: list[Line]) -> None:
    update_replica(settings)
    done = repair(settings, sorted({line.sold_at.date() for line in taken}))
    assert [rows["fact_sales"] for rows in done.written.values()] == [0, 0]
    assert live(settings) == {batch(9): 10, batch(1): 20}
