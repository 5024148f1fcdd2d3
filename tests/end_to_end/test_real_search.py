"""The search on the real catalogue; needs RETAIL_REAL_FILE, and neither Spark nor Airflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples

from deploy.embedded.search import TypesenseServer
from include.runs.records import IndexRecord
from include.search.index import bring_up_to_date
from include.search.service import SearchService
from include.settings import Settings
from tests.search_quality.__main__ import MODES, search_ranker, sql_rankers
from tests.search_quality.lake import make_lake
from tests.search_quality.load import latencies
from tests.search_quality.measures import load_queries, mean, ndcg
from tests.support.attempts import ATTEMPTS, attempt
from tests.support.shop import settings_for

pytestmark = [
    pytest.mark.skipif(not os.environ.get("RETAIL_REAL_FILE"), reason="RETAIL_REAL_FILE is not set"),
]


@pytest.fixture(scope="module")
def settings(typesense_server: TypesenseServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    found = settings_for(typesense_server, tmp_path_factory.mktemp("real"))
    make_lake(found, Path(os.environ["RETAIL_REAL_FILE"]))
    return found


@pytest.fixture(scope="module")
def indexed(settings: Settings) -> IndexRecord:
    return bring_up_to_date(settings, "first")


@pytest.fixture(scope="module")
def service(settings: Settings, indexed: IndexRecord) -> Iterator[SearchService]:
    assert indexed.status == "indexed"
    with SearchService(settings) as found:
        yield found


def test_the_whole_catalogue_is_indexed_within_a_minute(indexed: IndexRecord) -> None:
    assert (indexed.status, indexed.documents) == ("indexed", 28_124)
    assert indexed.seconds < 60


@examples(max_examples=1000, deadline=None)
@given(values=ATTEMPTS)
def test_nothing_outside_the_filter_is_found(service: SearchService, values: dict[str, Any]) -> None:
    attempt(service, values)


def test_fused_rankings_are_better_than_either_and_far_better_than_sql(
    settings: Settings, service: SearchService
) -> None:
    queries = load_queries("tuning")
    rankers = sql_rankers(settings) | {mode: search_ranker(service, mode) for mode in MODES}
    quality = {
        name: mean([ndcg(rank(query.text), query.grades) for query in queries]) for name, rank in rankers.items()
    }
    assert quality["hybrid"] > max(quality["text"], quality["vector"])
    assert quality["text"] > quality["ILIKE, words"] + 0.15


def test_fifty_searches_a_second_are_answered_in_time(service: SearchService) -> None:
    found = latencies(service, "hybrid", rate=50, seconds=10)
    assert found[int(len(found) * 0.99)] < 0.1
