"""How a file writes quantities and prices: its decimal mark is decided once, then every number is read with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from include.domain.money import PRINTED_PLACES
from include.sources.defects import reject
from include.sources.model import FileDecisions

DecimalMark = Literal[".", ","]
MarkSetting = Literal["auto", "point", "comma"]

_MINUS = str.maketrans(dict.fromkeys("\u2212\u2013\u2012\ufe63\uff0d", "-") | dict.fromkeys("\u00a0\u202f\u2009", " "))
_CURRENCY = r"(?P<currency{0}>[A-Z]{{0,2}}[$£€¥₹₤₺₽₩₪]|[A-Z]{{3}}|kr\.?|zł|Fr\.)"
_SHAPE = re.compile(
    rf"(?P<open>\()?\s*(?P<before>[+-])?\s*{_CURRENCY.format(1)}?\s*(?P<between>[+-])?\s*(?P<inner>\()?\s*"
    rf"(?P<body>[0-9.,'\u2019 ]*[0-9][0-9.,'\u2019 ]*?(?:E[+-]?[0-9]{{1,2}})?)\s*(?P<close>\))?\s*"
    rf"{_CURRENCY.format(2)}?"
    r"\s*(?P<after>-|CR)?\s*(?P<outer>\))?",
    re.IGNORECASE,
)
_GROUPS = {mark: rf"[0-9]{{1,3}}(?:{mark}[0-9]{{2,3}})*{mark}[0-9]{{3}}" for mark in (",", r"\.", " ", "['\u2019]")}
_PLAIN = re.compile(r"[+-]?[0-9]{1,10}(\.[0-9]{1,6})?")

_AMBIGUOUS = re.compile(r"[1-9][0-9]{0,2}[.,][0-9]{3}")
_EVIDENCE = {
    mark: re.compile(
        rf"(?:[0-9]{{1,3}}(?:[{re.escape(other)} '\u2019][0-9]{{2,3}})*[{re.escape(other)} '\u2019][0-9]{{3}}|[0-9]*)"
        rf"{re.escape(mark)}(?:[0-9]{{1,2}}|[0-9]{{4,}})|0?{re.escape(mark)}[0-9]+|[0-9]{{4,}}{re.escape(mark)}[0-9]+"
        rf"|[0-9]{{1,3}}(?:{re.escape(other)}[0-9]{{3}}){{2,}}"
        rf"|[0-9]{{1,3}}(?:[{re.escape(other)} '\u2019][0-9]{{3}})+{re.escape(mark)}[0-9]+"
    )
    for mark, other in ((".", ","), (",", "."))
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number as a file writes it.

    Attributes:
        text: In canonical form: sign, digits, point, digits.
        currency: Sign or code of a currency that stands with it, in upper case.
    """

    text: str
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class NumberStyle:
    """How the numbers of a file are read."""

    mark: DecimalMark = "."

    def read(self, text: str) -> Number | None:
        """Return the number that trimmed `text` is, None if it is none in this style.

        Thousands marks, currency signs and codes, brackets or a trailing minus for a negative amount and exponents are
        read; nothing is rounded.
        """
        if self.mark == "." and _PLAIN.fullmatch(text):
            return Number(text)
        found = _SHAPE.fullmatch(text.translate(_MINUS))
        if not found:
            return None
        brackets = [found[name] is not None for name in ("open", "inner", "close", "outer")]
        minuses = [found[name] for name in ("before", "between", "after") if found[name] not in {None, "+"}]
        if brackets[0] + brackets[1] != brackets[2] + brackets[3] or sum(brackets) not in {0, 2}:
            return None
        if len(minuses) + bool(sum(brackets)) > 1 or (found["currency1"] and found["currency2"]):
            return None
        body, _, exponent = found["body"].upper().partition("E")
        digits = self._digits(body.strip())
        if digits is None:
            return None
        if exponent:
            digits = f"{Decimal(digits).scaleb(int(exponent)):f}"
        sign = "-" if minuses or any(brackets) else ""
        currency = found["currency1"] or found["currency2"]
        return Number(sign + _shortened(digits), currency.upper() if currency else None)

    def _digits(self, body: str) -> str | None:
        """Return digits with a decimal point, None if the thousands marks are not where they belong."""
        whole, _, decimals = body.partition(self.mark)
        if decimals and not decimals.isdecimal():
            return None
        if whole and not whole.isdecimal():
            group = r"\." if self.mark == "," else ","
            if not any(re.fullmatch(_GROUPS[mark], whole) for mark in (group, " ", "['\u2019]")):
                return None
            whole = re.sub(r"[^0-9]", "", whole)
        return f"{whole or '0'}.{decimals}" if decimals else whole or None


def _shortened(digits: str) -> str:
    """Return a number without the zeros beyond its fourth decimal place, and without a point at its end."""
    whole, _, decimals = digits.partition(".")
    kept = decimals[:PRINTED_PLACES] + decimals[PRINTED_PLACES:].rstrip("0")
    return f"{whole}.{kept}" if kept else whole


def decide_numbers(numbers: Mapping[str, int], decisions: FileDecisions, setting: MarkSetting) -> NumberStyle:
    """Return the style of quantities and prices: a point, unless more of them make sense only with a comma.

    Args:
        numbers: Trimmed texts and how often each occurs, in the order of the file.
        decisions: Gets the decimal mark, and a warning where numbers contradict each other.
        setting: Mark of files in which nothing tells.

    Raises:
        SourceRejected: ambiguous_numbers, if 1.234 may be a thousand and nothing else tells.
    """
    bodies = {text: _body(text) for text in numbers}
    counted = {
        mark: sum(count for text, count in numbers.items() if _EVIDENCE[mark].fullmatch(bodies[text]))
        for mark in (".", ",")
    }
    either = next((text for text in numbers if _AMBIGUOUS.fullmatch(bodies[text])), None)
    if setting != "auto" and not any(counted.values()):
        decisions.decimal_mark = "." if setting == "point" else ","
    else:
        decisions.decimal_mark = "," if counted[","] > counted["."] else "."
        if either is not None and counted["."] == counted[","] and _may_have_either(decisions):
            raise reject("ambiguous_numbers", value=either)
    if all(counted.values()):
        many = decisions.decimal_mark
        few: DecimalMark = "," if many == "." else "."
        names = {".": "point", ",": "decimal comma"}
        decisions.warnings.append(
            f"{counted[few]} numbers are written with a {names[few]}, unlike {counted[many]} others; those lines are "
            "kept out."
        )
    return NumberStyle(decisions.decimal_mark)


def _may_have_either(decisions: FileDecisions) -> bool:
    """Return whether the file's format leaves the mark open: data formats and commas between values do not."""
    return decisions.format == "pdf" or (decisions.format == "csv" and decisions.delimiter != ",")


def _body(text: str) -> str:
    found = _SHAPE.fullmatch(text.translate(_MINUS))
    return found["body"].strip() if found else ""
