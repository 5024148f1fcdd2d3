"""What country names stand for: the names and codes of one country have one name here.

Names are compared without case, accents and surplus spaces. They are those of `data/country_names.csv`, which says too
which names are no country and why; then the ISO 3166-1 codes, and what the Unicode CLDR calls a country in the seven
languages of the source files (package babel). Nothing is guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from babel import Locale
from babel.core import get_global
from pydantic import BaseModel

from include.domain.classify import UNSPECIFIED_COUNTRY
from include.sources.text import without_accents

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")
"""Languages whose names of countries are known."""

NAMES = Path(__file__).parent / "data" / "country_names.csv"


class Meaning(BaseModel):
    """What a name stands for.

    Attributes:
        member: The one name of what it stands for: of a country, its first one in the table.
        codes: ISO 3166-1 alpha-2 codes.
        reason: Why there are none.
    """

    member: str
    codes: tuple[str, ...] = ()
    reason: str | None = None


def normalised(name: str) -> str:
    """Return a name as names are compared: no case, no accents, single spaces, compatible characters."""
    return " ".join(without_accents(name.replace("\u2019", "'")).split())


def meaning(name: str) -> Meaning | None:
    """Return what a name stands for, None if it is not known."""
    return _meanings().get(normalised(name))


def member(name: str) -> str:
    """Return the one name of the country that `name` stands for, `name` itself if it is not known."""
    known = meaning(name)
    return known.member if known else name


def renamed(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are not the one name of what they stand for, and that name."""
    return {name: known for name in names if (known := member(name)) != name}


@lru_cache(maxsize=1)
def _meanings() -> dict[str, Meaning]:
    known = {"": Meaning(member=UNSPECIFIED_COUNTRY, reason="not_stated")}
    countries: dict[str, Meaning] = {}
    with NAMES.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            codes = tuple(row["iso2"].split())
            found = Meaning(member=row["name"], codes=codes, reason=row["no_country_because"] or None)
            if codes:
                found = countries.setdefault(row["iso2"], found)
            known[normalised(row["name"])] = found
    for code, name in _spellings():
        if code in countries:
            known.setdefault(normalised(name), countries[code])
    return known


def _spellings() -> Iterable[tuple[str, str]]:
    """Yield ISO codes of countries with their spellings: both ISO codes, and the names in each language."""
    for alias, codes in get_global("territory_aliases").items():
        if alias.isalpha() and len(alias) == 3 and len(codes) == 1:
            yield codes[0], alias
    for language in LANGUAGES:
        for code, name in Locale(language).territories.items():
            yield code, code
            yield code, name
