"""Measures the product model on labelled stock codes of a file of invoice lines.

The labels, `labels_tuning.tsv` and `labels_held_out.tsv`, have columns stock_code and category. They hold no
text of the file; descriptions come from the file that is evaluated.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pyarrow.parquet as pq
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from include.enrichment.product.model import ProductModel
from include.enrichment.product.taxonomy import CATEGORIES, UNCATEGORISED
from include.sources.staging import stage_file

LabelSet = Literal["tuning", "held_out"]

NAMES = (*(category.name for category in CATEGORIES), UNCATEGORISED)
"""Rows and columns of the confusion matrix."""


@dataclass(frozen=True)
class Scores:
    """How answers agree with labels.

    Attributes:
        rows: Labelled descriptions.
        accuracy: Share of right answers; `uncategorised` is wrong unless the label says so.
        macro_f1: Mean F1 of the categories that occur among the labels, each weighing the same.
        coverage: Share of answers other than `uncategorised`.
        accuracy_answered: Share of right answers among those.
        confusion: Row a label, column an answer, both in the order of `NAMES`; number of descriptions.
    """

    rows: int
    accuracy: float
    macro_f1: float
    coverage: float
    accuracy_answered: float
    confusion: list[list[int]]


def load_labels(which: LabelSet) -> dict[str, str]:
    """Return stock code -> category of a set of labels."""
    lines = Path(__file__).with_name(f"labels_{which}.tsv").read_text(encoding="utf-8").splitlines()
    return {row["stock_code"]: row["category"] for row in csv.DictReader(lines, delimiter="\t")}


def descriptions_of(path: Path) -> dict[str, str]:
    """Return stock code (capitals) -> its most frequent description in a file of invoice lines, on a tie the least.

    Args:
        path: A file in any form that `include.sources` reads.

    Raises:
        include.sources.model.SourceRejected: If the file cannot be read.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with TemporaryDirectory() as scratch:
        staged = Path(scratch) / "lines.parquet"
        stage_file(path, path.name, staged)
        for batch in pq.ParquetFile(staged).iter_batches(columns=["stock_code", "description"]):
            columns = batch.to_pydict()
            for code, text in zip(columns["stock_code"], columns["description"], strict=True):
                if code and text and (plain := " ".join(text.split())):
                    counts[code.strip().upper()][plain] += 1
    return {code: min(texts.items(), key=lambda item: (-item[1], item[0]))[0] for code, texts in counts.items()}


def evaluate(model: ProductModel, labels: Mapping[str, str], descriptions: Mapping[str, str]) -> Scores:
    """Compare the model's answers with labels.

    Args:
        model: A trained model.
        labels: Stock code -> category.
        descriptions: Stock code -> description; labels of codes that are missing here are left out.

    Raises:
        ValueError: If no labelled code is described.
    """
    codes = [code for code in labels if code in descriptions]
    if not codes:
        raise ValueError("None of the labelled stock codes is in the file.")
    expected = [labels[code] for code in codes]
    answers = [facts.category for facts in model.classify([descriptions[code] for code in codes])]
    answered = [(label, answer) for label, answer in zip(expected, answers, strict=True) if answer != UNCATEGORISED]
    present = [name for name in NAMES if name in set(expected)]
    return Scores(
        rows=len(codes),
        accuracy=float(accuracy_score(expected, answers)),
        macro_f1=float(f1_score(expected, answers, labels=present, average="macro", zero_division=0)),
        coverage=len(answered) / len(codes),
        accuracy_answered=sum(label == answer for label, answer in answered) / max(len(answered), 1),
        confusion=confusion_matrix(expected, answers, labels=list(NAMES)).tolist(),
    )


def confusion_table(confusion: Sequence[Sequence[int]]) -> str:
    """Return the confusion matrix as text: one line a label, columns numbered as the lines, `.` for none."""
    width = max(len(name) for name in NAMES) + 4
    lines = [" " * width + "".join(f"{number:>4}" for number in range(1, len(NAMES) + 1))]
    for number, (name, row) in enumerate(zip(NAMES, confusion, strict=True), start=1):
        cells = "".join(f"{count or '.':>4}" for count in row)
        lines.append(f"{number:>2} {name}".ljust(width) + cells)
    return "\n".join(lines)
