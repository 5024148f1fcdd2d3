"""Values of a profile as SQL over the rows of a staged file."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from include.domain.line import FORMS
from include.domain.money import ISO_4217, minor_units
from include.sources.currency import pointer
from include.sources.profiles.values import (
    Absolute,
    Code,
    Constant,
    Joined,
    JsonSum,
    Mapped,
    Minor,
    Minus,
    Split,
    Sum,
    Value,
    folded,
    is_number,
)

USUAL_PLACES = 2
"""Decimal places of the smallest unit of most currencies."""

_EXACT = FORMS["line_amount"]

NUMBER = "DECIMAL(28, 6)"
"""Type of numbers: wide enough for sums of what the rules of a line accept."""


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def in_extras(name: str, extra_columns: Iterable[str]) -> str | None:
    """Return the expression of a column among the extras of a row, None if it is not there.

    A name with points is that of a column, or the path to a member of one that holds JSON. A text without any
    stands for the member, to be judged as its value.
    """
    extras = {folded(extra): extra for extra in extra_columns}
    steps = name.split(".")
    for length in range(len(steps), 0, -1):
        extra = extras.get(folded(".".join(steps[:length])))
        if extra is not None:
            member = f"json_extract_string(extras, {pointer(extra)})"
            rest = steps[length:]
            if not rest:
                return member
            holds = f"json_valid({member}) AND {member}[1] IN ('{{', '[')"
            return f"CASE WHEN {holds} THEN json_extract_string({member}, {pointer(*rest)}) ELSE {member} END"
    return None


def without_case(text: str) -> str:
    """Return the expression of a text without case and surplus white space: both sides of a comparison are made so."""
    return f"lower(trim(regexp_replace({text}, '\\s+', ' ', 'g')))"


def texts_in(texts: Iterable[str], *, fold: bool = True) -> str:
    """Return a list of literals for IN, without case unless told otherwise."""
    return "(" + ", ".join(without_case(quoted(text)) if fold else quoted(text) for text in texts) + ")"


def _code(text: str) -> str:
    """Return the expression of a text as a code; long ones end in a digest of the whole."""
    fits = f"regexp_full_match({text}, '[#0-9A-Za-z][#0-9A-Za-z_.@-]{{0,63}}')"
    plain = f"trim(regexp_replace(strip_accents({text}), '[^0-9A-Za-z_.@-]+', '-', 'g'), '-_.@')"
    cut = f"CASE WHEN length({plain}) > 64 THEN {plain}[:55] || '-' || md5({text})[:8] ELSE {plain} END"
    return f"CASE WHEN {fits} THEN {text} ELSE nullif({cut}, '') END"


class Compiler:
    """Turns values into expressions over the columns of a file.

    Attributes:
        column: Name of a source column, folded -> its expression, a text.
        minor_places: Currency -> decimal places of its smallest unit, where the sender has others than ISO 4217.
        leaves: Expression of a text that is to be read as a number -> name of the number's column.
    """

    def __init__(self, column: dict[str, str], minor_places: Mapping[str, int]) -> None:
        self.column = column
        self.minor_places = minor_places
        self.leaves: dict[str, str] = {}

    def text(self, value: Value | None) -> str:
        """Return the expression of a text, null where there is none."""
        match value:
            case None:
                return "NULL::VARCHAR"
            case str():
                return self.column.get(folded(value), "NULL::VARCHAR")
            case list():
                return f"coalesce({', '.join(map(self.text, value))})"
            case Constant():
                return quoted(value.text)
            case Joined():
                return f"nullif(concat_ws({quoted(value.with_)}, {', '.join(map(self.text, value.join))}), '')"
            case Split():
                return f"nullif(trim(split_part({self.text(value.column)}, {quoted(value.split)}, {value.part})), '')"
            case Mapped():
                return self._mapped(value, self.text)
            case Code():
                return _code(self.text(value.code))
            case _:
                raise TypeError(f"{value!r} is no text")

    def number(self, value: Value | None) -> str:
        """Return the expression of a number; the texts it is read from become `leaves`."""
        match value:
            case None:
                return f"NULL::{NUMBER}"
            case list() if is_number(value):
                return f"coalesce({', '.join(map(self.number, value))})"
            case Sum():
                parts = [self.number(part) for part in value.sum]
                added = " + ".join(f"coalesce({part}, 0)" for part in parts)
                return f"CASE WHEN coalesce({', '.join(parts)}) IS NOT NULL THEN ({added})::{NUMBER} END"
            case Absolute():
                return f"abs({self.number(value.abs)})"
            case Minus():
                return f"-({self.number(value.minus)})"
            case Minor():
                return self._of_minor(self.number(value.minor))
            case Mapped() if is_number(value):
                return self._mapped(value, self.number)
            case JsonSum():
                return f"list_sum(list_transform({self._members(value)}, lambda x: TRY_CAST(x AS {NUMBER})))"
            case _:
                return self.leaves.setdefault(self.text(value), f"number_{len(self.leaves)}")

    def _mapped(self, value: Mapped, compiled: Callable[[Value | None], str]) -> str:
        cases = " ".join(f"WHEN {without_case(quoted(key))} THEN {compiled(part)}" for key, part in value.map.items())
        return f"CASE {without_case(self.text(value.column))} {cases} ELSE {compiled(value.otherwise)} END"

    def _of_minor(self, number: str) -> str:
        """Return an amount in whole units, of one in the smallest unit of its currency."""
        of_places = defaultdict(list)
        for code in sorted(ISO_4217):
            of_places[self.minor_places.get(code, minor_units(code))].append(code)
        of_places.pop(USUAL_PLACES)
        cases = " ".join(
            f"WHEN currency IN {texts_in(codes, fold=False)} THEN {number} * {Decimal(1).scaleb(-places):f}"
            for places, codes in of_places.items()
        )
        return f"(CASE {cases} ELSE {number} * {Decimal(1).scaleb(-USUAL_PLACES)} END)::{NUMBER}"

    def written(self, value: Value | None) -> str:
        """Return the expression of the text that a number is read from, null if it is made of several."""
        return "NULL::VARCHAR" if value is None or is_number(value) else self.text(value)

    def unreadable(self, value: Value | None) -> str:
        """Return the condition that a value has a text, or is made of one, that is no number."""
        match value:
            case None:
                return "false"
            case list() if is_number(value):
                return self._any_unreadable(value)
            case Sum():
                return self._any_unreadable(value.sum)
            case Absolute():
                return self.unreadable(value.abs)
            case Minus():
                return self.unreadable(value.minus)
            case Minor():
                return self.unreadable(value.minor)
            case Mapped() if is_number(value):
                return self._mapped(value, self.unreadable)
            case JsonSum():
                text, members = self.text(value.json_sum), self._members(value)
                numbers = f"len(list_filter({members}, lambda x: x IS NULL OR regexp_full_match(x, '{_EXACT}')))"
                added = (
                    f"CASE WHEN json_valid({text}) THEN {numbers} = json_array_length({text}) AND {text}[1] = '[' END"
                )
                return f"({text} IS NOT NULL AND NOT coalesce({added}, false))"
            case _:
                return f"({self.text(value)} IS NOT NULL AND {self.number(value)} IS NULL)"

    def _any_unreadable(self, values: Iterable[Value]) -> str:
        return "(" + " OR ".join(map(self.unreadable, values)) + ")"

    def _members(self, value: JsonSum) -> str:
        """Return the expression of the texts of a field over a list, null if it is no JSON."""
        text, path = self.text(value.json_sum), quoted(f"$[*].{json.dumps(value.of, ensure_ascii=False)}")
        return f"CASE WHEN json_valid({text}) THEN json_extract_string({text}, {path}) END"
