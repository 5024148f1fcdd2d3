"""The command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest

from deploy.sample import generate_lines, write_sample
from include.pipeline import audit
from include.quality.__main__ import main
from include.quality.gate import QualityBelowBar
from include.settings import Settings, get_settings
from tests.integration.quality.stages import load, row, rows

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RETAIL_DATA_DIR", str(settings.data_dir))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_hold_look_release(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history"]) == 0
    assert "No batch has been scored yet." in capsys.readouterr().out
    load(settings, "held", {"a.csv": [*rows(4), *[row(price="n/a")] * 4]})
    assert main(["score", "held"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["rows_quarantined"]) == ("held", 4)
    assert main(["report", "held"]) == 1
    assert "has not finished" in capsys.readouterr().err
    assert main(["release", "held", "--reason", "early"]) == 1
    assert "has not been audited" in capsys.readouterr().err
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")
    assert main(["history", "--last", "5"]) == 0
    out = capsys.readouterr().out
    assert "0.8250  0.8500           8  held             held" in out
    assert 'python -m include.quality release held --reason "' in out
    assert main(["release", "held", "--reason", ""]) == 1
    assert "needs a reason" in capsys.readouterr().err
    assert main(["release", "held", "--reason", "tested", "--by", "ada"]) == 0
    assert "released by ada at a score of 0.8250" in capsys.readouterr().out
    audit(settings, "held")
    assert main(["report", "held"]) == 0
    path = capsys.readouterr().out.strip()
    assert path == str(settings.data_dir / "quality" / "held.html")
    assert main(["history"]) == 0
    assert "Held until" not in capsys.readouterr().out


def test_the_user_of_the_system_releases(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    load(settings, "held", {"a.csv": [row(price="n/a")]})
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")
    monkeypatch.setenv("LOGNAME", "grace")
    assert main(["release", "held", "--reason", "tested"]) == 0
    record = audit(settings, "held")
    assert record.release is not None
    assert record.release.by == "grace"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["score", "nobody"], "claim_files"),
        (["score", "../x"], "is not a run id"),
        (["release", "nobody", "--reason", "x", "--by", "y"], "has not been audited"),
        (["history", "--last", "0"], "1 or more"),
        (["drift-replay", "/nowhere.csv"], "No such file"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert sentence in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(action in out for action in ("score", "release", "report", "history", "drift-replay"))


def test_replay(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings.data_dir / "sample.csv"
    write_sample(generate_lines(20_000, 5, date(2011, 1, 3), 60), path, "csv")
    assert main(["drift-replay", str(path)]) == 0
    head, _, names, *table = capsys.readouterr().out.splitlines()
    assert head.startswith("60 invoice days, 32 compared")
    assert names.split() == [
        "any",
        "lines",
        "hours_without_lines",
        "lines_per_invoice",
        "customer_missing",
        "description_missing",
        "prices",
        "quantities",
    ]
    rates = {}
    for line in table:
        name, *shares = line.rsplit(maxsplit=8)
        rates[name.strip()] = [float(share) for share in shares]
    assert rates["ordinary days"][0] < 25
    assert rates["prices x 100 (in pence)"][6] == 100
    assert rates["quantities zero"][7] == 100
    assert rates["customer ids lost"][4] > 90
