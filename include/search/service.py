"""The product search as others use it: typed questions in, typed answers out.

`SearchService` is made once a process and may be used by any number of threads.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from include.search.documents import FACETS, SHOWN, VECTOR, document_id, product_of
from include.search.embedding import embed, is_local
from include.search.entities import (
    MAX_WINDOW,
    FacetCount,
    Filtered,
    Hit,
    Mode,
    ProductUnknown,
    ScoreParts,
    SearchAnswer,
    SearchRequest,
    SimilarAnswer,
    SimilarRequest,
    SuggestAnswer,
    Suggestion,
    SuggestRequest,
)
from include.search.filters import among, applied, filter_of
from include.search.language import canonical, highlighted
from include.search.ranking import RANKING, Ranking, fuse
from include.search.server import SearchServer, register_search_key
from include.settings import Settings

MAX_FACET_VALUES = 100
PER_PAGE = 250
"""Hits a search of the server may give at once."""

FLAT_SEARCH_CUTOFF = 20_000
"""Up to how many filtered products all vectors are compared: exact, and a few milliseconds."""

SORTS = {
    "relevance": "_text_match:desc,revenue:desc",
    "price:asc": "price_median:asc,revenue:desc",
    "price:desc": "price_median:desc,revenue:desc",
    "revenue:desc": "revenue:desc",
    "units:desc": "units:desc,revenue:desc",
    "newest": "first_sold_at:desc,revenue:desc",
}
"""Sort -> the server's `sort_by`."""

Search = dict[str, Any]
Found = Mapping[str, Any]


class _Ranked(NamedTuple):
    """A hit of a ranking: the server's hit, its place, and what the whole answer is ordered by."""

    hit: Found
    text_rank: int | None
    vector_rank: int | None
    vector_distance: float | None
    score: float


class SearchService:
    """Search, suggestions and similar products.

    Every method raises `SearchUnavailable` (or its kinds `NotIndexed` and `SearchMisconfigured`) if there is no answer
    within the time limits of the settings.
    """

    def __init__(self, settings: Settings, ranking: Ranking = RANKING) -> None:
        """Prepare; nothing is sent yet.

        Raises:
            SearchMisconfigured: If no search service is set.
        """
        self._settings = settings
        self._ranking = ranking
        self._server = SearchServer(settings)
        self._local = is_local(settings.search_model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def warm_up(self) -> None:
        """Do what the first search would wait for: register its key, load the model, ask for the server's version."""
        register_search_key(self._settings)
        if self._local:
            embed(self._settings.search_model, ["tealight"])
        self._server.features()

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Return the products that a request finds, a page of them."""
        started = time.monotonic()
        question = " ".join(canonical(request.q)) or request.q.strip()
        mode: Mode = request.mode if question else "text"
        if mode == "hybrid" and request.sort != "relevance":
            mode = "text"
        if mode == "text":
            page = self._by_words(request, question)
        elif mode == "vector":
            page = self._by_meaning(request, question)
        elif self._server.features().native_hybrid:
            page = self._by_both_at_once(request, question)
        else:
            page = self._by_both(request, question)
        return SearchAnswer(
            hits=[self._hit(one) for one in page.hits],
            found=page.found,
            page=request.page,
            size=request.size,
            pages=math.ceil(min(page.found, MAX_WINDOW) / request.size),
            mode=mode,
            sort=request.sort if question or request.sort != "relevance" else "revenue:desc",
            facets=page.facets,
            filters=applied(request),
            search_time_ms=round((time.monotonic() - started) * 1000, 2),
            service_time_ms=page.service_time_ms,
        )

    def suggest(self, request: SuggestRequest) -> SuggestAnswer:
        """Return descriptions of products that go on as what is being typed, the best sellers first."""
        started = time.monotonic()
        *before, last = request.q.split() or [request.q]
        written = [" ".join([*before, last]), " ".join([*canonical(" ".join(before)), last])]
        if before:
            written.append(" ".join([*canonical(" ".join(before[:-1])), before[-1] + last]))
        searches = [
            {
                **self._common(filter_of(request)),
                "q": words,
                "query_by": "description,words",
                "query_by_weights": "2,1",
                "prefix": "true,true",
                "num_typos": "1,1",
                "drop_tokens_threshold": 0,
                "sort_by": SORTS["relevance"],
                "group_by": "stock_code",
                "group_limit": 1,
                "per_page": request.size,
                "include_fields": "stock_code,description,category",
            }
            for words in dict.fromkeys(written)
        ]
        suggestions: dict[str, Suggestion] = {}
        for result in self._server.search(searches):
            for group in result["grouped_hits"]:
                fields = group["hits"][0]["document"]
                suggestions.setdefault(
                    fields["description"],
                    Suggestion(
                        text=fields["description"], stock_code=fields["stock_code"], category=fields.get("category")
                    ),
                )
        return SuggestAnswer(
            suggestions=list(suggestions.values())[: request.size],
            search_time_ms=round((time.monotonic() - started) * 1000, 2),
        )

    def similar(self, request: SimilarRequest) -> SimilarAnswer:
        """Return the products of the same country whose descriptions mean about the same.

        Raises:
            ProductUnknown: If the product is not sold in the country.
        """
        started = time.monotonic()
        stock_code = request.stock_code.strip().upper()
        own = document_id(stock_code, request.country)
        found = self._server.search([{**self._common(f"id:[{own}]"), "q": "*", "per_page": 1}])[0]
        if not found["hits"]:
            raise ProductUnknown(f"{stock_code} is not sold in {request.country}.")
        nearest = self._server.search(
            [
                {
                    **self._common(filter_of(Filtered(country=request.country))),
                    "q": "*",
                    "vector_query": f"{VECTOR}:([], id: {own}, k: {request.size + 1}, "
                    f"flat_search_cutoff: {FLAT_SEARCH_CUTOFF})",
                    "per_page": request.size + 1,
                }
            ]
        )[0]
        others = [hit for hit in nearest["hits"] if hit["document"]["id"] != own][: request.size]
        return SimilarAnswer(
            product=product_of(found["hits"][0]["document"]),
            hits=[self._hit(one) for one in _ranked_by_meaning(others)],
            search_time_ms=round((time.monotonic() - started) * 1000, 2),
        )

    def _common(self, filter_by: str) -> Search:
        return {
            "collection": self._settings.search_alias,
            "filter_by": filter_by,
            "include_fields": ",".join(("id", *SHOWN)),
        }

    def _text_search(self, filter_by: str, question: str, sort: str = "relevance") -> Search:
        if not question:
            order = SORTS["revenue:desc" if sort == "relevance" else sort]
            return {**self._common(filter_by), "q": "*", "sort_by": order}
        ranking = self._ranking
        fields = list(ranking.field_weights)
        return {
            **self._common(filter_by),
            "q": question,
            "query_by": ",".join(fields),
            "query_by_weights": ",".join(str(weight) for weight in ranking.field_weights.values()),
            "num_typos": ",".join(str(ranking.typos.get(name, 2)) for name in fields),
            "prefix": ",".join("true" for _ in fields),
            # All ways to leave words out and to mend typing errors are tried, not only as many as fill a page.
            "exhaustive_search": True,
            "highlight_fields": "words",
            "sort_by": SORTS[sort],
        }

    def _vector_query(self, question: str, extra: str = "") -> str:
        numbers = ""
        if self._local:
            numbers = ",".join(f"{number:.6g}" for number in embed(self._settings.search_model, [question])[0].tolist())
        return f"{VECTOR}:([{numbers}], k: {self._ranking.depth}, flat_search_cutoff: {FLAT_SEARCH_CUTOFF}{extra})"

    def _vector_search(self, filter_by: str, question: str) -> Search:
        search = {
            **self._common(filter_by),
            "q": "*",
            "vector_query": self._vector_query(question),
            "per_page": self._ranking.depth,
        }
        return search if self._local else search | {"q": question, "query_by": VECTOR, "prefix": "false"}

    def _by_words(self, request: SearchRequest, question: str) -> _Page:
        search = self._text_search(filter_of(request), question, request.sort)
        result = self._server.search([{**search, **_faceted(), "page": request.page, "per_page": request.size}])[0]
        first = (request.page - 1) * request.size + 1
        hits = [
            _Ranked(hit, rank if question else None, None, None, float(hit.get("text_match", 0)))
            for rank, hit in enumerate(result["hits"], start=first)
        ]
        return _Page(hits, int(result["found"]), _server_facets(result), int(result["search_time_ms"]))

    def _by_meaning(self, request: SearchRequest, question: str) -> _Page:
        result = self._server.search([self._vector_search(filter_of(request), question)])[0]
        ranked = _ranked_by_meaning(result["hits"])
        if request.sort != "relevance":
            ranked.sort(key=lambda one: one.hit["document"]["revenue"], reverse=True)
            name, _, way = SORTS[request.sort].partition(",")[0].partition(":")
            ranked.sort(key=lambda one: one.hit["document"][name], reverse=way == "desc")
        facets = _facets(one.hit["document"] for one in ranked)
        return _Page(_slice(ranked, request), len(ranked), facets, int(result["search_time_ms"]))

    def _by_both_at_once(self, request: SearchRequest, question: str) -> _Page:
        search = self._text_search(filter_of(request), question)
        if not self._local:
            for name, value in (
                ("query_by", VECTOR),
                ("query_by_weights", "1"),
                ("num_typos", "0"),
                ("prefix", "false"),
            ):
                search[name] = f"{search[name]},{value}"
        result = self._server.search(
            [
                {
                    **search,
                    **_faceted(),
                    "vector_query": self._vector_query(question, f", alpha: {self._ranking.alpha}"),
                    "page": request.page,
                    "per_page": request.size,
                }
            ]
        )[0]
        hits = [
            _Ranked(
                hit,
                None,
                None,
                hit.get("vector_distance"),
                hit.get("hybrid_search_info", {}).get("rank_fusion_score", 0.0),
            )
            for hit in result["hits"]
        ]
        return _Page(hits, int(result["found"]), _server_facets(result), int(result["search_time_ms"]))

    def _by_both(self, request: SearchRequest, question: str) -> _Page:
        """Fuse both rankings here.

        The answer is every match by words and the nearest by meaning. Of both rankings the first `depth` are fused;
        what else matches by words follows in its own order.
        """
        filter_by = filter_of(request)
        text_search, depth = self._text_search(filter_by, question), self._ranking.depth
        text, vector = self._server.search(
            [{**text_search, **_faceted(), "per_page": depth}, self._vector_search(filter_by, question)]
        )
        text_ids = [hit["document"]["id"] for hit in text["hits"]]
        near = {hit["document"]["id"]: hit for hit in vector["hits"]}
        text_ranks = {one: rank for rank, one in enumerate(text_ids, start=1)}
        only_near = [one for one in near if one not in text_ranks]
        scores = fuse(text_ids, list(near), self._ranking)
        wanted = request.page * request.size - len(scores)
        matching, rest, more_ms = self._further(text_search, filter_by, text, only_near, wanted)
        vector_ranks = {one: rank for rank, one in enumerate(near, start=1)}
        hits = {hit["document"]["id"]: hit for hit in text["hits"]}
        ranked = [
            _Ranked(
                hits.get(one) or near[one],
                text_ranks.get(one),
                vector_ranks.get(one),
                near[one]["vector_distance"] if one in near else None,
                score,
            )
            for one, score in scores.items()
        ]
        ranked += [
            _Ranked(hit, rank, None, None, 0.0)
            for rank, hit in enumerate(rest, start=1)
            if rank > depth and hit["document"]["id"] not in scores
        ]
        added = [near[one]["document"] for one in only_near if one not in matching]
        return _Page(
            _slice(ranked, request),
            int(text["found"]) + len(added),
            _merged(_server_facets(text), _facets(added)),
            int(text["search_time_ms"]) + int(vector["search_time_ms"]) + more_ms,
        )

    def _further(
        self, text_search: Search, filter_by: str, text: Found, only_near: Sequence[str], wanted: int
    ) -> tuple[set[str], list[Found], int]:
        """Return what is needed of the matches by words beyond those that are fused.

        Args:
            text_search: The search by words.
            filter_by: Its filter.
            text: Its first answer.
            only_near: Ids of the nearest by meaning that are not in it.
            wanted: How many hits are to follow the fused ones.

        Returns:
            Those of `only_near` that match by words further down, which must be neither counted nor shown twice; all
            matches by words from the first, as far as they are wanted; milliseconds of the service.
        """
        searches: list[Search] = []
        if text["found"] > len(text["hits"]):
            if only_near:
                searches.append({**text_search, "filter_by": among(filter_by, only_near), "per_page": PER_PAGE})
            pages = math.ceil((self._ranking.depth + wanted + len(only_near)) / PER_PAGE) if wanted > 0 else 0
            searches += [{**text_search, "page": page, "per_page": PER_PAGE} for page in range(1, pages + 1)]
        results = self._server.search(searches) if searches else []
        matching = {hit["document"]["id"] for hit in results[0]["hits"]} if searches and only_near else set()
        rest = [hit for result in results[bool(only_near) :] for hit in result["hits"]]
        return matching, rest, sum(int(result["search_time_ms"]) for result in results)

    @staticmethod
    def _hit(one: _Ranked) -> Hit:
        product = product_of(one.hit["document"])
        # Newer servers mean to leave out the list and keep the object, whose values may be nested text.
        entries = one.hit.get("highlights") or [*one.hit.get("highlight", {}).values()]
        matched = [
            token
            for entry in entries
            if isinstance(entry, Mapping)
            for tokens in entry.get("matched_tokens", ())
            for token in ([tokens] if isinstance(tokens, str) else tokens)
        ]
        return Hit(
            product=product,
            score=ScoreParts(
                score=one.score,
                text_rank=one.text_rank,
                text_match=one.hit.get("text_match") if one.text_rank else None,
                vector_rank=one.vector_rank,
                vector_distance=one.vector_distance,
            ),
            highlight=highlighted(product.description, matched),
        )


class _Page(NamedTuple):
    hits: Sequence[_Ranked]
    found: int
    facets: dict[str, list[FacetCount]]
    service_time_ms: int


def _faceted() -> Search:
    return {"facet_by": ",".join(FACETS), "max_facet_values": MAX_FACET_VALUES}


def _server_facets(result: Found) -> dict[str, list[FacetCount]]:
    return {
        facet["field_name"]: [FacetCount(value=one["value"], count=one["count"]) for one in facet["counts"]]
        for facet in result.get("facet_counts", ())
    }


def _facets(documents: Iterable[Found]) -> dict[str, list[FacetCount]]:
    found = list(documents)
    return {
        name: [
            FacetCount(value=value, count=count)
            for value, count in Counter(one[name] for one in found if name in one).most_common(MAX_FACET_VALUES)
        ]
        for name in FACETS
    }


def _merged(first: dict[str, list[FacetCount]], second: dict[str, list[FacetCount]]) -> dict[str, list[FacetCount]]:
    merged = {}
    for name in FACETS:
        counts: Counter[str] = Counter()
        for one in (*first.get(name, ()), *second.get(name, ())):
            counts[one.value] += one.count
        merged[name] = [FacetCount(value=value, count=count) for value, count in counts.most_common(MAX_FACET_VALUES)]
    return merged


def _ranked_by_meaning(hits: Iterable[Found]) -> list[_Ranked]:
    return [
        _Ranked(hit, None, rank, hit["vector_distance"], 1 - hit["vector_distance"])
        for rank, hit in enumerate(hits, start=1)
    ]


def _slice(ranked: Sequence[_Ranked], request: SearchRequest) -> Sequence[_Ranked]:
    return ranked[(request.page - 1) * request.size : request.page * request.size]
