"""Trains the product model from the packaged phrases, the same on every machine, and keeps it in a file.

Each phrase is learnt bare and twice more dressed with a motif, before or behind it, so that a heart or a bird in a
description tells nothing about the thing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from include.enrichment.product.model import (
    LETTER_WEIGHT,
    ProductModel,
    Weights,
    Words,
    letter_features,
    model_version,
    word_features,
)
from include.enrichment.product.packaged import table
from include.enrichment.product.taxonomy import UNCATEGORISED
from include.enrichment.product.text import MOTIFS, words
from include.files import replacing

REGULARISATION = 0.5
DRESSINGS = 2
"""How often each phrase is repeated with a motif."""

SEED = 0

_log = logging.getLogger(__name__)


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
class Fitted:
    """What scikit-learn has fitted: the features, and the classifiers of the category and of its subcategories."""

    features: Any
    category: Any
    subcategory: dict[str, Any]


def load_phrases() -> list[Phrase]:
    """Return the labelled phrases the model learns from."""
    return [Phrase(row["category"], row["subcategory"], row["phrase"]) for row in table("phrases.tsv")]


def kept_model(folder: Path) -> ProductModel:
    """Return the model of this version, from its file in a folder or trained and then kept there.

    Raises:
        OSError: If the file cannot be written.
    """
    path = folder / f"{model_version()}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return ProductModel(Weights(**stored), model_version())
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        _log.warning("The product model in %s cannot be read and is trained again: %s", path, error)
    model = train()
    keep(model, folder)
    return model


def keep(model: ProductModel, folder: Path) -> None:
    """Write a model to its file in a folder, in the place of those of other versions.

    Raises:
        OSError: If the file cannot be written.
    """
    path = folder / f"{model.version}.npz"
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **asdict(model.weights))
    for other in folder.glob("product-*.npz"):
        if other != path:
            other.unlink(missing_ok=True)


def train() -> ProductModel:
    """Return a model trained from the packaged phrases."""
    return ProductModel(weights_of(fit(load_phrases())), model_version())


def fit(phrases: Sequence[Phrase]) -> Fitted:
    """Fit TF-IDF features and linear support vector machines: one for the category, one within each category."""
    # scikit-learn takes 2 s to import; only training needs it.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion
    from sklearn.svm import LinearSVC

    dressed = list(_dressed(phrases))
    categories = np.array([phrase.category for phrase, _ in dressed])
    subcategories = np.array([phrase.subcategory for phrase, _ in dressed])
    features = FeatureUnion(
        [
            ("words", TfidfVectorizer(analyzer=word_features, sublinear_tf=True)),
            ("letters", TfidfVectorizer(analyzer=letter_features, sublinear_tf=True)),
        ],
        transformer_weights={"words": 1.0, "letters": LETTER_WEIGHT},
    )
    values = features.fit_transform([text for _, text in dressed])
    return Fitted(
        features,
        LinearSVC(C=REGULARISATION, random_state=SEED).fit(values, categories),
        {
            name: LinearSVC(C=REGULARISATION, random_state=SEED).fit(
                values[categories == name], subcategories[categories == name]
            )
            for name in sorted({*categories.tolist()} - {UNCATEGORISED})
        },
    )


def weights_of(fitted: Fitted) -> Weights:
    """Return what was fitted as arrays."""
    word, letter = (vectorizer for _, vectorizer in fitted.features.transformer_list)
    categories, subcategories = list(fitted.category.classes_), [""] * len(fitted.category.classes_)
    coefficients, intercepts = [fitted.category.coef_], [fitted.category.intercept_]
    for name, classifier in fitted.subcategory.items():
        categories += [name] * len(classifier.classes_)
        subcategories += list(classifier.classes_)
        # Of two labels the classifier has the margin of the second only.
        signs = np.array([[-1], [1]]) if len(classifier.classes_) == 2 else np.array(1)
        coefficients.append(signs * classifier.coef_)
        intercepts.append(np.ravel(signs) * classifier.intercept_)
    return Weights(
        words=word.get_feature_names_out().astype(str),
        word_idf=word.idf_,
        letters=letter.get_feature_names_out().astype(str),
        letter_idf=letter.idf_,
        categories=np.array(categories),
        subcategories=np.array(subcategories),
        coefficients=np.ascontiguousarray(np.concatenate(coefficients).T),
        intercepts=np.concatenate(intercepts),
    )


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
