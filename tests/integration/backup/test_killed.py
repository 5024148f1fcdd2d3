"""Backups and restores that are killed, or whose primary is, at any point."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from include.backup import back_up, list_backups, restore, restoring
from include.failover import (
    compare_sides,
    refresh_replica,
    replica_link,
)
from include.files import write_durably
from include.lake.in_use import LakeNotFree
from include.pipeline import receipt
from include.settings import Settings
from include.warehouse import (
    WarehouseUnavailable,
)
from tests.support.backups import everything, killed_in, killed_step
from tests.support.batches import lines_of
from tests.support.lake import Lake
from tests.support.processes import started
from tests.support.servers import Victim
from tests.support.steps import publish


def die_in(settings: Settings, *when: str | int) -> None:
    """Make a process back up or restore, and kill itself at a call (see `killed_in`)."""
    process = started(killed_in, *when, settings=settings, output=settings.data_dir / "dying.log")
    process.join()
    assert process.exitcode == -signal.SIGKILL, (settings.data_dir / "dying.log").read_text()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("include.backup.making", "known_batches"),
        ("include.backup.ledger", "save_audit_trail"),
        ("include.backup.lake", "_bring"),
        ("include.backup.making", "write_durably"),
        ("include.backup.making", "described"),
        ("include.backup.making", "flush"),
    ],
)
def test_killed_while_it_backs_up_it_leaves_no_half_backup(settings: Settings, module: str, name: str) -> None:
    whole = back_up(settings).path.name
    before = everything(settings)
    die_in(settings, "backup", module, name)
    listed = list_backups(settings)
    assert listed.whole
    assert [entry.name for entry in listed.backups][-1] == whole
    assert len(listed.backups) + len(listed.unfinished) == 2
    assert everything(settings) == before
    back_up(settings)
    assert list_backups(settings).unfinished == []


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        ("include.backup.restoring", "_fill_archive", 1),
        ("include.backup.restoring", "replica_of", 1),
        ("include.backup.primary", "copy_picked", 3),
        ("include.backup.primary", "differences", 1),
        ("include.backup.restoring", "write_durably", 1),
    ],
)
def test_killed_before_its_commit_a_restore_leaves_the_old_state(
    lake: Lake, settings: Settings, module: str, name: str, number: int
) -> None:
    back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    before = everything(settings)
    die_in(settings, "restore", module, name, number)
    assert everything(settings) == before
    found = publish(settings, lake.drop(4, lines_of(20, start=100)))
    assert found is not None
    assert (found.warehouse, found.warnings) == ("primary", [])
    assert compare_sides(settings).whole
    assert restore(settings, replace=True).whole
    assert not list(settings.data_dir.rglob(".restore"))


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        ("include.backup.restoring", "_put_in_place", 1),
        ("include.backup.restoring", "flush", 1),
        ("include.backup.restoring", "put_replica_in_place", 1),
        ("include.backup.restoring", "write_durably", 2),
        ("include.backup.ledger", "put_back_undelivered", 1),
    ],
)
def test_killed_while_parts_are_put_in_place_a_restore_is_run_again(
    lake: Lake, settings: Settings, module: str, name: str, number: int
) -> None:
    before = everything(settings)
    made = back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    die_in(settings, "restore", module, name, number)
    for work in (refresh_replica, back_up):
        with pytest.raises(WarehouseUnavailable, match=f"restore {made.path.name}"):
            work(settings)
    with pytest.raises(LakeNotFree, match=f"restore {made.path.name}"):
        receipt(settings, "run_1")
    assert restore(settings).whole
    assert everything(settings) == before
    assert compare_sides(settings).whole
    assert not list(settings.data_dir.rglob(".restore"))
    assert list(settings.replica.glob("warehouse-*.sqlite")) == [replica_link(settings).resolve()]


def test_a_primary_that_dies_before_its_commit_is_given_the_backup_again(
    lake: Lake, settings: Settings, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = everything(settings)
    made = back_up(settings)
    publish(settings, lake.drop(3, lines_of(20, start=80)))
    real = write_durably

    def cut(path: Path, text: str) -> None:
        real(path, text)
        if path.name == "restoring":
            victim.kill()

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "write_durably", cut)
        with pytest.raises(WarehouseUnavailable, match=f"did not say that it took.*restore {made.path.name}"):
            restore(settings, replace=True)
    victim.start()
    with pytest.raises(WarehouseUnavailable, match="cut off"):
        refresh_replica(settings)
    assert restore(settings).whole
    assert everything(settings) == expected


def test_a_step_that_was_killed_does_not_keep_restores_away(settings: Settings) -> None:
    back_up(settings)
    step = started(killed_step, settings=settings, output=settings.data_dir / "dying.log")
    step.join()
    assert step.exitcode == -signal.SIGKILL
    assert restore(settings, replace=True).whole
