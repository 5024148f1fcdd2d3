"""What is remembered of the last indexing: what the index was left with, or why it could not be brought up to date."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from include.domain.model import Model
from include.files import write_atomically
from include.runs.records import IndexRecord
from include.search.catalogue import LakeMark, PublishedLake
from include.search.documents import WRITTEN_AT, recipe
from include.search.server import SearchServer
from include.settings import Settings


class Indexed(Model):
    """The index as an indexing left it, and what it was made from.

    Attributes:
        collection: The collection that is searched.
        documents: Documents in it.
        written_at: When the newest of them was written.
        recipe: How documents were made.
        lake: State of the lake.
    """

    collection: str
    documents: int
    written_at: int
    recipe: str
    lake: LakeMark


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


def last_indexing(settings: Settings, server: SearchServer, collection: str) -> Indexed | None:
    """Return the last indexing; None if it did not end well, or the index is not as it left it.

    Raises:
        SearchUnavailable: If the server does not answer.
    """
    try:
        known = Indexed.model_validate_json(_indexed(settings).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    now = (collection, server.collections()[collection], recipe(settings.search_model))
    if now != (known.collection, known.documents, known.recipe):
        return None
    return known if server.greatest(collection, WRITTEN_AT) == known.written_at else None


def note_indexing(settings: Settings, server: SearchServer, lake: PublishedLake, record: IndexRecord) -> None:
    """Remember an indexing, if the server holds as many documents as it should.

    Raises:
        SearchUnavailable: If the server does not answer.
    """
    name = record.collection or ""
    if server.collections().get(name) != record.documents:
        return
    left = Indexed(
        collection=name,
        documents=record.documents,
        written_at=server.greatest(name, WRITTEN_AT),
        recipe=recipe(settings.search_model),
        lake=lake.mark(),
    )
    write_atomically(_indexed(settings), left.model_dump_json(indent=2))


def forget_indexing(settings: Settings) -> None:
    """Let the next indexing compare all products."""
    _indexed(settings).unlink(missing_ok=True)


def pending(settings: Settings) -> Pending | None:
    """Return what is pending, None if the index is up to date as far as is known."""
    try:
        return Pending.model_validate_json(_pending(settings).read_bytes())
    except FileNotFoundError:
        return None


def note_pending(settings: Settings, run_id: str, reason: str) -> None:
    """Record that a run could not bring the index up to date."""
    known = pending(settings)
    runs = [*(known.runs if known else []), run_id]
    marker = Pending(
        since=known.since if known else datetime.now(UTC), reason=reason, runs=list(dict.fromkeys(runs))[-100:]
    )
    write_atomically(_pending(settings), marker.model_dump_json(indent=2))


def forget_pending(settings: Settings) -> None:
    """Record that nothing is pending."""
    _pending(settings).unlink(missing_ok=True)


def _indexed(settings: Settings) -> Path:
    return settings.data_dir / "search" / "indexed.json"


def _pending(settings: Settings) -> Path:
    return settings.data_dir / "search" / "pending.json"
