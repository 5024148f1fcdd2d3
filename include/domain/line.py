"""The rules of one invoice line, declared once as Pydantic constraints.

`LineText` holds the rules on text as it came (after trimming), `InvoiceLine` the rules on typed values. Spark evaluates
both as column expressions that it derives from these models' metadata (`spark_jobs/rules.py`); a property test holds
the two evaluations to the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema

WHITESPACE = " \t\n\r\f\v\u00a0\ufeff"
"""Characters trimmed from the ends of every text field."""

WHOLE_AS_DECIMAL = r"^([0-9]+)\.0+$"
"""A whole number as spreadsheets write it in a column of decimals; the group is the number it stands for."""

SWAPPED_MARKS = (",.", ".,")
"""Point and comma, each for the other: how a number is brought from a file with a decimal comma to a decimal point.

A point of such a file is no decimal mark and becomes a comma, which no rule accepts. Twice gives the number as it was.
"""

ShopTime = Annotated[
    datetime,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?$",
            "description": "Shop local time, ISO 8601 without a zone.",
            "examples": ["2010-12-01T08:26:00"],
        }
    ),
]
"""A moment by the shop's clock; the `date-time` of JSON schemas would have a zone."""

Field_ = Literal["invoice", "stock_code", "description", "quantity", "invoice_date", "price", "customer_id", "country"]


class LineText(BaseModel):
    """The text rules. Optional fields may be absent; what is present must match.

    An absent customer is a sale to an unknown customer, an absent country becomes `Unspecified`. Silver normalises what
    is valid: see `WHOLE_AS_DECIMAL` for invoice, stock_code and customer_id.
    """

    model_config = ConfigDict(extra="ignore")

    invoice: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_./-]{0,19}$")]
    stock_code: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z _./-]{0,29}$")]
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    quantity: Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,9}(\.0+)?$")]
    invoice_date: Annotated[
        str,
        StringConstraints(
            pattern=r"^[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}"
            r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
        ),
    ]
    price: Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,10}(\.[0-9]{1,4})?$")]
    customer_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.@-]{0,31}$")] | None = None
    country: Annotated[str, StringConstraints(max_length=60)] | None = None


class InvoiceLine(BaseModel):
    """The typed rules.

    Attributes:
        quantity: Units; negative for returns and stock losses.
        sold_at: Shop local time.
        unit_price: GBP.
    """

    model_config = ConfigDict(extra="ignore")

    quantity: Annotated[int, Field(ge=-1_000_000, le=1_000_000)]
    sold_at: Annotated[datetime, Field(ge=datetime(1990, 1, 1), lt=datetime(2100, 1, 1))]
    unit_price: Annotated[Decimal, Field(ge=Decimal(-1_000_000), le=Decimal(1_000_000))]


TYPED_FROM: dict[str, Field_] = {"quantity": "quantity", "sold_at": "invoice_date", "unit_price": "price"}
"""Typed field -> text field it is read from."""

DATE_PATTERNS = {"ymd": "yyyy-M-d", "mdy": "M-d-yyyy", "dmy": "d-M-yyyy"}
"""Order of the file -> pattern after its separators were replaced by `-` (java.time letters)."""

DATE_SHAPES = {
    "ymd": r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})",
    "mdy": r"([0-9]{1,2})-([0-9]{1,2})-([0-9]{4})",
    "dmy": r"([0-9]{1,2})-([0-9]{1,2})-([0-9]{4})",
}
"""Order of the file -> digits of its days after their separators were replaced by `-`."""


def trim(text: str | None) -> str | None:
    """Return `text` without surrounding whitespace, None if nothing is left."""
    return (text or "").strip(WHITESPACE) or None


def parse_date(text: str, order: str, separator: str) -> datetime | None:
    """Return the moment `text` names in the file's style, or None if it names none.

    Args:
        text: Trimmed text that matches `LineText.invoice_date`.
        order: `ymd`, `mdy` or `dmy`.
        separator: The file's date separator.
    """
    day, _, time = text.replace("T", " ").partition(" ")
    found = re.fullmatch(DATE_SHAPES[order], day.replace(separator, "-"))
    if not found:
        return None
    parts = dict(zip(order, found.groups(), strict=True))
    clock = [*time.split(":"), "0", "0"][:3] if time else ["0", "0", "0"]
    seconds, _, fraction = clock[2].partition(".")
    try:
        return datetime(
            int(parts["y"]),
            int(parts["m"]),
            int(parts["d"]),
            int(clock[0]),
            int(clock[1]),
            int(seconds),
            int(fraction.ljust(6, "0")) if fraction else 0,
        )
    except ValueError:
        return None


def violations(raw: Mapping[str, str | None], order: str = "ymd", separator: str = "-", mark: str = ".") -> list[str]:
    """Return the reason codes of one raw line, in field order; empty if it is valid.

    Args:
        raw: Canonical column -> text as in the file.
        order: Date order of the file.
        separator: Date separator of the file.
        mark: Decimal mark of the file.
    """
    text = {name: trim(raw.get(name)) for name in LineText.model_fields}
    for name in ("quantity", "price"):
        value = text[name]
        if value is not None and mark == ",":
            text[name] = value.translate(str.maketrans(*SWAPPED_MARKS))
    found: dict[str, str] = {}
    try:
        LineText.model_validate({name: value for name, value in text.items() if value is not None})
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][0])
            found[name] = f"missing_{name}" if item["type"] == "missing" else f"malformed_{name}"
    typed: dict[str, object] = {}
    if "quantity" not in found:
        typed["quantity"] = int(Decimal(text["quantity"] or ""))
    if "price" not in found:
        typed["unit_price"] = Decimal(text["price"] or "")
    if "invoice_date" not in found:
        moment = parse_date(text["invoice_date"] or "", order, separator)
        if moment is None:
            found["invoice_date"] = "malformed_invoice_date"
        else:
            typed["sold_at"] = moment
    try:
        InvoiceLine.model_validate(typed)
    except ValidationError as error:
        for item in error.errors():
            source = TYPED_FROM[str(item["loc"][0])]
            if item["type"] != "missing":
                found[source] = f"{source}_out_of_range"
    return [found[name] for name in LineText.model_fields if name in found]
