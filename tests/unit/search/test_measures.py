from __future__ import annotations

import math

from tests.search_quality.measures import chance, load_queries, ndcg, recall, reciprocal_rank

GRADES = {"a": 3, "b": 2, "c": 1}


def test_a_perfect_ranking_scores_one() -> None:
    assert ndcg(["a", "b", "c", "x"], GRADES) == 1
    assert reciprocal_rank(["a"], GRADES) == 1
    assert recall(["x", "b", "a"], GRADES) == 1


def test_worse_rankings_score_less() -> None:
    assert ndcg(["x", "a"], GRADES) == (7 / math.log2(3)) / (7 + 3 / math.log2(3) + 1 / 2)
    assert reciprocal_rank(["c", "x", "b"], GRADES) == 1 / 3
    assert reciprocal_rank(["c"], GRADES) == 0
    assert recall(["a"], GRADES) == 0.5


def test_the_halves_are_as_large_and_judged() -> None:
    halves = [load_queries("tuning"), load_queries("held_out")]
    assert [len(half) for half in halves] == [70, 70]
    assert all(max(query.grades.values()) == 3 for half in halves for query in half)
    assert not {query.text for query in halves[0]} & {query.text for query in halves[1]}


def test_a_difference_that_every_query_shows_is_hardly_chance_and_one_of_both_signs_is() -> None:
    assert chance([0.1] * 20) < 0.001
    assert chance([0.1, -0.1] * 10) == 1
    assert 0.2 < chance([0.3, 0.2, -0.1, 0.05, -0.2, 0.3]) < 0.6
