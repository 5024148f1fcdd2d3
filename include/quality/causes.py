"""Why a value cannot be read, told from the value itself: what stands in it, and what has probably happened to it."""

from __future__ import annotations

import re
import unicodedata
from zoneinfo import ZoneInfo

from include.domain.line import trim
from include.domain.money import MONEY_PLACES, QUANTITY_PLACES
from include.sources.dates import styles_reading
from include.sources.defects import shortened
from include.sources.numbers import DecimalMark, NumberStyle

_CODES = {"invoice": "#_./-", "stock_code": "#_./- ", "customer_id": "#_.@-"}
"""Column of codes -> characters that its codes may have beside letters and digits."""
_CODE_LENGTH = 64
_TEXT_LENGTHS = {"description": 500, "country": 60}
_DIGITS = {"quantity": 9, "price": 10, "line_amount": 12}
"""Column of numbers -> digits that they may have before the decimals (`include.domain.line.FORMS`)."""
_PLACES = {"quantity": QUANTITY_PLACES, "price": MONEY_PLACES, "line_amount": MONEY_PLACES}
_MARKS: tuple[DecimalMark, ...] = (".", ",")

_EXPONENT = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?E[+-]?[0-9]+", re.IGNORECASE)
_ERROR = re.compile(r"#(REF|VALUE|NAME|NUM|NULL|DIV/0)[!?]?|#N/A|#{3,}", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9.,'\u2019+() \u00a0-]+")
_LIKE_DIGITS = str.maketrans({"O": "0", "o": "0", "l": "1", "I": "1"})
_SIGN_BEHIND = re.compile(r".*[0-9]\s*(\+|DR)", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+(?:\s+[^\W\d_]+)*")
_THREE_NUMBERS = re.compile(r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}(?![0-9])")
_LATE_DAY = re.compile(r"\b(29|30|31)\b")
_ANYWHERE = ZoneInfo("UTC")


def cause(column: str, value: str | None) -> str:
    """Return in a sentence or two why a value of a canonical column cannot be read; "" if it does not tell.

    Args:
        column: Canonical column, or `line_amount`.
        value: As the file writes it.
    """
    text = trim(value)
    if text is None:
        return ""
    if _ERROR.fullmatch(text):
        return f"{text} is what a spreadsheet shows for a formula without a result or a column that is too narrow."
    if column in _CODES:
        return _of_code(text, _CODES[column])
    if column in _TEXT_LENGTHS:
        return f"It has {len(text):,} characters." if len(text) > _TEXT_LENGTHS[column] else ""
    return _of_date(text) if column == "invoice_date" else _of_number(text, column)


def _of_code(text: str, others: str) -> str:
    if _EXPONENT.fullmatch(text):
        return (
            "A spreadsheet changed the code to a number; the original digits are lost. "
            "Format the column as text and export again."
        )
    for character in text:
        if not (character.isascii() and character.isalnum()) and character not in others:
            return f"It holds {_named(character)}."
    if len(text) > _CODE_LENGTH:
        return f"It has {len(text):,} characters."
    return f"It begins with {_named(text[0])}." if not text[0].isalnum() and text[0] != "#" else ""


def _of_number(text: str, column: str) -> str:
    numbers = [number for mark in _MARKS if (number := NumberStyle(mark).read(text))]
    for number in numbers:
        digits, _, decimals = number.text.partition(".")
        if len(digits.lstrip("-")) > _DIGITS[column]:
            return f"It has {len(digits.lstrip('-'))} digits before the decimals."
        if number.currency:
            of = "" if column == "quantity" else ", which is no sign of the base currency,"
            return f"{number.currency}{of} stands beside the number."
        if len(decimals) > _PLACES[column]:
            return f"It has {len(decimals)} decimals, and nothing is rounded."
    if numbers:
        return "Its decimal or thousands mark is not that of the rest of the file."
    repaired = text.translate(_LIKE_DIGITS)
    if repaired != text and any(NumberStyle(mark).read(repaired) for mark in _MARKS):
        return f"It holds the letter {_first_change(text, repaired)} in the place of a digit."
    if _SIGN_BEHIND.fullmatch(text):
        return "Its sign stands behind the number."
    if not re.search(r"\d", text):
        return f"It is text: {shortened(text, 30)!r}."
    words = _WORDS.search(text)
    if words:
        return f"It holds text beside the number: {shortened(words[0], 30)!r}."
    return _strange(text, _NUMBER) or _of_marks(text)


def _of_marks(text: str) -> str:
    if len(re.findall("[.,]", text)) > 1:
        return "It has more than one mark, so it is unclear where the decimals begin."
    if len(re.findall("[+-]", text)) > 1:
        return "It has more than one sign."
    return f"It holds {_named(_first(text, re.compile('[0-9.,]')))} where none belongs."


def _of_date(text: str) -> str:
    if styles_reading(text, _ANYWHERE):
        return "It is a date, but not in the style of the rest of the file."
    repaired = text.translate(_LIKE_DIGITS)
    if repaired != text and styles_reading(repaired, _ANYWHERE):
        return f"It holds the letter {_first_change(text, repaired)} in the place of a digit."
    if styles_reading(_LATE_DAY.sub("28", text), _ANYWHERE):
        return f"There is no such day as {shortened(text, 30)}."
    found = _THREE_NUMBERS.match(text)
    if found:
        day = found[0]
        if styles_reading(day, _ANYWHERE):
            return f"What follows the day, {shortened(text[len(day) :].strip(), 30)!r}, is no time of day."
        if re.search("[0-9]{4}", day):
            return f"There is no such day as {day}."
        return "Its year has two digits, and neither order of day and month makes a day of it."
    if not re.search(r"\d", text):
        return f"It is text: {shortened(text, 30)!r}."
    return _strange(text, re.compile(r"[\w\s.,:/+-]+", re.ASCII))


def _strange(text: str, usual: re.Pattern[str]) -> str:
    """Return a sentence about the first character that is not usual, "" if all are."""
    return "" if usual.fullmatch(text) else f"It holds {_named(_first(text, usual))}."


def _first(text: str, usual: re.Pattern[str]) -> str:
    """Return the first character of `text` that is not usual by itself, the first of all if each is."""
    return next((character for character in text if not usual.fullmatch(character)), text[0])


def _first_change(text: str, repaired: str) -> str:
    return next(old for old, new in zip(text, repaired, strict=True) if old != new)


def _named(character: str) -> str:
    """Return what a character is, as many look alike or cannot be seen."""
    if character == " ":
        return "a space"
    if character.isascii() and character.isprintable():
        return f"the character {character!r}"
    name = unicodedata.name(character, "control character").lower()
    shown = f"{character!r}, " if character.isprintable() else ""
    return f"the character {shown}{name} (U+{ord(character):04X})"
