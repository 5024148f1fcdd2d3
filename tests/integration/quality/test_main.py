"""The command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from include.pipeline import audit
from include.quality.__main__ import app
from include.quality.holding import QualityBelowBar
from include.settings import Settings, get_settings
from tests.support.silver import load, row, rows


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RETAIL_DATA_DIR", str(settings.data_dir))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def run(*arguments: str, code: int = 0) -> str:
    """Run the command line; return what it printed, or what was wrong if `code` is not 0."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


def test_hold_look_release(settings: Settings) -> None:
    assert "No batch has been scored yet." in run("history")
    load(settings, "held", {"a.csv": [*rows(4), *[row(price="n/a")] * 4]})
    shown = json.loads(run("score", "held"))
    assert (shown["status"], shown["rows_quarantined"]) == ("held", 4)
    assert "has not finished" in run("report", "held", code=1)
    assert "has not been audited" in run("release", "held", "--reason", "early", code=1)
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")
    out = run("history", "--last", "5")
    assert "0.8250  0.8500           8  held             held" in out
    assert 'python -m include.quality release held --reason "' in out
    assert "needs a reason" in run("release", "held", "--reason", "", code=1)
    assert "released by ada at a score of 0.8250" in run("release", "held", "--reason", "tested", "--by", "ada")
    audit(settings, "held")
    assert run("report", "held").strip() == str(settings.data_dir / "quality" / "held.html")
    assert "Held until" not in run("history")


def test_the_user_of_the_system_releases(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    load(settings, "held", {"a.csv": [row(price="n/a")]})
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")
    monkeypatch.setenv("LOGNAME", "grace")
    run("release", "held", "--reason", "tested")
    record = audit(settings, "held")
    assert record.release is not None
    assert record.release.by == "grace"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["score", "nobody"], 1, "claim_files"),
        (["score", "../x"], 1, "is not a run id"),
        (["release", "nobody", "--reason", "x", "--by", "y"], 1, "has not been audited"),
        (["release", "nobody"], 2, "--reason"),
        (["history", "--last", "0"], 2, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(arguments: list[str], code: int, sentence: str) -> None:
    assert sentence in run(*arguments, code=code)


def test_help() -> None:
    out = run("--help")
    assert all(action in out for action in ("score", "release", "report", "history"))
