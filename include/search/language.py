"""One form for the many ways in which shoppers and catalogues write the same words.

Documents and questions go through the same functions, so that plurals, joined words and the synonyms of
`synonyms.yaml` meet whatever the version of the search server; the server adds prefixes and typing errors.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import Field

from include.domain.model import Model
from include.enrichment.country_names import member
from include.enrichment.product.text import singular

SYNONYMS = Path(__file__).parent / "synonyms.yaml"

_WRITTEN = (
    (re.compile(r"\bt[ -]?(?:light|lite)s?\b"), "tealight"),
    (re.compile(r"\bp\s?/\s?frames?\b"), "photo frame"),
    (re.compile(r"\bw/"), "with "),
    (re.compile(r"['\u2019`]"), ""),
)
_TOKEN = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+(?:['\u2019`][^\W_]+)*", re.UNICODE)


class Synonyms(Model):
    """The content of `synonyms.yaml`.

    Attributes:
        same: Groups of words or phrases that mean the same; the first is what the others are turned into.
        found_by: Word -> more words by which products that have it are found, at a lower weight.
        ignored: Words that mean nothing for a search.
    """

    same: list[list[str]] = Field(default_factory=list)
    found_by: dict[str, list[str]] = Field(default_factory=dict)
    ignored: list[str] = Field(default_factory=list)


class _Vocabulary(NamedTuple):
    phrases: dict[tuple[str, ...], tuple[str, ...]]
    longest: int
    parts: dict[str, tuple[str, ...]]
    found_by: dict[str, tuple[str, ...]]
    ignored: frozenset[str]


@lru_cache(maxsize=1)
def _vocabulary() -> _Vocabulary:
    synonyms = Synonyms.model_validate(yaml.safe_load(SYNONYMS.read_bytes()))
    phrases: dict[tuple[str, ...], tuple[str, ...]] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for group in synonyms.same:
        first, *others = (_singulars(phrase) for phrase in group)
        for other in others:
            phrases[other] = first
            if len(first) == 1 and len(other) > 1 and "".join(other) == first[0]:
                parts[first[0]] = other
    ignored = frozenset(word for text in synonyms.ignored for word in _singulars(text))
    vocabulary = _Vocabulary(phrases, max(map(len, phrases), default=1), parts, {}, ignored)
    found_by: dict[str, tuple[str, ...]] = {}
    for word, more in synonyms.found_by.items():
        found_by["".join(_canonical(word, vocabulary))] = tuple(
            dict.fromkeys(part for text in more for part in _canonical(text, vocabulary))
        )
    return vocabulary._replace(found_by=found_by)


def _singulars(text: str) -> tuple[str, ...]:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    for pattern, replacement in _WRITTEN:
        plain = pattern.sub(replacement, plain)
    return tuple(singular(token) for token in _TOKEN.findall(plain))


def _canonical(text: str, vocabulary: _Vocabulary) -> list[str]:
    tokens = [token for token in _singulars(text) if token not in vocabulary.ignored]
    found: list[str] = []
    at = 0
    while at < len(tokens):
        for length in range(min(vocabulary.longest, len(tokens) - at), 0, -1):
            phrase = vocabulary.phrases.get(tuple(tokens[at : at + length]))
            if phrase is not None:
                found.extend(phrase)
                at += length
                break
        else:
            found.append(tokens[at])
            at += 1
    return found


@lru_cache(maxsize=65_536)
def canonical(text: str) -> tuple[str, ...]:
    """Return the words of a text in their one form: lower case, singular, joined, synonyms replaced, in order."""
    return tuple(_canonical(text, _vocabulary()))


def related(words: Iterable[str]) -> list[str]:
    """Return more words by which products with these canonical words are found: parts of joined words, wider names."""
    vocabulary = _vocabulary()
    given = list(dict.fromkeys(words))
    more: list[str] = []
    for word in given:
        more.extend(vocabulary.parts.get(word, ()))
        more.extend(vocabulary.found_by.get(word, ()))
    for pair in pairwise(given):
        more.extend(vocabulary.found_by.get("".join(pair), ()))
    return [word for word in dict.fromkeys(more) if word not in given]


def highlighted(description: str, matched: Iterable[str]) -> str:
    """Return a description as HTML, with the words or phrases whose canonical form was matched in `<mark>`."""
    wanted = set(matched)
    words = list(_WORD.finditer(description))
    longest = _vocabulary().longest
    pieces: list[str] = []
    end = at = 0
    while at < len(words):
        length = next((size for size in range(longest, 0, -1) if _means(description, words[at : at + size], wanted)), 0)
        if length:
            first, last = words[at].start(), words[min(at + length, len(words)) - 1].end()
            pieces += [html.escape(description[end:first]), f"<mark>{html.escape(description[first:last])}</mark>"]
            end = last
        at += length or 1
    return "".join([*pieces, html.escape(description[end:])])


def _means(description: str, words: list[re.Match[str]], wanted: set[str]) -> bool:
    """Return whether these consecutive words are one canonical word that is wanted."""
    if not (canonical(words[0].group()) and canonical(words[-1].group())):
        return False
    form = canonical(description[words[0].start() : words[-1].end()])
    return len(form) == 1 and form[0] in wanted


def identity(name: str) -> str:
    """Return what stands for a name in filters: 32 hexadecimal digits, the same for the same name in any case.

    Names never enter the filter language, so nothing in one can change a filter.
    """
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").split())
    return hashlib.sha256(plain.encode()).hexdigest()[:32]


def country_identity(name: str) -> str:
    """Return the digest by which names and codes of countries are compared: one country has one."""
    return identity(member(name))
