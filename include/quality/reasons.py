"""What each reason code says to the person who sent the file."""

from __future__ import annotations

from include.domain.line import AMOUNT_TOO_PRECISE, LineText
from include.domain.money import MONEY_LIMIT, MONEY_PLACES
from include.quality.causes import cause
from include.sources.defects import DEFECTS
from include.sources.model import FileDecisions

_MOMENT, _PRICE = "2010-12-01 08:26:00", "2.55"
_MOMENTS = {
    "named": "1 December 2010 08:26",
    "compact": "20101201T082600",
    "serial": "40513.3513888889",
    "epoch_seconds": "1291191960",
    "epoch_milliseconds": "1291191960000",
}
"""The moment of the examples by the kind of a file's dates."""

_EXAMPLES = {
    "invoice": "up to 64 letters, digits, `#`, `_`, `.`, `/` or `-`, such as 536365 or C536365",
    "stock_code": "up to 64 letters, digits, spaces, `#`, `_`, `.`, `/` or `-`, such as 85123A",
    "description": "at most 500 characters",
    "quantity": "a number with at most 4 decimals, such as 6, -1 or 1.5",
    "invoice_date": f"a date in the style of the rest of the file, such as {_MOMENT}",
    "price": f"a number with at most 6 decimals, in a currency that is clear, such as {_PRICE}",
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


def explain(code: str, value: str | None = None, decisions: FileDecisions | None = None) -> tuple[str, str]:
    """Return problem and remedy of a reason code.

    Args:
        code: The code.
        value: The value it is about; why it cannot be read is told with the problem.
        decisions: How the file is read; the remedy then has examples as the file writes them.

    Raises:
        KeyError: If the code is not declared.
    """
    if code not in RULES:
        defect = DEFECTS[code]
        return defect.problem, defect.remedy
    problem, remedy = RULES[code]
    if decisions is not None:
        remedy = remedy.replace(_MOMENT, _moment(decisions)).replace(
            _PRICE, _PRICE.replace(".", decisions.decimal_mark)
        )
    return " ".join(filter(None, (problem, cause_of(code, value)))), remedy


def cause_of(code: str, value: str | None) -> str:
    """Return why the value that a reason code is about cannot be read; "" where that is not the reason or not told."""
    return cause(field_of(code) or "", value) if code.startswith("malformed_") else ""


def _moment(decisions: FileDecisions) -> str:
    """Return the moment of the examples as a file writes its dates."""
    match decisions.date_kind:
        case "numeric":
            parts = {"y": "2010", "m": "12", "d": "01"}
            return decisions.date_separator.join(parts[part] for part in decisions.date_order) + _MOMENT[10:]
        case kind:
            return _MOMENTS[kind]


def field_of(code: str) -> str | None:
    """Return the column a rule's code is about, None for a defect of the whole record; of an amount, the price."""
    if code not in RULES:
        return None
    if code in _AMOUNT:
        return "price"
    return code.removeprefix("missing_").removeprefix("malformed_").removesuffix("_out_of_range")
