"""Brings the search index up to the published lines: rebuilt behind an alias, or changed where they have changed.

What the index holds is read back from it, so an increment needs no memory of earlier ones: it writes the documents
whose content is another than Gold gives now, and removes those Gold no longer gives. A run that was missed is caught up
by the next.
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
from include.files import write_atomically
from include.runs.records import IndexRecord
from include.search.catalogue import read_products
from include.search.documents import CONTENT_HASH, EMBEDDED_TEXT, document, fingerprint, line, schema
from include.search.embedding import VectorCache, is_local
from include.search.entities import SearchMisconfigured, SearchUnavailable
from include.search.server import SearchServer
from include.settings import Settings

IMPORT_LINES = 2_000
"""Documents in one call of an import: some 5 MB with their vectors."""

DELETED_AT_ONCE = 100
"""Ids in one deletion; they travel in the address, which the server takes up to 4,000 characters of a filter from."""

MAX_PROBLEMS = 5
"""Refused documents that are told one by one."""

Document = dict[str, Any]


class Pending(Model):
    """What is left on record when the index could not be brought up to date.

    Attributes:
        since: When that first happened.
        reason: Why, the last time.
        runs: Runs that tried, the oldest first.
    """

    since: datetime
    reason: str
    runs: list[str]


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


def pending(settings: Settings) -> Pending | None:
    """Return what is pending, None if the index is up to date as far as is known."""
    try:
        return Pending.model_validate_json((settings.data_dir / "search" / "pending.json").read_bytes())
    except FileNotFoundError:
        return None


def index_status(settings: Settings) -> IndexStatus:
    """Return what the search service holds.

    Raises:
        SearchUnavailable: If it does not answer.
    """
    with SearchServer(settings) as server:
        current = server.current(settings.search_alias)
        return IndexStatus(
            version=server.features().version,
            collection=current,
            documents=server.collections().get(current or "", 0),
            pending=pending(settings),
        )


def bring_up_to_date(settings: Settings, run_id: str, *, rebuild: bool = False) -> IndexRecord:
    """Bring the index up to what is published; if that cannot be done, record it as pending.

    Runs one after another: each takes what the others have published into account. Never fails because the service is
    down, or the lake cannot be read: what is published stays published, and the receipt says what is pending.

    Args:
        settings: Which service, and where the lake is.
        run_id: Airflow run, or what else asks.
        rebuild: Make the whole index anew and switch to it.
    """
    started = time.monotonic()
    if not settings.search_nodes:
        return IndexRecord(status="off", reason="TYPESENSE_NODES is not set.")
    folder = settings.data_dir / "search"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "index.lock"):
        try:
            with SearchServer(settings, indexing=True) as server:
                record = _synchronise(settings, server, rebuild)
        except (SearchUnavailable, ImportRefused, OSError, duckdb.Error, DeltaError) as error:
            problems = error.problems if isinstance(error, ImportRefused) else []
            record = IndexRecord(status="pending", reason=str(error), problems=problems)
            _remember(settings, run_id, str(error))
        else:
            (folder / "pending.json").unlink(missing_ok=True)
    record.seconds = time.monotonic() - started
    return record


def _remember(settings: Settings, run_id: str, reason: str) -> None:
    known = pending(settings)
    runs = [*(known.runs if known else []), run_id]
    marker = Pending(
        since=known.since if known else datetime.now(UTC), reason=reason, runs=list(dict.fromkeys(runs))[-100:]
    )
    write_atomically(settings.data_dir / "search" / "pending.json", marker.model_dump_json(indent=2))


def _synchronise(settings: Settings, server: SearchServer, rebuild: bool) -> IndexRecord:
    model = settings.search_model
    if not is_local(model) and not server.features().server_embedding:
        raise SearchMisconfigured(
            f"Typesense {server.features().version} makes no vectors itself: set RETAIL_SEARCH_MODEL to wordllama/256, "
            "or use a server of version 26 or later."
        )
    current = server.current(settings.search_alias)
    if current is not None and current not in server.collections():
        current = None  # the alias outlived what it stands for
    documents = [document(product, model) for product in read_products(settings)]
    if current is None or rebuild or not _made_for(settings, current):
        return _rebuild(settings, server, documents)
    return _change(settings, server, current, documents)


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
        upserted=len(documents),
        embedded=embedded,
    )


def _drop_if_possible(server: SearchServer, name: str) -> None:
    """Remove an unfinished collection; if the server is gone, the next rebuild does."""
    try:
        server.drop(name)
    except SearchUnavailable:
        return


def _change(settings: Settings, server: SearchServer, name: str, documents: Sequence[Document]) -> IndexRecord:
    """Write the documents that are new or other than they were, remove those that no longer exist."""
    held = {
        found["id"]: found.get(CONTENT_HASH)
        for found in map(json.loads, server.export(name, ["id", CONTENT_HASH]).splitlines())
    }
    changed = [one for one in documents if held.get(one["id"]) != one[CONTENT_HASH]]
    gone = sorted(held.keys() - {one["id"] for one in documents})
    removed = sum(server.delete(name, ids) for ids in _portions(gone, DELETED_AT_ONCE))
    embedded = _write(settings, server, name, changed)
    return IndexRecord(
        status="indexed",
        collection=name,
        documents=len(documents),
        upserted=len(changed),
        removed=removed,
        embedded=embedded,
    )


def _write(settings: Settings, server: SearchServer, name: str, documents: Sequence[Document]) -> int:
    """Write documents; return how many vectors had to be computed.

    Raises:
        ImportRefused: If the server refused any; all others are written.
    """
    if not documents:
        return 0
    refused: list[str] = []
    embedded = 0
    vectors: dict[str, list[float]] = {}
    if is_local(settings.search_model):
        cache = VectorCache(settings)
        texts = list(dict.fromkeys(one[EMBEDDED_TEXT] for one in documents))
        vectors = dict(zip(texts, cache.vectors(texts).tolist(), strict=True))
        embedded = cache.computed
    for portion in _portions(documents, IMPORT_LINES):
        lines = [line(one, vectors.get(one[EMBEDDED_TEXT])) for one in portion]
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
