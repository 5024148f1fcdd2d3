"""Words that mean about the same, from Datamuse (https://www.datamuse.com/api, free up to 100,000 calls a day)."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, TypeAdapter

from include.enrichment.client import ServiceClient
from include.enrichment.service import Service, ServiceUnavailable
from include.settings import Settings

MAX_RELATED = 20


class _Word(BaseModel):
    word: str


_WORDS = TypeAdapter(list[_Word])


def datamuse_service(settings: Settings) -> Service:
    """Return Datamuse as configured."""
    return Service(name="datamuse", base_url=settings.datamuse_url, per_second=10, cache_seconds=30 * 86_400)


def related_words(words: Iterable[str], client: ServiceClient) -> dict[str, list[str]]:
    """Return word -> up to `MAX_RELATED` related words, best first.

    A word for which there is no answer is left out; the metrics of the client say how many and why.

    Args:
        words: Words, asked once each in lower case.
        client: Client of `datamuse_service`.
    """
    found = {}
    for word in dict.fromkeys(word.strip().lower() for word in words):
        if not word:
            continue
        try:
            answer = client.get("words", _WORDS, {"ml": word, "max": str(MAX_RELATED)})
        except ServiceUnavailable:
            continue
        found[word] = [related.word for related in answer[:MAX_RELATED]]
    return found
