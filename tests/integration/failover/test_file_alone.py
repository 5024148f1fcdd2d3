"""A warehouse that is the SQLite file alone, and one that moves from it to PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from include.failover.catching_up import catch_up
from include.failover.integrity import check_integrity
from include.failover.reads import read, serving_side
from include.failover.repair import compare_sides, days_with_facts, repair
from include.failover.sides import sides
from include.failover.status import status
from include.operate import main
from include.pipeline import receipt
from include.settings import Settings, get_settings
from include.warehouse.connection.engine import WarehouseMisconfigured
from tests.support.batches import batch, lines_of
from tests.support.lake import Lake
from tests.support.sides import contents, totals_of
from tests.support.steps import publish

DAY = date(2010, 12, 2)


@pytest.fixture
def alone(tmp_path: Path) -> Lake:
    return Lake(Settings(_env_file=None, data_dir=tmp_path / "alone", DATABASE_TYPE="sqlite"))


def fill(lake: Lake) -> None:
    """Publish two drops and a rebuild, with their receipts."""
    for number, start in ((1, 0), (2, 30)):
        publish(lake.settings, lake.drop(number, lines_of(40, start=start)))
        assert receipt(lake.settings, f"run_{number}").warehouse == "replica"
    of_day = [line for line in lake.lines if line.sold_at.date() == DAY]
    publish(lake.settings, lake.rebuild(3, DAY, of_day[1:]))


def test_runs_reads_and_checks_need_no_server(alone: Lake) -> None:
    fill(alone)
    settings = alone.settings
    assert sides(settings) == ("replica",)
    assert serving_side(settings) == "replica"
    answer = read(settings, totals_of)
    assert (answer.side, answer.value["rows"]) == ("replica", 69)
    assert check_integrity(settings, "replica").whole
    assert compare_sides(settings).whole
    assert repair(settings, days_with_facts(settings, None, None)).skipped == {}
    shown = status(settings)
    assert (shown.serves, shown.pending, shown.replica.rows) == ("replica", [], 69)
    assert contents(settings, "replica")["fact_sales"] == contents(settings, None)["fact_sales"]


def test_what_needs_a_server_says_so(alone: Lake) -> None:
    with pytest.raises(WarehouseMisconfigured, match="DATABASE_TYPE is sqlite"):
        catch_up(alone.settings)


def test_the_commands(alone: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fill(alone)
    monkeypatch.setenv("RETAIL_DATA_DIR", str(alone.settings.data_dir))
    monkeypatch.setenv("DATABASE_TYPE", "sqlite")
    monkeypatch.setenv("DATABASE_URL", "")
    get_settings.cache_clear()
    try:
        assert [main([name]) for name in ("migrate", "check", "status", "integrity", "compare")] == [0] * 5
        capsys.readouterr()
        assert main(["totals"]) == 0
    finally:
        get_settings.cache_clear()
    assert json.loads(capsys.readouterr().out)["rows"] == 69


def test_moving_to_postgresql_brings_all_of_it(alone: Lake, make: Callable[[str], Lake]) -> None:
    fill(alone)
    before = contents(alone.settings, "replica")
    url = make("moved").settings.database_url.get_secret_value()
    moved = alone.settings.model_copy(update={"database_type": "postgresql", "database_url": SecretStr(url)})
    done = catch_up(moved)
    assert (done.batches, done.serves) == ([batch(1), batch(2), batch(3)], "primary")
    assert contents(moved, "primary") == before
    assert compare_sides(moved).whole
