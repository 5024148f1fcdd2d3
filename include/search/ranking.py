"""How hits are ordered: weights of the fields, and the fusion of two rankings into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ranking:
    """The parameters of the order; the defaults were tuned as docs/search.md says.

    Attributes:
        field_weights: Field that words are looked for in -> its weight.
        typos: Field -> how many typing errors a word may have there; 2 unless named. Short words get fewer.
        rrf_k: Constant of reciprocal rank fusion. Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms
            Condorcet and individual rank learning methods", SIGIR 2009, chose 60 for fusing many systems; of two good
            ones the first places deserve more.
        text_weight: Weight of the ranking by words in the fusion.
        vector_weight: Weight of the ranking by meaning.
        depth: How many of each ranking are fused; the rest of the matches by words follow.
    """

    field_weights: dict[str, int] = field(
        default_factory=lambda: {"words": 10, "other_words": 4, "category_words": 2, "brand": 2, "stock_code": 1}
    )
    typos: dict[str, int] = field(default_factory=lambda: {"category_words": 0, "stock_code": 0})
    rrf_k: int = 10
    text_weight: float = 1.0
    vector_weight: float = 1.25
    depth: int = 100

    @property
    def alpha(self) -> float:
        """Share of the meaning, 0 to 1, as servers that fuse by themselves take it."""
        return round(self.vector_weight / (self.text_weight + self.vector_weight), 3)


RANKING = Ranking()


def fuse(text: Sequence[str], vector: Sequence[str], ranking: Ranking = RANKING) -> dict[str, float]:
    """Return the ids of two rankings with their fused scores, the best first; on a tie the better place by words."""
    scores: dict[str, float] = {}
    for weight, ids in ((ranking.text_weight, text), (ranking.vector_weight, vector)):
        for rank, one in enumerate(ids, start=1):
            scores[one] = scores.get(one, 0.0) + weight / (ranking.rrf_k + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
