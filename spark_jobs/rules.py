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

from include.domain.line import DATE_PATTERNS, DATE_SHAPES, SWAPPED_MARKS, TYPED_FROM, WHITESPACE, InvoiceLine, LineText

TEXT_COLUMNS = tuple(LineText.model_fields)


def trimmed(name: str) -> Column:
    """Return column `name` without surrounding whitespace, null if nothing is left."""
    return F.nullif(F.btrim(F.col(name), F.lit(WHITESPACE)), F.lit(""))


def marks_exchanged(number: Column) -> Column:
    """Return the text of a number in the file's style with a decimal point, one with a point in the file's style."""
    return F.when(F.col("decimal_mark") == ",", F.translate(number, *SWAPPED_MARKS)).otherwise(number)


def moment(name: str) -> Column:
    """Return trimmed text column `name` as a timestamp read in the file's date style, null if it names no moment."""
    text = F.translate(F.col(name), "T", " ")
    day = F.replace(F.substring_index(text, " ", 1), F.col("date_separator"), F.lit("-"))
    clock = F.when(F.instr(text, " ") > 0, F.substring_index(text, " ", -1)).otherwise(F.lit("0:00"))
    rest = F.concat(day, F.lit(" "), clock)
    parsed = F.lit(None).cast("timestamp")
    for order, pattern in DATE_PATTERNS.items():
        spark_pattern = F.lit(f"{pattern} H:mm[:ss[.SSSSSS]]")
        fits = (F.col("date_order") == order) & day.rlike(rf"\A{DATE_SHAPES[order]}\z")
        parsed = F.when(fits, F.try_to_timestamp(rest, spark_pattern)).otherwise(parsed)
    return parsed


def may_name_day(name: str, days: Sequence[date]) -> Column:
    """Return whether raw text column `name` may name one of `days`; false only where `moment` gives none of them.

    One look at the text, so that a rebuild of a day need not parse every row of the files that hold it.
    """
    variants = []
    for day in days:
        parts = {"y": f"{day.year:04}", "m": f"0?{day.month}", "d": f"0?{day.day}"}
        variants += ["[-/.]".join(parts[letter] for letter in order) for order in DATE_SHAPES]
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


def violation(name: str, typed: dict[str, Column]) -> Column:
    """Return the reason code of trimmed text column `name`, null if it is valid.

    Args:
        name: Canonical column.
        typed: Typed field -> its column, null where the text cannot be read.
    """
    code = F.when(F.col(name).isNull(), F.lit(f"missing_{name}") if LineText.model_fields[name].is_required() else None)
    code = code.when(~text_valid(name), F.lit(f"malformed_{name}"))
    for typed_name, source in TYPED_FROM.items():
        if source == name:
            code = code.when(typed[typed_name].isNull(), F.lit(f"malformed_{name}"))
            for check in _typed_checks(InvoiceLine.model_fields[typed_name], typed[typed_name]):
                code = code.when(~check, F.lit(f"{name}_out_of_range"))
    return code
