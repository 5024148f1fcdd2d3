"""The documents of the index: what is stored of a product, and the schema of the collections that hold them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.domain.money import MONEY_PLACES
from include.enrichment.product.taxonomy import UNCATEGORISED
from include.search.embedding import dimensions, is_local
from include.search.entities import Product
from include.search.filters import exact, indexed
from include.search.language import canonical, country_identity, identity, related

VECTOR = "vector"
EMBEDDED_TEXT = "embedded_text"
CONTENT_HASH = "content_sha256"
PRODUCT_ID = "product_id"
WRITTEN_AT = "written_at"
"""When a document was written, in milliseconds; added to it by the indexing."""

FACETS = ("country", "category", "brand", "price_band")

SHOWN = (
    "stock_code",
    "description",
    "alternatives",
    "category",
    "subcategory",
    "brand",
    "country",
    "region",
    "currency",
    "price_minimum",
    "price_maximum",
    "price_median",
    "price_band",
    "units",
    "revenue",
    "first_sold_at",
    "last_sold_at",
)
"""Fields that make a `Product`."""

_NUMBERS = ("price_minimum", "price_maximum", "price_median", "units", "revenue")
_MOMENTS = ("first_sold_at", "last_sold_at")


def document_id(stock_code: str, country: str) -> str:
    """Return the id of a product in a country: hexadecimal digits."""
    return hashlib.sha256(f"{stock_code}\x1f{country_identity(country)}".encode()).hexdigest()[:24]


def embedded_text(words: Sequence[str], more: Sequence[str], category: Sequence[str]) -> str:
    """Return the text that a product's vector is made of; the words of its description weigh double.

    Args:
        words: Of its description.
        more: Related to them.
        category: Of its category and subcategory.
    """
    return " ".join([*words, *words, *more, *category])


def document(product: Product, model: str) -> dict[str, Any]:
    """Return the document of a product, without its vector.

    `content_sha256` differs where the content or the vector does; what is absent is left out.
    """
    words = canonical(product.description)
    others = dict.fromkeys(word for text in product.alternatives for word in canonical(text) if word not in words)
    names = [name for name in (product.category, product.subcategory) if name and name != UNCATEGORISED]
    category = canonical(" ".join(names).replace("_", " "))
    fields: dict[str, Any] = product.model_dump(exclude_none=True)
    for name in _NUMBERS:
        fields[name] = indexed(fields[name])
    for name in _MOMENTS:
        fields[name] = int(fields[name].replace(tzinfo=UTC).timestamp())
    fields |= {
        PRODUCT_ID: identity(product.stock_code),
        "country_id": country_identity(product.country),
        "words": " ".join(words),
        "other_words": " ".join([*others, *related([*words, *others])]),
        "category_words": " ".join(category),
        EMBEDDED_TEXT: embedded_text(words, related(words), category),
    }
    if product.category:
        fields["category_id"] = identity(product.category)
    if product.brand:
        fields["brand_id"] = identity(product.brand)
    content = json.dumps([model, fields], sort_keys=True, ensure_ascii=False)
    return {
        "id": document_id(product.stock_code, product.country),
        **fields,
        CONTENT_HASH: hashlib.sha256(content.encode()).hexdigest(),
    }


def product_of(fields: Mapping[str, Any]) -> Product:
    """Return the product of a document."""
    values = {name: fields[name] for name in SHOWN if name in fields}
    for name in _NUMBERS:
        values[name] = exact(values[name])
    for name in _MOMENTS:
        values[name] = datetime.fromtimestamp(values[name], UTC).replace(tzinfo=None)
    return Product.model_validate(values)


def line(fields: Mapping[str, Any], vector: Sequence[float] | None) -> str:
    """Return a document as a line of an import; six digits of a vector's numbers are more than the ranking needs."""
    text = json.dumps(fields, ensure_ascii=False)
    if vector is None:
        return text
    numbers = ",".join([f"{number:.6g}" for number in vector])
    return f'{text[:-1]},"{VECTOR}":[{numbers}]}}'


def schema(model: str) -> dict[str, Any]:
    """Return the schema of a collection, without its name."""
    kept = {"optional": True, "index": False}
    vector: dict[str, Any] = {"name": VECTOR, "type": "float[]"}
    if is_local(model):
        vector |= {"num_dim": dimensions(model)}
    else:
        vector |= {"embed": {"from": [EMBEDDED_TEXT], "model_config": {"model_name": model}}}
    fields: list[dict[str, Any]] = [
        {"name": "stock_code", "type": "string", "facet": True},
        {"name": "description", "type": "string"},
        {"name": "alternatives", "type": "string[]", **kept},
        {"name": "words", "type": "string"},
        {"name": "other_words", "type": "string"},
        {"name": "category_words", "type": "string"},
        {"name": "category", "type": "string", "facet": True, "optional": True},
        {"name": "subcategory", "type": "string", "facet": True, "optional": True},
        {"name": "brand", "type": "string", "facet": True, "optional": True},
        {"name": "country", "type": "string", "facet": True},
        {"name": "region", "type": "string", "facet": True, "optional": True},
        {"name": "currency", "type": "string", "index": False, "optional": True},
        {"name": "price_band", "type": "string", "facet": True},
        {"name": PRODUCT_ID, "type": "string"},
        {"name": "country_id", "type": "string"},
        {"name": "category_id", "type": "string", "optional": True},
        {"name": "brand_id", "type": "string", "optional": True},
        {"name": "price_minimum", "type": "int64"},
        {"name": "price_maximum", "type": "int64"},
        {"name": "price_median", "type": "int64"},
        {"name": "units", "type": "int64"},
        {"name": "revenue", "type": "int64"},
        {"name": "first_sold_at", "type": "int64"},
        {"name": "last_sold_at", "type": "int64"},
        {"name": EMBEDDED_TEXT, "type": "string", **({} if not is_local(model) else kept)},
        {"name": CONTENT_HASH, "type": "string", **kept},
        {"name": WRITTEN_AT, "type": "int64"},
        vector,
    ]
    return {"fields": fields}


def fingerprint(model: str) -> str:
    """Return what differs between collections that were made for different schemas, models or scales of numbers."""
    return hashlib.sha256(json.dumps([model, schema(model), MONEY_PLACES], sort_keys=True).encode()).hexdigest()[:8]


def recipe(model: str) -> str:
    """Return what differs where documents are made in another way: by model, synonyms or code."""
    here = Path(__file__).parent
    made_by = [here / name for name in ("catalogue.py", "documents.py", "filters.py", "language.py", "synonyms.yaml")]
    made_by.append(here.parent / "enrichment" / "product" / "text.py")
    return hashlib.sha256(b"\0".join([model.encode(), *(path.read_bytes() for path in made_by)])).hexdigest()
