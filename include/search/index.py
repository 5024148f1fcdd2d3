"""Brings the search index up to the published lines: rebuilt behind an alias, or changed where they have changed.

What the index holds is read back and compared with what Gold gives: documents whose content differs are written, those
that Gold no longer gives are removed. Only products that may have changed since the last indexing are compared; all are
if the index is not as that indexing left it, or the lake's state of then cannot be read any more.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import duckdb
from deltalake.exceptions import DeltaError
from filelock import FileLock

from include.domain.model import Model
from include.runs.records import IndexRecord
from include.search.catalogue import PublishedLake, open_lake
from include.search.changes import changed_products
from include.search.documents import (
    CONTENT_HASH,
    EMBEDDED_TEXT,
    PRODUCT_ID,
    WRITTEN_AT,
    document,
    fingerprint,
    line,
    schema,
)
from include.search.embedding import VectorCache, is_local
from include.search.entities import SearchMisconfigured, SearchUnavailable
from include.search.language import identity
from include.search.last_indexing import (
    Pending,
    forget_indexing,
    forget_pending,
    last_indexing,
    note_indexing,
    note_pending,
    pending,
)
from include.search.server import SearchServer, register_search_key
from include.settings import Settings

IMPORT_LINES = 2_000
"""Documents in one call of an import: some 5 MB with their vectors."""

IDS_AT_ONCE = 100
"""Ids in a filter that travels in the address, of which the server takes up to 4,000 characters."""

MAX_PROBLEMS = 5
"""Refused documents that are listed."""

Document = dict[str, Any]


class IndexStatus(Model):
    """What the search service holds.

    Attributes:
        version: Version of the server.
        collection: The collection that is searched; none if nothing has been indexed.
        documents: Documents in it.
        pending: What could not be indexed yet.
    """

    version: str
    collection: str | None
    documents: int
    pending: Pending | None


class ImportRefused(Exception):
    """The server refused documents; `problems` holds the first of them, `refused` how many there were."""

    def __init__(self, refused: int, problems: list[str]) -> None:
        super().__init__(f"{refused} documents were refused: {'; '.join(problems)}")
        self.refused = refused
        self.problems = problems


def index_status(settings: Settings) -> IndexStatus:
    """Return what the search service holds.

    Raises:
        SearchUnavailable: If it does not answer.
    """
    with SearchServer(settings, indexing=True) as server:
        current = server.current(settings.search_alias)
        return IndexStatus(
            version=server.features().version,
            collection=current,
            documents=server.collections().get(current or "", 0),
            pending=pending(settings),
        )


def bring_up_to_date(
    settings: Settings, run_id: str, *, rebuild: bool = False, compare_all: bool = False
) -> IndexRecord:
    """Bring the index up to what is published; if that cannot be done, record it as pending.

    Runs one after another: each takes what the others have published into account. Never fails because the service is
    down, or the lake cannot be read: what is published stays published, and the record says what is pending.

    Args:
        settings: Which service, and where the lake is.
        run_id: Airflow run, or what else asks.
        rebuild: Make a new index and switch to it.
        compare_all: Compare the documents of all products, as if nothing were known of the last indexing.
    """
    started = time.monotonic()
    if not settings.search_nodes:
        return IndexRecord(status="off", reason="TYPESENSE_NODES is not set.")
    folder = settings.data_dir / "search"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "index.lock"):
        try:
            register_search_key(settings)
            with SearchServer(settings, indexing=True) as server:
                record = _synchronise(settings, server, rebuild, compare_all)
        except (SearchUnavailable, ImportRefused, OSError, duckdb.Error, DeltaError) as error:
            problems = error.problems if isinstance(error, ImportRefused) else []
            record = IndexRecord(status="pending", reason=str(error), problems=problems)
            note_pending(settings, run_id, str(error))
        else:
            forget_pending(settings)
    record.seconds = time.monotonic() - started
    return record


def _synchronise(settings: Settings, server: SearchServer, rebuild: bool, compare_all: bool) -> IndexRecord:
    model = settings.search_model
    if not is_local(model) and not server.features().server_embedding:
        raise SearchMisconfigured(
            f"Typesense {server.features().version} makes no vectors itself: set RETAIL_SEARCH_MODEL to wordllama/256, "
            "or use a server of version 26 or later."
        )
    current = server.current(settings.search_alias)
    if current is not None and current not in server.collections():
        current = None  # the alias outlived its collection
    known = None if compare_all or current is None else last_indexing(settings, server, current)
    forget_indexing(settings)  # until this one has ended well
    lake = open_lake(settings)
    if current is None or rebuild or not _made_for(settings, current):
        record = _rebuild(settings, server, _documents(settings, lake, None))
    else:
        touched = changed_products(known.lake, lake) if known and lake else None
        record = _change(settings, server, current, _documents(settings, lake, touched), touched)
    if lake is not None:
        note_indexing(settings, server, lake, record)
    return record


def _documents(settings: Settings, lake: PublishedLake | None, stock_codes: set[str] | None) -> list[Document]:
    products = lake.products(stock_codes) if lake is not None else []
    return [document(product, settings.search_model) for product in products]


def _name(settings: Settings) -> str:
    moment = datetime.now(UTC)
    return f"{settings.search_alias}_{fingerprint(settings.search_model)}_{moment:%Y%m%d%H%M%S%f}"


def _versions(settings: Settings) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(settings.search_alias)}_[0-9a-f]{{8}}_[0-9]{{20}}")


def _made_for(settings: Settings, collection: str) -> bool:
    return collection.startswith(f"{settings.search_alias}_{fingerprint(settings.search_model)}_")


def _rebuild(settings: Settings, server: SearchServer, documents: Sequence[Document]) -> IndexRecord:
    """Fill a new collection, let the alias stand for it, and remove all older ones."""
    name = _name(settings)
    server.create({"name": name, **schema(settings.search_model)})
    try:
        embedded = _write(settings, server, name, documents)
        held = server.collections()[name]
        if held != len(documents):
            raise SearchUnavailable(f"The new index holds {held} documents, not {len(documents)}; the old one stays.")
        server.switch(settings.search_alias, name)
    except (SearchUnavailable, ImportRefused):
        _drop_if_possible(server, name)
        raise
    versions = _versions(settings)
    for other in server.collections():
        if other != name and versions.fullmatch(other):
            server.drop(other)
    return IndexRecord(
        status="indexed",
        collection=name,
        rebuilt=True,
        documents=len(documents),
        compared=len(documents),
        upserted=len(documents),
        embedded=embedded,
    )


def _drop_if_possible(server: SearchServer, name: str) -> None:
    """Remove an unfinished collection; if the server is gone, the next rebuild does."""
    try:
        server.drop(name)
    except SearchUnavailable:
        return


def _change(
    settings: Settings, server: SearchServer, name: str, documents: Sequence[Document], stock_codes: set[str] | None
) -> IndexRecord:
    """Write the documents that are new or differ from those held, remove those that no longer exist.

    Args:
        settings: How vectors are made.
        server: Where the index is.
        name: Its collection.
        documents: What it is to hold, of `stock_codes`.
        stock_codes: Products to compare; all if not given.

    Returns:
        What was done.
    """
    held = _held(server, name, stock_codes)
    others = server.collections()[name] - len(held) if stock_codes is not None else 0
    changed = [one for one in documents if held.get(one["id"]) != one[CONTENT_HASH]]
    gone = sorted(held.keys() - {one["id"] for one in documents})
    removed = sum(server.delete(name, ids) for ids in _portions(gone, IDS_AT_ONCE))
    embedded = _write(settings, server, name, changed)
    return IndexRecord(
        status="indexed",
        collection=name,
        documents=others + len(documents),
        compared=len(documents),
        upserted=len(changed),
        removed=removed,
        embedded=embedded,
    )


def _held(server: SearchServer, name: str, stock_codes: set[str] | None) -> dict[str, str | None]:
    """Return id -> content hash of the documents that the index holds of some products, or of all."""
    fields = ["id", "stock_code", CONTENT_HASH]
    if stock_codes is None:
        exports = [server.export(name, fields)]
    else:
        ids = sorted({identity(code) for code in stock_codes})
        exports = [
            server.export(name, fields, f"{PRODUCT_ID}:=[{','.join(some)}]") for some in _portions(ids, IDS_AT_ONCE)
        ]
    found = [json.loads(text) for export in exports for text in export.splitlines()]
    return {
        one["id"]: one.get(CONTENT_HASH) for one in found if stock_codes is None or one["stock_code"] in stock_codes
    }


def _write(settings: Settings, server: SearchServer, name: str, documents: Sequence[Document]) -> int:
    """Write documents; return how many vectors had to be computed.

    Raises:
        ImportRefused: If the server refused any; all others are written.
    """
    if not documents:
        return 0
    refused: list[str] = []
    embedded = 0
    now = int(time.time() * 1000)
    vectors: dict[str, list[float]] = {}
    if is_local(settings.search_model):
        cache = VectorCache(settings)
        texts = list(dict.fromkeys(one[EMBEDDED_TEXT] for one in documents))
        vectors = dict(zip(texts, cache.vectors(texts).tolist(), strict=True))
        embedded = cache.computed
    for portion in _portions(documents, IMPORT_LINES):
        lines = [line({**one, WRITTEN_AT: now}, vectors.get(one[EMBEDDED_TEXT])) for one in portion]
        refused.extend(_refusals(portion, server.upsert(name, "\n".join(lines))))
    if refused:
        raise ImportRefused(len(refused), refused[:MAX_PROBLEMS])
    return embedded


def _refusals(documents: Sequence[Document], answer: str) -> Iterator[str]:
    """Yield what the server says of each document that it refused."""
    results = answer.splitlines()
    for one, text in zip(documents, results, strict=False):
        result = json.loads(text)
        if result.get("success") is not True:
            yield f"{one['stock_code']} in {one['country']}: {result.get('error', 'no reason given')}"
    for one in documents[len(results) :]:
        yield f"{one['stock_code']} in {one['country']}: no answer"


def _portions(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion
