"""The Pydantic rules of `include.domain.line` as column expressions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import annotated_types
from pydantic import StringConstraints
from pydantic.fields import FieldInfo
from pyspark.sql import Column
from pyspark.sql import functions as F

from include.domain.line import AMOUNT_TOO_PRECISE, TYPED_FROM, WHITESPACE, InvoiceLine, LineText

TEXT_COLUMNS = tuple(LineText.model_fields)


def trimmed(name: str) -> Column:
    """Return column `name` without surrounding whitespace, null if nothing is left."""
    return F.nullif(F.btrim(F.col(name), F.lit(WHITESPACE)), F.lit(""))


def moment(name: str) -> Column:
    """Return trimmed text column `name` as a timestamp, null if it names no moment."""
    # Spark knows a year 0, Python does not.
    return F.when(text_valid(name) & ~F.startswith(name, F.lit("0000")), F.col(name).try_cast("timestamp"))


def may_name_day(name: str, days: Sequence[date]) -> Column:
    """Return whether raw text column `name` may name one of `days`; false only where `moment` gives none of them.

    One look at the text, so that a rebuild of a day need not parse every row of the files that hold it.
    """
    variants = [f"{day.year:04}-0?{day.month}-0?{day.day}" for day in days]
    return F.col(name).rlike(rf"(?<![0-9])(?:{'|'.join(variants)})(?![0-9])")


def _text_checks(field: FieldInfo, column: Column) -> list[Column]:
    checks: list[Column] = []
    for rule in _constraints(field):
        if isinstance(rule, StringConstraints):
            if rule.pattern is not None:
                body = str(rule.pattern).removeprefix("^").removesuffix("$")
                checks.append(column.rlike(rf"\A(?:{body})\z"))
            if rule.max_length is not None:
                checks.append(F.char_length(column) <= rule.max_length)
        else:
            raise TypeError(f"No column expression for text rule {rule!r}")
    return checks


def _constraints(field: FieldInfo) -> list[Any]:
    found = list(field.metadata)
    for argument in getattr(field.annotation, "__args__", ()):
        found += getattr(argument, "__metadata__", ())
    merged: list[Any] = []
    for rule in found:
        if hasattr(rule, "pattern") and not isinstance(rule, StringConstraints):
            merged.append(StringConstraints(pattern=rule.pattern))
        elif isinstance(rule, annotated_types.MaxLen):
            merged.append(StringConstraints(max_length=rule.max_length))
        else:
            merged.append(rule)
    return merged


def _literal(value: Any) -> Column:
    if isinstance(value, (int, Decimal, datetime)):
        return F.lit(value)
    raise TypeError(f"No literal for {value!r}")


def _typed_checks(field: FieldInfo, column: Column) -> list[Column]:
    checks: list[Column] = []
    for rule in _constraints(field):
        if isinstance(rule, annotated_types.Ge):
            checks.append(column >= _literal(rule.ge))
        elif isinstance(rule, annotated_types.Le):
            checks.append(column <= _literal(rule.le))
        elif isinstance(rule, annotated_types.Lt):
            checks.append(column < _literal(rule.lt))
        elif isinstance(rule, annotated_types.Gt):
            checks.append(column > _literal(rule.gt))
        else:
            raise TypeError(f"No column expression for typed rule {rule!r}")
    return checks


def text_valid(name: str) -> Column:
    """Return whether trimmed text column `name` meets its text rules (null meets them if the field is optional)."""
    field = LineText.model_fields[name]
    valid = F.lit(True)
    for check in _text_checks(field, F.col(name)):
        valid = valid & check
    return F.coalesce(valid, F.lit(not field.is_required()))


def amount_violation(amount: Column) -> Column:
    """Return the reason code of an amount whose parts are valid, null if it is valid; null is too precise."""
    code = F.when(amount.isNull(), F.lit(AMOUNT_TOO_PRECISE))
    for check in _typed_checks(InvoiceLine.model_fields["amount"], amount):
        code = code.when(~check, F.lit("amount_out_of_range"))
    return code


def violation(name: str, typed: dict[str, Column]) -> Column:
    """Return the reason code of trimmed text column `name`, null if it is valid.

    Args:
        name: Canonical column.
        typed: Typed field -> its column, null where the text breaks its rules or cannot be read.
    """
    code = F.when(F.col(name).isNull(), F.lit(f"missing_{name}") if LineText.model_fields[name].is_required() else None)
    fields = [field for field, source in TYPED_FROM.items() if source == name]
    if not fields:
        return code.when(~text_valid(name), F.lit(f"malformed_{name}"))
    for field in fields:
        code = code.when(typed[field].isNull(), F.lit(f"malformed_{name}"))
        for check in _typed_checks(InvoiceLine.model_fields[field], typed[field]):
            code = code.when(~check, F.lit(f"{name}_out_of_range"))
    return code
