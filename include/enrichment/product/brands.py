"""Brands, licences and product lines that catalogue descriptions name, found by the exact words listed in `brands.tsv`.

`brands.tsv` has columns brand (as shown), kind (`brand`: a maker, `licence`: a character, film or person, `line`: a
range of the shop or its suppliers) and patterns: alternatives separated by `|`, each a sequence of whole words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from include.enrichment.product.packaged import table

KINDS = ("brand", "licence", "line")
"""In the order in which they are preferred where a description names several."""

_APOSTROPHES = re.compile(r"['\u2019`]")
_BETWEEN = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Brand:
    """One row of `brands.tsv`.

    Attributes:
        name: As shown.
        kind: One of `KINDS`.
        patterns: Sequences of whole words, lower case, separated by single spaces.
    """

    name: str
    kind: str
    patterns: tuple[str, ...]


def load_brands() -> tuple[Brand, ...]:
    """Return the listed brands."""
    return tuple(Brand(row["brand"], row["kind"], tuple(row["patterns"].split("|"))) for row in table("brands.tsv"))


class BrandFinder:
    """Finds the brand a description names; of several the first by kind, then the one with the longest pattern."""

    def __init__(self, brands: tuple[Brand, ...]) -> None:
        patterns = [(pattern, brand) for brand in brands for pattern in brand.patterns]
        patterns.sort(key=lambda item: (KINDS.index(item[1].kind), -len(item[0])))
        self._by_pattern = {f" {pattern} ": brand for pattern, brand in patterns}

    def find(self, description: str) -> Brand | None:
        """Return the brand, None if none of the listed ones is named."""
        text = f" {_BETWEEN.sub(' ', _APOSTROPHES.sub('', description.lower())).strip()} "
        return next((brand for pattern, brand in self._by_pattern.items() if pattern in text), None)
