"""The product model: trained in memory from the packaged phrases, the same on every machine, in about a second.

Two stages on one set of features (TF-IDF of words, word pairs and letter groups): linear support vector machines tell
the category, then the subcategory within it. Each phrase is learnt bare and twice more dressed with a motif, before or
behind it, so that a heart or a bird in a description tells nothing about the thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import sklearn
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion
from sklearn.svm import LinearSVC

from include.enrichment.product.brands import BrandFinder, load_brands
from include.enrichment.product.packaged import content, table
from include.enrichment.product.taxonomy import UNCATEGORISED
from include.enrichment.product.text import MOTIFS, head_position, words

THRESHOLD = 0.4
"""An answer less probable than this is `uncategorised`: of words that name no goods, some 3 in 100 pass it."""

SHARPNESS = 5.0
"""Factor of the margins before the softmax. With it the mean confidence on the tuning labels equalled the accuracy on
them (0.96) of a model that had not yet been given their vocabulary."""

REGULARISATION = 0.5
LETTER_WEIGHT = 0.7
LETTER_GROUPS = (3, 4, 5)
DRESSINGS = 2
"""How often each phrase is repeated with a motif."""

SEED = 0
MAX_RELATED = 8
"""Known related words that are tried for one description."""

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """One row of `phrases.tsv`.

    Attributes:
        category: Category, or `uncategorised` for what names no product.
        subcategory: Subcategory, empty if uncategorised.
        text: The phrase, in the manner of a catalogue.
    """

    category: str
    subcategory: str
    text: str


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


@dataclass(frozen=True, slots=True)
class _Answer:
    category: str
    subcategory: str | None
    confidence: float


def load_phrases() -> list[Phrase]:
    """Return the labelled phrases the model learns from."""
    return [Phrase(row["category"], row["subcategory"], row["phrase"]) for row in table("phrases.tsv")]


def model_version() -> str:
    """Return the version: a hash of all that answers depend on (data, rules and code of this package, scikit-learn)."""
    digest = hashlib.sha256(f"scikit-learn {sklearn.__version__}".encode())
    for name in ("phrases.tsv", "brands.tsv", "brands.py", "model.py", "packaged.py", "taxonomy.py", "text.py"):
        digest.update(content(name))
    return f"product-{digest.hexdigest()[:12]}"


class ProductModel:
    """Classifies descriptions. Make one with `train`."""

    def __init__(self, phrases: Sequence[Phrase], version: str) -> None:
        self.version = version
        self._brands = BrandFinder(load_brands())
        dressed = list(_dressed(phrases))
        texts = [text for _, text in dressed]
        categories = np.array([phrase.category for phrase, _ in dressed])
        subcategories = np.array([phrase.subcategory for phrase, _ in dressed])
        self._known = {word for text in texts for word in text}
        self._features = FeatureUnion(
            [
                ("words", TfidfVectorizer(analyzer=_word_features, sublinear_tf=True)),
                ("letters", TfidfVectorizer(analyzer=_letter_features, sublinear_tf=True)),
            ],
            transformer_weights={"words": 1.0, "letters": LETTER_WEIGHT},
        )
        features = self._features.fit_transform(texts)
        self._category = _classifier().fit(features, categories)
        self._categories = [str(name) for name in self._category.classes_]
        self._subcategory = {
            name: _classifier().fit(features[categories == name], subcategories[categories == name])
            for name in self._categories
            if name != UNCATEGORISED
        }

    @classmethod
    def train(cls) -> Self:
        """Return a model trained from the packaged phrases."""
        return cls(load_phrases(), model_version())

    def classify(
        self, descriptions: Sequence[str], related: Mapping[str, Sequence[str]] | None = None
    ) -> list[ProductFacts]:
        """Return the facts of each description, in order.

        Args:
            descriptions: Texts of a catalogue.
            related: Description -> words that a thesaurus relates to its `head_noun`. They are used only where the
                description alone stays below the threshold; other answers do not change.
        """
        texts = [words(description) for description in descriptions]
        answers = self._answers(self._features.transform(texts), texts) if texts else []
        for index, description in enumerate(descriptions if related else ()):
            if answers[index].confidence < THRESHOLD:
                helped = self._helped(description, texts[index], (related or {}).get(description, ()))
                if helped is not None and helped.confidence >= THRESHOLD:
                    answers[index] = helped
        return [
            ProductFacts(
                category=answer.category,
                subcategory=answer.subcategory,
                brand=brand.name if (brand := self._brands.find(description)) else None,
                confidence=answer.confidence,
                model_version=self.version,
            )
            for description, answer in zip(descriptions, answers, strict=True)
        ]

    def _answers(self, features: csr_matrix, texts: Sequence[Words]) -> list[_Answer]:
        """Return one answer a row of features; a text without words has no confidence."""
        margins = SHARPNESS * self._category.decision_function(features)
        odds = np.exp(margins - margins.max(axis=1, keepdims=True))
        confidence = odds.max(axis=1) / odds.sum(axis=1)
        confidence[[not text for text in texts]] = 0.0
        names = np.array(self._categories)[margins.argmax(axis=1)]
        names[confidence < THRESHOLD] = UNCATEGORISED
        subcategories: dict[int, str] = {}
        for name, classifier in self._subcategory.items():
            rows = np.flatnonzero(names == name)
            if rows.size:
                subcategories.update(zip(rows.tolist(), classifier.predict(features[rows]).tolist(), strict=True))
        return [
            _Answer(str(name), subcategories.get(row), float(sure))
            for row, (name, sure) in enumerate(zip(names, confidence, strict=True))
        ]

    def _helped(self, description: str, text: Words, related: Sequence[str]) -> _Answer | None:
        """Answer from the mean of the variants that have a known related word for the head noun; None without any."""
        position = head_position(description)
        known = [found for word in related if (found := words(word)) and self._known.issuperset(found)]
        if position is None or not known:
            return None
        variants = [text[:position] + found + text[position + 1 :] for found in known[:MAX_RELATED]]
        return self._answers(csr_matrix(self._features.transform(variants).mean(axis=0)), [text])[0]


def _classifier() -> LinearSVC:
    return LinearSVC(C=REGULARISATION, random_state=SEED)


def _dressed(phrases: Sequence[Phrase]) -> Iterator[tuple[Phrase, Words]]:
    """Yield each phrase's words, bare and with motifs; which motif and where follows from the phrase's position."""
    for number, phrase in enumerate(phrases):
        text = words(phrase.text)
        yield phrase, text
        if phrase.category == UNCATEGORISED:
            continue
        for turn in range(DRESSINGS):
            motif = MOTIFS[(number * 7 + turn * 11) % len(MOTIFS)]
            yield phrase, (motif, *text) if (number // len(MOTIFS) + turn) % 2 else (*text, motif)


def _word_features(text: Words) -> list[str]:
    return [*text, *(f"{first} {second}" for first, second in pairwise(text))]


def _letter_features(text: Words) -> list[str]:
    return [
        padded[start : start + size]
        for padded in (f" {word} " for word in text)
        for size in LETTER_GROUPS
        for start in range(len(padded) - size + 1)
    ]
