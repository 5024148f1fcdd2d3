"""The object store of the lake, where it is not Delta that reads or writes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from include.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Store

ANSWER_SECONDS = 5.0


def lake_store(settings: Settings, retries: int) -> S3Store:
    """Return the store below the prefix of the lake; key, region and address it finds in the environment.

    Args:
        settings: Name bucket and prefix.
        retries: How often to repeat a request that is not answered.
    """
    from obstore.store import S3Store

    bucket, _, prefix = settings.lake.removeprefix("s3://").partition("/")
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"allow_http": settings.aws_allow_http, "connect_timeout": timedelta(seconds=ANSWER_SECONDS)},
        retry_config={"max_retries": retries},
    )


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

    store = lake_store(settings, retries=10)
    places = [f"_staged/{name}/{file.name}" for file in files]
    try:
        for file, place in zip(files, places, strict=True):
            obstore.put(store, place, file)
        yield [f"{settings.lake}/{place}" for place in places]
    finally:
        obstore.delete(store, places)
