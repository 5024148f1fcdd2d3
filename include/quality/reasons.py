"""What each reason code says to the person who sent the file."""

from __future__ import annotations

from include.domain.line import AMOUNT_TOO_PRECISE, LineText
from include.domain.money import MONEY_LIMIT, MONEY_PLACES
from include.sources.defects import DEFECTS

_EXAMPLES = {
    "invoice": "up to 64 letters, digits, `#`, `_`, `.`, `/` or `-`, such as 536365 or C536365",
    "stock_code": "up to 64 letters, digits, spaces, `#`, `_`, `.`, `/` or `-`, such as 85123A",
    "description": "at most 500 characters",
    "quantity": "a number with at most 4 decimals, such as 6, -1 or 1.5",
    "invoice_date": "a date in the style of the rest of the file, such as 2010-12-01 08:26:00",
    "price": "a number with at most 6 decimals, such as 2.55, in a currency that is clear",
    "customer_id": "up to 64 letters, digits, `#`, `_`, `.`, `@` or `-`, such as 17850 or CUST-001, or nothing",
    "country": "at most 60 characters",
    "line_amount": "what the line costs in all, with at most 6 decimals, such as 15.30",
}


_OUT_OF_RANGE = {
    "quantity": (
        "The quantity is not between -1,000,000 and 1,000,000.",
        "Check the value; if it is right, split it over several rows.",
    ),
    "invoice_date": (
        "The invoice_date is not between 1990-01-01 and 2099-12-31.",
        "Check the year, and that day, month and year stand in the order of the rest of the file.",
    ),
    "price": (
        "The price is not between -1,000,000 and 1,000,000.",
        "Check the value; if it is right, split it over several rows.",
    ),
}

_AMOUNT = {
    AMOUNT_TOO_PRECISE: (
        f"Quantity x price has more than {MONEY_PLACES} decimals, and amounts are not rounded.",
        "Give the price or the quantity with fewer decimals, or a column with the line's total.",
    ),
    "amount_out_of_range": (
        f"The amount of the line is not between -{MONEY_LIMIT:,} and {MONEY_LIMIT:,}.",
        "Check quantity and price; if they are right, split the line over several rows.",
    ),
}


def _rules() -> dict[str, tuple[str, str]]:
    found = {}
    for name in LineText.model_fields:
        wanted = _EXAMPLES[name]
        found[f"missing_{name}"] = (f"The row has no {name}.", f"Fill it in: {wanted}.")
        found[f"malformed_{name}"] = (f"The {name} cannot be read.", f"Expected: {wanted}.")
    return found | {f"{name}_out_of_range": sentences for name, sentences in _OUT_OF_RANGE.items()} | _AMOUNT


RULES = _rules()
"""Reason code of a broken rule -> problem and remedy."""


def explain(code: str) -> tuple[str, str]:
    """Return problem and remedy of a reason code.

    Raises:
        KeyError: If the code is not declared.
    """
    if code in RULES:
        return RULES[code]
    defect = DEFECTS[code]
    return defect.problem, defect.remedy


def field_of(code: str) -> str | None:
    """Return the column a rule's code is about, None for a defect of the whole record; of an amount, the price."""
    if code not in RULES:
        return None
    if code in _AMOUNT:
        return "price"
    return code.removeprefix("missing_").removeprefix("malformed_").removesuffix("_out_of_range")
