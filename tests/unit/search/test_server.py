from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from include.lake.connect_server import free_port
from include.search.documents import schema
from include.search.entities import SearchRequest, SearchUnavailable
from include.search.server import Features, SearchServer
from include.search.service import SearchService
from include.settings import Settings


def settings_of(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "data_dir": folder,
        "typesense_nodes": f"127.0.0.1:{free_port()}",
        "typesense_api_key": SecretStr("key"),
    }
    return Settings(_env_file=None, **(values | changes))


@pytest.mark.parametrize(
    ("version", "native", "embedding"),
    [("0.24.1", False, False), ("0.25.1", False, False), ("0.25.2", True, False), ("26.0", True, True),
     ("30.1", True, True), ("nightly", True, True)],
)  # fmt: skip
def test_the_version_decides_what_a_server_can_do(version: str, native: bool, embedding: bool) -> None:
    assert Features.of(version) == Features(version, native_hybrid=native, server_embedding=embedding)


class Recorder:
    """Stands for a newer server: takes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    def search(self, searches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self.asked.extend(searches)
        return [{"hits": [], "found": 0, "facet_counts": [], "search_time_ms": 1} for _ in searches]


@pytest.mark.parametrize(("model", "vectors"), [("wordllama/64", True), ("ts/all-MiniLM-L12-v2", False)])
def test_a_newer_server_fuses_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, vectors: bool
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(SearchServer, "features", lambda self: Features.of("30.1"))
    monkeypatch.setattr(SearchServer, "search", lambda self, searches: recorder.search(searches))
    with SearchService(settings_of(tmp_path, search_model=model)) as service:
        service.search(SearchRequest(q="mug", country="France", page=2, size=10))
        service.search(SearchRequest(q="mug", country="France", mode="vector"))
    both, meaning = recorder.asked
    assert (both["q"], both["page"], both["per_page"]) == ("mug", 2, 10)
    assert "alpha: 0.556" in both["vector_query"]
    assert both["vector_query"].startswith("vector:([]") != vectors
    assert both["query_by"].endswith(",vector") != vectors
    lengths = {len(both[name].split(",")) for name in ("query_by", "query_by_weights", "num_typos", "prefix")}
    assert len(lengths) == 1
    assert meaning["q"] == ("*" if vectors else "mug")


def test_a_model_of_the_server_is_part_of_the_schema() -> None:
    (vector,) = [field for field in schema("ts/e5-small")["fields"] if field["name"] == "vector"]
    assert vector["embed"] == {"from": ["embedded_text"], "model_config": {"model_name": "ts/e5-small"}}
    (local,) = [field for field in schema("wordllama/128")["fields"] if field["name"] == "vector"]
    assert local["num_dim"] == 128


def test_nobody_listening_is_told_at_once(tmp_path: Path) -> None:
    nodes = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    with SearchService(settings_of(tmp_path, typesense_nodes=nodes)) as service, pytest.raises(SearchUnavailable):
        service.search(SearchRequest(country="France"))
