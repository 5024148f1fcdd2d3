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
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema

from include.domain.money import MONEY_LIMIT, MONEY_PLACES, QUANTITY_PLACES

WHITESPACE = " \t\n\r\f\v\u00a0\ufeff"
"""Characters trimmed from the ends of every text field."""

WHOLE_AS_DECIMAL = r"^([0-9]+)\.0+$"
"""A whole number as spreadsheets write it in a column of decimals; the group is the number it stands for."""

FORMS = {
    "quantity": rf"[+-]?[0-9]{{1,9}}(\.[0-9]{{1,{QUANTITY_PLACES}}}0*)?",
    "price": rf"[+-]?[0-9]{{1,10}}(\.[0-9]{{1,{MONEY_PLACES}}}0*)?",
    "line_amount": rf"[+-]?[0-9]{{1,12}}(\.[0-9]{{1,{MONEY_PLACES}}}0*)?",
}
"""Text field that the amount is made of -> regular expression of its whole text, for Python, Spark and DuckDB alike."""

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


class LineText(BaseModel):
    """The text rules, on values in the form that reading a file gives them (`include/sources/canonical.py`).

    Optional fields may be absent; what is present must match.

    `line_amount` is what the line costs in all, where its file says so (column `amount` of a staged file).

    An absent customer is a sale to an unknown customer, an absent country becomes `Unspecified`. Silver normalises what
    is valid: see `WHOLE_AS_DECIMAL` for invoice, stock_code and customer_id.
    """

    model_config = ConfigDict(extra="ignore")

    invoice: Annotated[str, StringConstraints(pattern=r"^[#0-9A-Za-z][#0-9A-Za-z_./-]{0,63}$")]
    stock_code: Annotated[str, StringConstraints(pattern=r"^[#0-9A-Za-z][#0-9A-Za-z _./-]{0,63}$")]
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    quantity: Annotated[str, StringConstraints(pattern=f"^{FORMS['quantity']}$")]
    invoice_date: Annotated[
        str,
        StringConstraints(
            pattern=r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
            r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
        ),
    ]
    price: Annotated[str, StringConstraints(pattern=f"^{FORMS['price']}$")]
    customer_id: Annotated[str, StringConstraints(pattern=r"^[#0-9A-Za-z][#0-9A-Za-z_.@-]{0,63}$")] | None = None
    country: Annotated[str, StringConstraints(max_length=60)] | None = None
    line_amount: Annotated[str, StringConstraints(pattern=f"^{FORMS['line_amount']}$")] | None = None


class InvoiceLine(BaseModel):
    """The typed rules.

    Attributes:
        quantity: Units, of four decimal places at most; negative for returns and stock losses.
        sold_at: Shop local time.
        unit_price: GBP, of six decimal places at most.
        amount: GBP: the line's own amount if it has one, else quantity x unit_price.
    """

    model_config = ConfigDict(extra="ignore")

    quantity: Annotated[Decimal, Field(ge=Decimal(-1_000_000), le=Decimal(1_000_000))]
    sold_at: Annotated[datetime, Field(ge=datetime(1990, 1, 1), lt=datetime(2100, 1, 1))]
    unit_price: Annotated[Decimal, Field(ge=Decimal(-1_000_000), le=Decimal(1_000_000))]
    amount: Annotated[Decimal, Field(gt=-MONEY_LIMIT, lt=MONEY_LIMIT)]


TYPED_FROM = {"quantity": "quantity", "sold_at": "invoice_date", "unit_price": "price", "amount": "amount"}
"""Typed field -> text field it is read from; the amount is made of several and is its own."""

AMOUNT_TOO_PRECISE = "amount_too_precise"
"""Reason code of an amount with more decimal places than money has."""

_MONEY_STEP = Decimal(1).scaleb(-MONEY_PLACES)


def trim(text: str | None) -> str | None:
    """Return `text` without surrounding whitespace, None if nothing is left."""
    return (text or "").strip(WHITESPACE) or None


_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[ T]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?"
)


def parse_date(text: str) -> datetime | None:
    """Return the moment `text` names in ISO 8601's order, or None if it names none."""
    found = _MOMENT.fullmatch(text)
    if not found:
        return None
    parts = [int(part or 0) for part in found.groups()[:6]]
    try:
        return datetime(*parts, microsecond=int((found[7] or "0").ljust(6, "0")))  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def violations(raw: Mapping[str, str | None]) -> list[str]:
    """Return the reason codes of one line of canonical texts, in field order; empty if it is valid."""
    text = {name: trim(raw.get(name)) for name in LineText.model_fields}
    found: dict[str, str] = {}
    try:
        LineText.model_validate({name: value for name, value in text.items() if value is not None})
    except ValidationError as error:
        for item in error.errors():
            name = str(item["loc"][0])
            found[name] = f"missing_{name}" if item["type"] == "missing" else f"malformed_{name}"
    typed: dict[str, object] = {}
    if "quantity" not in found:
        typed["quantity"] = Decimal(text["quantity"] or "")
    if "price" not in found:
        typed["unit_price"] = Decimal(text["price"] or "")
    if "invoice_date" not in found:
        moment = parse_date(text["invoice_date"] or "")
        if moment is None:
            found["invoice_date"] = "malformed_invoice_date"
        else:
            typed["sold_at"] = moment
    if found.keys().isdisjoint(FORMS):
        own = text["line_amount"]
        amount = Decimal(own) if own else Decimal(text["quantity"] or "") * Decimal(text["price"] or "")
        if amount % _MONEY_STEP:
            found["amount"] = AMOUNT_TOO_PRECISE
        else:
            typed["amount"] = amount
    try:
        InvoiceLine.model_validate(typed)
    except ValidationError as error:
        for item in error.errors():
            source = TYPED_FROM[str(item["loc"][0])]
            if item["type"] != "missing":
                found[source] = f"{source}_out_of_range"
    if not found.keys().isdisjoint(FORMS):
        found.pop("amount", None)
    return [found[name] for name in (*LineText.model_fields, "amount") if name in found]
