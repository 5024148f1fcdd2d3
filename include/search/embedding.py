"""Vectors of texts, made on this machine without asking anyone, and kept so that each text is computed once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from include.files import replacing
from include.settings import Settings

log = logging.getLogger(__name__)

Vectors = npt.NDArray[np.float32]

LOCAL = "wordllama/"
"""Models whose names begin so are computed here; others by the server."""


def is_local(model: str) -> bool:
    """Return whether vectors of `model` are made here."""
    return model.startswith(LOCAL)


def dimensions(model: str) -> int:
    """Return how many numbers a vector of a local model has."""
    return int(model.removeprefix(LOCAL))


@lru_cache(maxsize=1)
def _wordllama() -> Any:
    level = logging.getLogger().level
    handlers = list(logging.getLogger().handlers)
    import wordllama

    # The package configures the root logger when it is imported.
    logging.getLogger().setLevel(level)
    for handler in [*logging.getLogger().handlers]:
        if handler not in handlers:
            logging.getLogger().removeHandler(handler)
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, dim=256, disable_download=True)


def embed(model: str, texts: Sequence[str]) -> Vectors:
    """Return one unit vector a text; a text without a known word has a vector of zeros.

    Args:
        model: A local model.
        texts: In the words of `language.canonical`, joined by spaces.
    """
    size = dimensions(model)
    if not texts:
        return np.empty((0, size), dtype=np.float32)
    raw = np.asarray(_wordllama().embed([text or " " for text in texts]), dtype=np.float32)[:, :size]
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.asarray(np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0), dtype=np.float32)


class VectorCache:
    """Vectors by text, one file a model below the data folder; a writer holds the index's lock."""

    def __init__(self, settings: Settings) -> None:
        self._model = settings.search_model
        self._path = settings.data_dir / "search" / "vectors" / f"{self._model.replace('/', '-')}.parquet"
        self.computed = 0

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return one vector a text, in order; those of texts that are new are computed and kept.

        `computed` says how many that were.
        """
        size = dimensions(self._model)
        known = self._read(size)
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self.computed = len(new)
        if new:
            known |= dict(zip(new, embed(self._model, list(new.values())), strict=True))
            self._write(known)
        return np.stack([known[key] for key in keys]) if keys else np.empty((0, size), dtype=np.float32)

    def _read(self, size: int) -> dict[bytes, Vectors]:
        if not self._path.exists():
            return {}
        try:
            table = pq.read_table(self._path)
        except (pa.ArrowException, OSError) as error:
            log.warning("The kept vectors in %s cannot be read, so all are computed again: %s", self._path, error)
            return {}
        matrix = np.frombuffer(b"".join(table["vector"].to_pylist()), dtype="<f4").reshape(-1, size)
        return dict(zip(table["text_sha256"].to_pylist(), matrix, strict=True))

    def _write(self, known: dict[bytes, Vectors]) -> None:
        table = pa.table(
            {
                "text_sha256": pa.array(list(known), type=pa.binary()),
                "vector": pa.array([vector.astype("<f4").tobytes() for vector in known.values()], type=pa.binary()),
            }
        )
        with replacing(self._path) as partial:
            pq.write_table(table, partial)
