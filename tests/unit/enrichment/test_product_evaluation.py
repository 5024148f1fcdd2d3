"""Measuring the model: descriptions of a file, scores, and the level on the real file where there is one."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.enrichment.product.__main__ import app
from include.enrichment.product.model import ProductModel
from include.enrichment.product.training import train
from include.sources.model import CANONICAL_COLUMNS
from tests.product_quality.__main__ import app as measure
from tests.product_quality.measures import (
    NAMES,
    LabelSet,
    confusion_table,
    descriptions_of,
    evaluate,
    load_labels,
)

REAL_FILE = os.environ.get("RETAIL_REAL_FILE", "")


@pytest.fixture(scope="module")
def model() -> ProductModel:
    return train()


def invoice_lines(path: Path, products: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(CANONICAL_COLUMNS)
        for code, description in products:
            lines.writerow(["536365", code, description, "6", "2010-12-01 08:26:00", "2.55", "17850", "France"])
    return path


def test_the_most_frequent_description_counts(tmp_path: Path) -> None:
    path = invoice_lines(
        tmp_path / "lines.csv",
        [
            ("10002a", "MEADOW MUG"),
            ("10002A", " MEADOW  MUG "),
            ("10002A", "lost"),
            ("10002A", ""),
            ("10002A", ""),
            ("10002A", ""),
            ("20001", "B"),
            ("20001", "A"),
            ("30001", ""),
        ],
    )
    assert descriptions_of(path) == {"10002A": "MEADOW MUG", "20001": "A"}


def test_scores(model: ProductModel) -> None:
    labels = {"1": "tableware", "2": "tableware", "3": "storage", "4": "uncategorised", "5": "stationery"}
    described = {"1": "MEADOW MUG", "2": "MEADOW CUSHION COVER", "3": "XQZ", "4": "?"}
    scores = evaluate(model, labels, described)
    assert scores.rows == 4
    assert scores.accuracy == 0.5
    assert scores.coverage == 0.5
    assert scores.accuracy_answered == 0.5
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert sum(map(sum, scores.confusion)) == 4
    assert scores.confusion[NAMES.index("tableware")][NAMES.index("furniture_and_textiles")] == 1
    assert scores.confusion[NAMES.index("storage")][NAMES.index("uncategorised")] == 1
    table = confusion_table(scores.confusion).splitlines()
    assert len(table) == len(NAMES) + 1
    assert len({len(line) for line in table}) == 1


def test_labels_that_meet_no_line(model: ProductModel) -> None:
    with pytest.raises(ValueError, match="None of the labelled"):
        evaluate(model, {"1": "tableware"}, {"2": "MUG"})


@pytest.mark.parametrize(("which", "rows"), [("tuning", 700), ("held_out", 200)])
def test_the_labels(which: LabelSet, rows: int) -> None:
    labels = load_labels(which)
    assert len(labels) == rows
    assert set(labels.values()) <= set(NAMES)


def test_no_code_is_in_both_sets() -> None:
    assert not load_labels("tuning").keys() & load_labels("held_out").keys()


def test_the_command_lines(tmp_path: Path, model: ProductModel) -> None:
    done = CliRunner().invoke(app, ["classify", "MEADOW MUG", "SPACEBOY"])
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["category"], first["brand"], first["model_version"]) == ("tableware", None, model.version)
    assert second["brand"] == "Spaceboy"
    path = invoice_lines(tmp_path / "lines.csv", [(code, "MEADOW MUG") for code in list(load_labels("tuning"))[:9]])
    done = CliRunner().invoke(measure, [str(path)])
    assert (done.exit_code, "tuning, 9 of 700 in the file" in done.stdout) == (0, True)
    done = CliRunner().invoke(measure, [str(tmp_path / "absent.csv")])
    assert (done.exit_code, "absent.csv" in done.stderr) == (1, True)


@pytest.mark.skipif(not REAL_FILE, reason="RETAIL_REAL_FILE is not set")
def test_the_measured_level_on_the_real_file(model: ProductModel) -> None:
    descriptions = descriptions_of(Path(REAL_FILE))
    tuning = evaluate(model, load_labels("tuning"), descriptions)
    held_out = evaluate(model, load_labels("held_out"), descriptions)
    assert (tuning.rows, held_out.rows) == (700, 200)
    assert tuning.accuracy >= 0.98
    assert tuning.macro_f1 >= 0.97
    assert tuning.coverage >= 0.98
    assert held_out.accuracy >= 0.96
    assert held_out.macro_f1 >= 0.96
    assert held_out.coverage >= 0.98
