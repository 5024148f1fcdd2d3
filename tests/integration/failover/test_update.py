"""Publishing to the primary and bringing the replica up to it, as two steps."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from include.failover import publishing, replica, standby
from include.failover.catching_up import catch_up
from include.failover.publishing import publish
from include.failover.reads import Warehouse
from include.failover.repair import compare_sides
from include.failover.standby import update_replica
from include.failover.state import StateFile
from include.failover.status import status
from include.runs.folder import RunFolder
from include.runs.marks import mark_published
from include.settings import Settings
from include.warehouse import PublishReport, downgrade, gold_batch, recorded_batches_of, star_table, upgrade
from tests.support.batches import batch, lines_of
from tests.support.lake import Lake
from tests.support.servers import Victim


def publish_run(settings: Settings, run_id: str) -> PublishReport:
    """Make a run's batch live, and leave the replica as it is."""
    found = gold_batch(RunFolder(settings, run_id))
    assert found is not None
    done = publish(settings, found)
    mark_published(settings, found.batch_id)
    return done.report()


def facts(settings: Settings) -> tuple[int, str, tuple[str, ...]]:
    with Warehouse(settings) as warehouse:
        query = select(func.count()).select_from(star_table("fact_sales"))
        answer = warehouse.read(lambda connection: int(connection.execute(query).scalar_one()))
        return answer.value, answer.side, answer.lacks


def test_a_replica_that_is_behind_says_so_and_is_brought_up_by_the_next_step(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    publish_run(settings, lake.drop(1, lines_of(20)))
    assert update_replica(settings).batches == [batch(1)]
    report = publish_run(settings, lake.drop(2, lines_of(20, start=20)))
    assert facts(settings) == (40, "primary", ())
    assert status(settings).replica_lacks == [batch(2)]
    with victim.down():
        assert facts(settings) == (20, "replica", (batch(2),))
        done = update_replica(settings)
        assert (done.batches, done.lacks, done.warnings) == ([batch(2)], [], [])
        assert facts(settings) == (40, "replica", ())
    assert update_replica(settings).batches == []
    with replica.reading(settings) as connection:
        assert recorded_batches_of(connection, [batch(2)])[batch(2)] == report
    assert compare_sides(settings).whole


def test_an_answer_of_a_replica_that_is_behind_names_what_it_lacks_in_a_header(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    publish_run(settings, lake.drop(1, lines_of(20)))
    update_replica(settings)
    publish_run(settings, lake.drop(2, lines_of(20, start=20)))
    with victim.down(), Warehouse(settings) as warehouse:
        headers = warehouse.read(lambda _: None).headers
    assert headers == {"X-Warehouse": "replica", "X-Warehouse-Lacks": batch(2)}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("point", ["apply_batch", "refresh", "forget"])
def test_killed_anywhere_an_update_is_repeated(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, point: str, large: bool
) -> None:
    monkeypatch.setattr(standby, "LARGE_BATCH", 20 if large else 1000)
    publish_run(settings, lake.drop(1, lines_of(20)))
    update_replica(settings)
    for number in (2, 3):
        publish_run(settings, lake.drop(number, lines_of(60, start=60 * number)))
    owner, name = (replica, point) if hasattr(replica, point) else (StateFile, "change")
    real = getattr(owner, name)

    def killed(*arguments: object, **named: object) -> object:
        if point == "forget":
            raise KeyboardInterrupt
        real(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        if (point == "refresh") == large or point == "forget":
            with pytest.raises(KeyboardInterrupt):
                update_replica(settings)
            assert status(settings).replica_lacks == [batch(2), batch(3)]
    update_replica(settings)
    assert status(settings).replica_lacks == []
    assert compare_sides(settings).whole


def test_the_primary_away_the_replica_gets_what_it_lacks_before_the_next_batch(
    lake: Lake, settings: Settings, victim: Victim
) -> None:
    publish_run(settings, lake.drop(1, lines_of(20)))
    run_id = lake.drop(2, lines_of(20, start=20))
    with victim.down():
        publish_run(settings, run_id)
        assert facts(settings) == (40, "replica", ())
    assert catch_up(settings).batches == [batch(2)]
    assert compare_sides(settings).whole


def test_a_primary_that_lost_a_batch_which_the_replica_lacks_does_not_serve(lake: Lake, settings: Settings) -> None:
    publish_run(settings, lake.drop(1, lines_of(20)))
    downgrade(settings, "base")
    upgrade(settings)
    publish_run(settings, lake.drop(2, lines_of(20, start=20)))
    assert StateFile(settings).read().state == "failed_over"
    assert facts(settings) == (40, "replica", ())
    assert catch_up(settings).batches == [batch(1), batch(2)]
    assert compare_sides(settings).whole


def test_a_lost_answer_leaves_the_replica_known_to_be_behind(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_run(settings, lake.drop(1, lines_of(20)))
    update_replica(settings)
    run_id = lake.drop(2, lines_of(20, start=20))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "deliver_receipts", killed)
        with pytest.raises(KeyboardInterrupt):
            publish_run(settings, run_id)
    assert status(settings).replica_lacks == [batch(2)]
    assert update_replica(settings).batches == [batch(2)]
    assert compare_sides(settings).whole
