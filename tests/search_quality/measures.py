"""Measures of rankings against graded judgements (0 irrelevant to 3 exactly what was asked for)."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

FOLDER = Path(__file__).parent
RELEVANT = 2
"""Least grade that counts as relevant where a measure knows only relevant and not."""

RECALL_DEPTH = 50

Split = Literal["tuning", "held_out"]
Grades = Mapping[str, int]


class Query(NamedTuple):
    """A query with its judgements: stock code -> grade; what is not named has grade 0."""

    query_id: str
    split: Split
    text: str
    kind: str
    grades: dict[str, int]


def load_queries(split: Split, folder: Path = FOLDER) -> list[Query]:
    """Return the queries of one half with their judgements."""
    grades: dict[str, dict[str, int]] = {}
    with (folder / "judgements.tsv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            grades.setdefault(row["query_id"], {})[row["stock_code"]] = int(row["grade"])
    with (folder / "queries.tsv").open(encoding="utf-8", newline="") as stream:
        return [
            Query(row["query_id"], split, row["query"], row["kind"], grades.get(row["query_id"], {}))
            for row in csv.DictReader(stream, delimiter="\t")
            if row["split"] == split
        ]


def _gain(grade: int, least: int) -> int:
    return 2**grade - 1 if grade >= least else 0


def ndcg(ranked: Sequence[str], grades: Grades, depth: int = 10, least: int = 1) -> float:
    """Return the normalised discounted cumulative gain (2^grade - 1) of the first `depth`, grades from `least` on."""
    ideal = sorted((_gain(grade, least) for grade in grades.values()), reverse=True)[:depth]
    best = sum(gain / math.log2(place + 1) for place, gain in enumerate(ideal, start=1))
    got = sum(
        _gain(grades.get(code, 0), least) / math.log2(place + 1) for place, code in enumerate(ranked[:depth], start=1)
    )
    return got / best if best else 0.0


def reciprocal_rank(ranked: Sequence[str], grades: Grades) -> float:
    """Return 1 / place of the first relevant product, 0 if there is none."""
    places = (place for place, code in enumerate(ranked, start=1) if grades.get(code, 0) >= RELEVANT)
    return 1 / next(places, math.inf)


def recall(ranked: Sequence[str], grades: Grades, depth: int = RECALL_DEPTH) -> float:
    """Return the share of relevant products among the first `depth`, of those that have room there."""
    relevant = {code for code, grade in grades.items() if grade >= RELEVANT}
    return len(relevant & {*ranked[:depth]}) / min(len(relevant), depth) if relevant else 0.0


def chance(differences: Sequence[float], rounds: int = 10_000) -> float:
    """Return how likely a mean difference of two rankings, or a larger one, is if neither is better.

    Fisher's randomization test, two-sided (Smucker, Allan and Carterette, *A comparison of statistical significance
    tests for information retrieval evaluation*, CIKM 2007).

    Args:
        differences: Of a measure, one a query.
        rounds: Random exchanges of the two rankings that are tried.
    """
    exchanged, seen = random.Random(1), abs(sum(differences))
    as_large = sum(
        abs(sum(difference * exchanged.choice((1, -1)) for difference in differences)) >= seen - 1e-12
        for _ in range(rounds)
    )
    return (as_large + 1) / (rounds + 1)


def mean(values: Sequence[float]) -> float:
    """Return the mean, 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
