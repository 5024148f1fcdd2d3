"""The product model: tells category and subcategory of a description by linear classifiers on TF-IDF features.

The features are words, word pairs and letter groups; `training.py` learns their weights. Answering takes NumPy alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from include.enrichment.product.brands import BrandFinder, load_brands
from include.enrichment.product.packaged import content
from include.enrichment.product.taxonomy import UNCATEGORISED
from include.enrichment.product.text import head_position, words

THRESHOLD = 0.4
"""An answer less probable than this is `uncategorised`: of words that name no goods, some 3 in 100 pass it."""

SHARPNESS = 5.0
"""Factor of the margins before the softmax. With it the mean confidence on the tuning labels equalled the accuracy on
them (0.96) of a model that had not yet been given their vocabulary."""

LETTER_WEIGHT = 0.7
LETTER_GROUPS = (3, 4, 5)
MAX_RELATED = 8
"""Known related words that are tried for one description."""

Words: TypeAlias = tuple[str, ...]
Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What a description says about its product.

    Attributes:
        category: A category of the taxonomy, or `uncategorised`.
        subcategory: A subcategory of it; None if uncategorised.
        brand: Brand, licence or line that the description names; None if none.
        confidence: Probability of the most likely category, 0 to 1, whether or not it reached the threshold.
        model_version: Version of the model that answered.
    """

    category: str
    subcategory: str | None
    brand: str | None
    confidence: float
    model_version: str


@dataclass(frozen=True)
class Weights:
    """What training has learnt.

    A feature is a row of the coefficients, the words and word pairs first, then the letter groups. A classifier has
    one column for each of its labels: first the one that tells the category, then for each category the one that tells
    its subcategory.

    Attributes:
        words: Words and word pairs.
        word_idf: Inverse document frequency of each.
        letters: Letter groups.
        letter_idf: Inverse document frequency of each.
        categories: Column -> category.
        subcategories: Column -> subcategory; empty for those that tell the category.
        coefficients: Feature x column.
        intercepts: By column.
    """

    words: NDArray[np.str_]
    word_idf: Numbers
    letters: NDArray[np.str_]
    letter_idf: Numbers
    categories: NDArray[np.str_]
    subcategories: NDArray[np.str_]
    coefficients: Numbers
    intercepts: Numbers


@dataclass(frozen=True, slots=True)
class _Answer:
    category: str
    subcategory: str | None
    confidence: float


def model_version() -> str:
    """Return the version: a hash of all that answers depend on (data, rules and code of this package, scikit-learn)."""
    digest = hashlib.sha256(f"scikit-learn {version('scikit-learn')}".encode())
    sources = ("brands.py", "model.py", "packaged.py", "taxonomy.py", "text.py", "training.py")
    for name in ("phrases.tsv", "brands.tsv", *sources):
        digest.update(content(name))
    return f"product-{digest.hexdigest()[:12]}"


class ProductModel:
    """Classifies descriptions. `training.py` makes one."""

    def __init__(self, weights: Weights, version: str) -> None:
        self.version = version
        self.weights = weights
        self._brands = BrandFinder(load_brands())
        self._words = _Vocabulary(weights.words, weights.word_idf)
        self._letters = _Vocabulary(weights.letters, weights.letter_idf)
        self._category = np.flatnonzero(weights.subcategories == "")
        self._subcategory = {
            str(name): np.flatnonzero((weights.categories == name) & (weights.subcategories != ""))
            for name in weights.categories[self._category]
        }

    def classify(
        self, descriptions: Sequence[str], related: Mapping[str, Sequence[str]] | None = None
    ) -> list[ProductFacts]:
        """Return the facts of each description, in order.

        Args:
            descriptions: Texts of a catalogue.
            related: Description -> words that a thesaurus relates to its `head_noun`. They are used only where the
                description alone stays below the threshold; other answers do not change.
        """
        facts = []
        for description in descriptions:
            text = words(description)
            answer = self._answer(self.margins(text), text)
            if related and answer.confidence < THRESHOLD:
                helped = self._helped(description, text, related.get(description, ()))
                if helped is not None and helped.confidence >= THRESHOLD:
                    answer = helped
            brand = self._brands.find(description)
            facts.append(
                ProductFacts(
                    category=answer.category,
                    subcategory=answer.subcategory,
                    brand=brand.name if brand else None,
                    confidence=answer.confidence,
                    model_version=self.version,
                )
            )
        return facts

    def margins(self, text: Words) -> Numbers:
        """Return how far the words are on the side of each column's label."""
        word_rows, word_values = self._words.tf_idf(word_features(text))
        letter_rows, letter_values = self._letters.tf_idf(letter_features(text))
        rows = np.concatenate([word_rows, letter_rows + len(self.weights.words)])
        values = np.concatenate([word_values, LETTER_WEIGHT * letter_values])
        margins: Numbers = values @ self.weights.coefficients[rows] + self.weights.intercepts
        return margins

    def _answer(self, margins: Numbers, text: Words) -> _Answer:
        """Return the likeliest labels; a text without words has no confidence."""
        sharpened = SHARPNESS * margins[self._category]
        odds = np.exp(sharpened - sharpened.max())
        confidence = float(odds.max() / odds.sum()) if text else 0.0
        category = str(self.weights.categories[self._category[sharpened.argmax()]])
        if confidence < THRESHOLD or category == UNCATEGORISED:
            return _Answer(UNCATEGORISED, None, confidence)
        columns = self._subcategory[category]
        return _Answer(category, str(self.weights.subcategories[columns[margins[columns].argmax()]]), confidence)

    def _helped(self, description: str, text: Words, related: Sequence[str]) -> _Answer | None:
        """Answer from the mean of the variants that have a known related word for the head noun; None without any."""
        position = head_position(description)
        known = [found for word in related if (found := words(word)) and all(part in self._words for part in found)]
        if position is None or not known:
            return None
        variants = [text[:position] + found + text[position + 1 :] for found in known[:MAX_RELATED]]
        return self._answer(np.mean([self.margins(variant) for variant in variants], axis=0), text)


class _Vocabulary:
    """Features of one kind, with the number and the inverse document frequency of each."""

    def __init__(self, names: NDArray[np.str_], idf: Numbers) -> None:
        self._numbers = {name: number for number, name in enumerate(names.tolist())}
        self._idf = idf

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def tf_idf(self, features: Iterable[str]) -> tuple[NDArray[np.intp], Numbers]:
        """Return the numbers of the known features and their values: (1 + log count) x idf, of length 1 together."""
        counts = Counter(self._numbers[name] for name in features if name in self._numbers)
        numbers = np.fromiter(counts, np.intp, len(counts))
        values = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self._idf[numbers]
        return numbers, values / (np.linalg.norm(values) or 1.0)


def word_features(text: Words) -> list[str]:
    """Return the words and the pairs of neighbours."""
    return [*text, *(f"{first} {second}" for first, second in pairwise(text))]


def letter_features(text: Words) -> list[str]:
    """Return the groups of letters in each word, its ends marked by spaces."""
    return [
        padded[start : start + size]
        for padded in (f" {word} " for word in text)
        for size in LETTER_GROUPS
        for start in range(len(padded) - size + 1)
    ]
