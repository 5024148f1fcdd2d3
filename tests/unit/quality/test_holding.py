"""What holds a batch, what releases it, and what is refused."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.quality.findings import QualityRecord, Release, RuleScore, Status
from include.quality.holding import (
    STAGE,
    NotReleased,
    QualityBelowBar,
    decide,
    held_batches,
    keep_marker,
    release,
    release_command,
    release_of,
    stop_if_held,
)
from include.quality.reconciliation import AuditFailed
from include.runs.folder import RunFolder
from include.settings import Settings

RUN_ID = "asset_triggered__2026-11-24T21:50:16.159557+00:00_jS2CsyLh"


def release_at(score: float) -> Release:
    return Release(by="ada", at=datetime(2026, 11, 24, tzinfo=UTC), reason="known till fault", score=score)


def rule(name: str, cost: float, failing: int) -> RuleScore:
    return RuleScore(
        name=name,
        dimension="validity",
        columns=["price"],
        weight=0.35,
        failing=failing,
        rows=1_000,
        score=1 - failing / 1_000,
        cost=cost,
    )


def record(status: Status = "held", overall: float | None = 0.8) -> QualityRecord:
    return QualityRecord(
        run_id=RUN_ID,
        batch_id="20261124T215016-0a1b2c3d",
        kind="drop",
        scored_at=datetime(2026, 11, 24, tzinfo=UTC),
        status=status,
        overall=overall,
        bar=0.85,
        rows_in=1_000,
        rows_loaded=500,
        rows_duplicate=0,
        rows_quarantined=500,
        rows_already_seen=0,
        rules=[rule("price_present", 0.015, 500), rule("row_valid", 0.175, 500), rule("line_new", 0.0, 3)],
        report=f"quality/{RUN_ID}.html",
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(Settings(_env_file=None, data_dir=tmp_path), RUN_ID)


@pytest.fixture
def held(run: RunFolder) -> RunFolder:
    run.save_stage(STAGE, record())
    return run


@pytest.mark.parametrize(
    ("overall", "released_at", "status"),
    [
        (0.85, None, "passed"),
        (0.849999, None, "held"),
        (0.0, None, "held"),
        (None, None, "nothing_to_score"),
        (0.8, 0.8, "released"),
        (0.82, 0.8, "released"),
        (0.79, 0.8, "held"),
        (0.9, 0.8, "passed"),
    ],
)
def test_the_verdict(overall: float | None, released_at: float | None, status: Status) -> None:
    assert decide(overall, 0.85, None if released_at is None else release_at(released_at)) == status


def test_a_held_batch_says_score_bar_costs_and_the_command() -> None:
    with pytest.raises(QualityBelowBar) as held:
        stop_if_held(record())
    message = str(held.value)
    assert isinstance(held.value, AuditFailed)
    assert "scores 0.8000, below the bar of 0.8500" in message
    assert "row_valid 0.1750 (500 of 1,000), price_present 0.0150 (500 of 1,000)." in message
    assert f"data/quality/{RUN_ID}.html" in message
    assert release_command(RUN_ID) in message
    assert RUN_ID in shlex.split(release_command(RUN_ID))


@pytest.mark.parametrize("status", ["passed", "released", "nothing_to_score"])
def test_any_other_batch_passes(status: Status) -> None:
    stop_if_held(record(status))


def test_a_release_is_written_down(held: RunFolder) -> None:
    decision = release(held, "  the till was being tested ", "ada")
    assert decision == release_of(held)
    assert (decision.by, decision.reason, decision.score) == ("ada", "the till was being tested", 0.8)
    assert (held.path / "release.json").exists()


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_release_needs_a_reason(held: RunFolder, reason: str) -> None:
    with pytest.raises(NotReleased, match="needs a reason"):
        release(held, reason, "ada")
    assert release_of(held) is None


def test_a_release_needs_a_name(held: RunFolder) -> None:
    with pytest.raises(NotReleased, match="--by"):
        release(held, "tested", " ")


def test_a_run_that_was_not_audited_is_not_released(run: RunFolder) -> None:
    with pytest.raises(NotReleased, match="has not been audited"):
        release(run, "tested", "ada")


@pytest.mark.parametrize(
    ("status", "overall", "sentence"),
    [
        ("passed", 0.97, "is not held: it scores 0.9700, with a bar of 0.8500"),
        ("released", 0.8, "was released before"),
        ("nothing_to_score", None, "is not held: it brought no rows"),
    ],
)
def test_a_run_that_is_not_held_is_not_released(
    run: RunFolder, status: Status, overall: float | None, sentence: str
) -> None:
    run.save_stage(STAGE, record(status, overall))
    with pytest.raises(NotReleased, match=sentence):
        release(run, "tested", "ada")


def test_a_run_is_released_once_unless_it_became_worse(held: RunFolder) -> None:
    release(held, "tested", "ada")
    with pytest.raises(NotReleased, match=r"was released by ada at .*clear its task audit"):
        release(held, "again", "bob")
    held.save_stage(STAGE, record(overall=0.7))
    assert release(held, "still right", "bob").score == 0.7


def test_held_batches_are_known_until_they_pass(run: RunFolder) -> None:
    assert held_batches(run.settings) == {}
    keep_marker(run, record())
    assert held_batches(run.settings) == {"20261124T215016-0a1b2c3d": RUN_ID}
    keep_marker(run, record("released"))
    keep_marker(run, record("released"))
    assert held_batches(run.settings) == {}
