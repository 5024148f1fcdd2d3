from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from include.search.ranking import Ranking, fuse

IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_ranks_are_fused_as_published() -> None:
    plain = Ranking(rrf_k=60, vector_weight=1.0)
    assert fuse(["a", "b"], ["b", "c"], plain) == {"b": 1 / 62 + 1 / 61, "a": 1 / 61, "c": 1 / 62}


@given(text=IDS, vector=IDS)
def test_a_fusion_holds_everything_once_best_first(text: list[str], vector: list[str]) -> None:
    fused = fuse(text, vector)
    assert set(fused) == {*text, *vector}
    assert list(fused.values()) == sorted(fused.values(), reverse=True)


@given(ids=IDS)
def test_equal_rankings_stay_as_they_are(ids: list[str]) -> None:
    assert list(fuse(ids, ids)) == ids
