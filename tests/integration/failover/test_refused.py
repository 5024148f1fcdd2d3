"""A batch that the replica took while the primary was away, and that the primary refuses when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from include.failover import (
    SIDES,
    apply_refused,
    catch_up,
    check_integrity,
    compare_sides,
    discard_refused,
    open_side,
    serving_side,
    status,
)
from include.runs.marks import unpublished_batches
from include.settings import Settings
from include.warehouse import PublishError, open_engine, transaction
from tests.support.batches import Line, batch, lines_of
from tests.support.lake import Lake
from tests.support.servers import Victim
from tests.support.steps import publish


def on_primary(settings: Settings, statement: str) -> None:
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql(f"ALTER TABLE retail_dwh.fact_sales {statement}")


def facts(settings: Settings) -> list[int]:
    found = []
    for side in SIDES:
        schema = "retail_dwh." if side == "primary" else ""
        with open_side(settings, side) as connection:
            found.append(connection.exec_driver_sql(f"SELECT count(*) FROM {schema}fact_sales").scalar_one())
    return found


@contextmanager
def whole(settings: Settings, rows: int) -> Iterator[None]:
    """Both sides have `rows` facts, and what Gold has of the published batches, after the block."""
    yield
    assert facts(settings) == [rows, rows]
    assert serving_side(settings) == "primary"
    assert compare_sides(settings).whole
    assert all(check_integrity(settings, side).whole for side in SIDES)


@pytest.fixture
def refused(lake: Lake, settings: Settings, victim: Victim) -> str:
    """The second of four batches, which was set aside."""
    publish(settings, lake.drop(1, lines_of(20)))
    with victim.down():
        publish(settings, lake.drop(2, [Line(quantity=77), Line(quantity=78)]))
        publish(settings, lake.drop(3, lines_of(10, start=100)))
    on_primary(settings, "ADD CONSTRAINT no_77 CHECK (quantity <> 77)")
    with whole(settings, 30):
        done = catch_up(settings)
    assert (done.batches, list(done.refused), done.serves) == ([batch(3)], [batch(2)], "primary")
    return batch(2)


def test_it_is_set_aside_and_applied_once_the_reason_is_mended(lake: Lake, settings: Settings, refused: str) -> None:
    shown = status(settings)
    assert (shown.state, shown.pending, list(shown.refused)) == ("primary", [], [refused])
    assert "no_77" in shown.refused[refused]
    with whole(settings, 35):
        found = publish(settings, lake.drop(4, lines_of(5, start=200)))
    assert found is not None
    assert [f"Batch {refused} is set aside" in warning for warning in found.warnings] == [True]
    with whole(settings, 35), pytest.raises(PublishError, match="no_77"):
        apply_refused(settings, refused)
    assert list(status(settings).refused) == [refused]
    assert unpublished_batches(settings) == [refused]
    on_primary(settings, "DROP CONSTRAINT no_77")
    with whole(settings, 37):
        apply_refused(settings, refused)
    assert status(settings).refused == {}
    assert unpublished_batches(settings) == []
    with whole(settings, 38):
        publish(settings, lake.drop(5, [Line(quantity=79)]))


def test_it_is_given_up(lake: Lake, settings: Settings, refused: str) -> None:
    with whole(settings, 30):
        assert discard_refused(settings, refused) == {}
    assert status(settings).refused == {}
    assert unpublished_batches(settings) == [refused]
    with pytest.raises(ValueError, match="not set aside"):
        apply_refused(settings, refused)
    with whole(settings, 31):
        publish(settings, lake.drop(4, [Line(quantity=79)]))
