from __future__ import annotations

import logging
import socket
from pathlib import Path

import numpy as np
import pytest

from include.search import embedding
from include.search.embedding import VectorCache, embed
from include.settings import Settings


def test_vectors_are_made_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    embedding._wordllama.cache_clear()
    found = embed("wordllama/256", ["candle holder", "tealight holder", "garden spade", ""])
    assert found.shape == (4, 256)
    assert np.allclose(np.linalg.norm(found[:3], axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]


def test_logging_stays_as_the_program_set_it() -> None:
    before = (logging.getLogger().level, list(logging.getLogger().handlers))
    embed("wordllama/64", ["mug"])
    assert (logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_each_text_is_computed_once(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    cache = VectorCache(settings)
    first = cache.vectors(["red mug", "blue mug", "red mug"])
    assert cache.computed == 2
    again = VectorCache(settings)
    second = again.vectors(["blue mug", "green mug"])
    assert again.computed == 1
    assert np.array_equal(second[0], first[1])
    other = VectorCache(settings.model_copy(update={"search_model": "wordllama/64"}))
    assert other.vectors(["red mug"]).shape == (1, 64)
    assert other.computed == 1
