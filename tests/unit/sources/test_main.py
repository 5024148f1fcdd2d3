"""The command line: an account of each file, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from include.sources.__main__ import app
from tests.support.source_files import csv_lines, text_of


def test_files_are_described(tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "out"
    good.write_text(text_of([*csv_lines(3), "1,2,3"]))
    bad.write_text("Invoice\n1\n")
    done = CliRunner().invoke(app, [str(good), str(bad), str(tmp_path / "absent.csv"), "--out", str(out)])
    assert done.exit_code == 1
    accounts = json.loads(done.stdout)
    assert accounts[0]["rows"] == 4
    assert accounts[0]["amount"] == "45.9000"
    assert accounts[0]["defective_records"][0]["line_number"] == 5
    assert "fewer values" in accounts[0]["defective_records"][0]["problem"]
    assert accounts[1]["rejected"]["code"] == "missing_columns"
    assert accounts[2]["rejected"]["code"] == "unreadable"
    assert [path.name for path in out.iterdir()] == ["good.csv.parquet"]


def test_all_is_well(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text(text_of(csv_lines(3)))
    done = CliRunner().invoke(app, [str(tmp_path / "good.csv"), "--date-order", "day_first"])
    assert (done.exit_code, json.loads(done.stdout)[0]["rows"]) == (0, 3)
