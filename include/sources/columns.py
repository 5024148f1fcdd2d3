"""Which spellings of a column name mean which canonical column."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from include.sources.defects import reject, shortened
from include.sources.model import CANONICAL_COLUMNS

REQUIRED_COLUMNS = ("invoice", "stock_code", "quantity", "invoice_date", "price", "country")

TABLE_COLUMNS = ("stock_code", "quantity", "price")
"""Columns that a header must name to begin a table of lines, in a document that holds other things too."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "invoice": ("Invoice", "Invoice No", "Invoice Number", "Invoice Nr", "Invoice ID"),
    "stock_code": ("Stock Code", "StockCode No", "SKU", "Product Code", "Item Code"),
    "description": ("Description", "Desc", "Product Description", "Item Description", "Product Name", "Item Name"),
    "quantity": ("Quantity", "Qty", "Units"),
    "invoice_date": ("Invoice Date", "Invoice Timestamp", "Invoice Date Time", "Invoice Time", "Date", "Timestamp"),
    "price": ("Price", "Unit Price", "Price GBP", "Unit Price GBP", "Price Each", "Price Per Unit"),
    "customer_id": ("Customer ID", "Customer", "Customer No", "Customer Number", "Cust ID"),
    "country": ("Country", "Customer Country", "Country Name"),
}
"""Canonical column -> names people use. Case, spaces, underscores and punctuation do not matter."""


def normalised(name: str) -> str:
    """Return `name` with everything but its letters and digits removed, in lower case."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum())


_CANONICAL = {normalised(spelling): column for column, names in SPELLINGS.items() for spelling in names}


def canonical(name: str) -> str | None:
    """Return the canonical column that `name` means, None for a column of the sender's own."""
    return _CANONICAL.get(normalised(name))


def check_required(
    present: Container[str], names: Sequence[str], *, line: int | None = None, value: str | None = None
) -> None:
    """Refuse a table that lacks a required column.

    Args:
        present: The canonical columns it has.
        names: The names of its columns, for the message.
        line: Where they stand, for the message.
        value: The text there, for the message.

    Raises:
        SourceRejected: missing_columns.
    """
    missing = [column for column in REQUIRED_COLUMNS if column not in present]
    if missing:
        raise reject(
            "missing_columns",
            line=line,
            value=value,
            missing=", ".join(missing),
            found=", ".join(repr(shortened(name.strip(), 40)) for name in names[:20]) or "none",
            accepted="; ".join(f"{column}: {', '.join(SPELLINGS[column])}" for column in missing),
        )


@dataclass(slots=True)
class Header:
    """The columns of a table by position.

    Attributes:
        width: Number of columns.
        positions: Canonical column -> position.
        spellings: Canonical column -> name as written in the file.
        extras: Position -> name of a column that is not canonical; names are made unique.
    """

    width: int
    positions: dict[str, int] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    extras: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Sequence[str], line: int | None = None) -> Header:
        """Return the header made of `names`.

        Args:
            names: Column names in order.
            line: Where they stand, for the message.

        Raises:
            SourceRejected: With `duplicate_columns` if two names mean the same column.
        """
        header = cls(len(names))
        taken: set[str] = set()
        for position, name in enumerate(names):
            column = canonical(name)
            if column is None:
                header.extras[position] = unique_name(name.strip() or f"column_{position + 1}", taken)
            elif column in header.positions:
                both = f"{header.spellings[column]!r} and {name.strip()!r}"
                raise reject("duplicate_columns", line=line, value=name, names=both, column=column)
            else:
                header.positions[column] = position
                header.spellings[column] = name.strip()
        return header


def unique_name(name: str, taken: set[str]) -> str:
    """Return `name`, numbered if it is in `taken`, and add it there."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def optional_column_warnings(present: Iterable[str]) -> list[str]:
    """Return a sentence for each optional column that a file lacks."""
    absent = [c for c in CANONICAL_COLUMNS if c not in REQUIRED_COLUMNS and c not in set(present)]
    consequence = {
        "description": "products keep the descriptions they have",
        "customer_id": "every line counts as a sale to an unknown customer",
    }
    return [f"There is no {column} column: {consequence[column]}." for column in absent]
