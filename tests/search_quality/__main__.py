"""Measure the search on the real catalogue against the judged queries.

python -m tests.search_quality lake FILE        Gold and Silver of a clean CSV file, in RETAIL_DATA_DIR
python -m include.search rebuild                the index, on the server that TYPESENSE_NODES names
python -m tests.search_quality evaluate         nDCG@10, MRR and recall on the tuning half
python -m tests.search_quality evaluate --held-out
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import duckdb
import pyarrow as pa
import typer

from include.search.entities import Mode, SearchRequest
from include.search.service import SearchService
from include.settings import Settings, get_settings
from tests.search_quality.lake import make_lake
from tests.search_quality.load import latencies, summary
from tests.search_quality.measures import RECALL_DEPTH, Query, chance, load_queries, mean, ndcg, recall, reciprocal_rank
from tests.support.shop import read_products

COUNTRY = "United Kingdom"
"""Where every query is asked: nearly the whole catalogue is sold there."""

MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")

Ranker = Callable[[str], list[str]]

_PHRASE = "SELECT stock_code FROM products WHERE description ILIKE $phrase ORDER BY revenue DESC LIMIT $depth"
_WORDS = """
    SELECT stock_code FROM products
    WHERE len(list_filter($words, lambda word: description ILIKE '%' || word || '%')) > 0
    ORDER BY len(list_filter($words, lambda word: description ILIKE '%' || word || '%')) DESC, revenue DESC
    LIMIT $depth"""


def sql_rankers(settings: Settings) -> dict[str, Ranker]:
    """Return rankings by ILIKE: of the whole query, and of its words, most words first; then by revenue."""
    products = [one for one in read_products(settings) if one.country == COUNTRY]
    columns = ("stock_code", "description", "revenue")
    table = pa.Table.from_pylist([one.model_dump(include={*columns}) for one in products])
    connection = duckdb.connect()
    connection.register("products", table)

    def by_phrase(text: str) -> list[str]:
        found = connection.execute(_PHRASE, {"phrase": f"%{text}%", "depth": RECALL_DEPTH}).fetchall()
        return [code for (code,) in found]

    def by_words(text: str) -> list[str]:
        found = connection.execute(_WORDS, {"words": text.split(), "depth": RECALL_DEPTH}).fetchall()
        return [code for (code,) in found]

    return {"ILIKE, whole query": by_phrase, "ILIKE, words": by_words}


def search_ranker(service: SearchService, mode: Mode) -> Ranker:
    """Return the ranking of the search in a mode."""

    def rank(text: str) -> list[str]:
        answer = service.search(SearchRequest(q=text, country=COUNTRY, size=RECALL_DEPTH, mode=mode))
        return [hit.product.stock_code for hit in answer.hits]

    return rank


Rankings = dict[str, list[list[str]]]
"""Name -> what it finds, one ranking a query."""


def table(rankings: Rankings, queries: Sequence[Query]) -> str:
    """Return the measures of each ranking as a Markdown table."""
    lines = [
        f"| ranking | nDCG@10 | nDCG@10, grades 2 and 3 | MRR | recall@{RECALL_DEPTH} |",
        "|---|---|---|---|---|",
    ]
    for name, found in rankings.items():
        judged = [(ranked, query.grades) for ranked, query in zip(found, queries, strict=True)]
        values = (
            mean([ndcg(ranked, grades) for ranked, grades in judged]),
            mean([ndcg(ranked, grades, least=2) for ranked, grades in judged]),
            mean([reciprocal_rank(ranked, grades) for ranked, grades in judged]),
            mean([recall(ranked, grades) for ranked, grades in judged]),
        )
        lines.append(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return "\n".join(lines)


COMPARED = (("hybrid", "vector"), ("hybrid", "text"), ("text", "ILIKE, words"))


def comparison(rankings: Rankings, queries: Sequence[Query]) -> str:
    """Return by how much one ranking is better than another, and whether that may be chance, as a Markdown table."""
    lines = ["| nDCG@10 of | less that of | mean | better | worse | p |", "|---|---|---|---|---|---|"]
    for one, other in COMPARED:
        differences = [
            ndcg(first, query.grades) - ndcg(second, query.grades)
            for first, second, query in zip(rankings[one], rankings[other], queries, strict=True)
        ]
        better, worse = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
        average, by_chance = mean(differences), chance(differences)
        lines.append(f"| {one} | {other} | {average:+.3f} | {better} | {worse} | {by_chance:.4f} |")
    return "\n".join(lines)


app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.command()
def lake(file: Annotated[Path, typer.Argument(help="clean CSV file")]) -> None:
    """Make Gold and Silver of a file."""
    make_lake(get_settings(), file)


@app.command()
def load(mode: Mode = "hybrid", rate: int = 50, seconds: int = 20) -> None:
    """Measure latencies under load."""
    with SearchService(get_settings()) as service:
        print(summary(latencies(service, mode, rate, seconds)))


@app.command()
def evaluate(held_out: Annotated[bool, typer.Option("--held-out")] = False) -> None:
    """Measure the ranking."""
    settings = get_settings()
    queries = load_queries("held_out" if held_out else "tuning")
    with SearchService(settings) as service:
        rankers = sql_rankers(settings) | {mode: search_ranker(service, mode) for mode in MODES}
        rankings = {name: [rank(query.text) for query in queries] for name, rank in rankers.items()}
    print(table(rankings, queries), comparison(rankings, queries), sep="\n\n")


if __name__ == "__main__":
    app(prog_name="python -m tests.search_quality")
