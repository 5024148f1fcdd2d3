"""Local files where executors on other machines can read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from include.settings import Settings
from include.store import open_store


@contextmanager
def seen_by_executors(settings: Settings, name: str, files: Sequence[Path]) -> Iterator[list[str]]:
    """Yield where executors find local files: beside a lake in an object store until the context ends, else in place.

    Args:
        settings: Where the lake is.
        name: Of a folder that is this caller's own.
        files: The files, of different names.
    """
    if not settings.lake_on_s3:
        yield [str(file) for file in files]
        return
    import obstore

    store = open_store(settings, settings.lake)
    places = [f"_staged/{name}/{file.name}" for file in files]
    try:
        for file, place in zip(files, places, strict=True):
            obstore.put(store, place, file)
        yield [f"{settings.lake}/{place}" for place in places]
    finally:
        obstore.delete(store, places)
