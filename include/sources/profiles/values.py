"""Where the values of a line come from: what a source profile may say for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator
from typing_extensions import TypeAliasType

from include.domain.model import Model

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=200)]


def folded(name: str) -> str:
    """Return the name of a column as profiles compare it: without case and surplus white space."""
    return " ".join(name.split()).casefold()


class Constant(Model):
    """A text that is the same on every row."""

    text: Text


class Mapped(Model):
    """The value that stands for the text of a column; for texts that are not listed, `otherwise`."""

    column: Name
    map: dict[Text, Value] = Field(min_length=1)
    otherwise: Value | None = None

    @field_validator("map")
    @classmethod
    def _alike(cls, value: dict[str, Any]) -> dict[str, Any]:
        check_distinct(value)
        return value


class Joined(Model):
    """Values one after the other, those that are empty left out."""

    join: list[Value] = Field(min_length=2)
    with_: Text = Field(" ", alias="with")


class Split(Model):
    """A part of a column's text, counted from 1, or from the end by a negative number."""

    column: Name
    split: Annotated[str, Field(min_length=1, max_length=20)]
    part: Annotated[int, Field(ge=-50, le=50)]

    @field_validator("part")
    @classmethod
    def _counted_from_one(cls, value: int) -> int:
        if value == 0:
            raise ValueError("parts are counted from 1, or from -1 for the last")
        return value


class Sum(Model):
    """Numbers added; what is empty counts as 0, unless all are."""

    sum: list[Value] = Field(min_length=2)


class JsonSum(Model):
    """A number added up over a list that JSON holds in a field."""

    json_sum: Name
    of: Name


class Absolute(Model):
    """A number without its sign."""

    abs: Value


class Minus(Model):
    """A number with the opposite sign."""

    minus: Value


class Minor(Model):
    """An amount given in the smallest unit of its currency, such as pennies."""

    minor: Value


class Code(Model):
    """A text made fit to be a code: other characters than letters, digits and `_.@-` become `-`."""

    code: Value


_SHAPES: dict[str, type[Model]] = {
    "text": Constant,
    "map": Mapped,
    "join": Joined,
    "split": Split,
    "sum": Sum,
    "json_sum": JsonSum,
    "abs": Absolute,
    "minus": Minus,
    "minor": Minor,
    "code": Code,
}


def _shape(value: Any) -> str:
    """Return which kind of value it is, by its members."""
    if isinstance(value, str):
        return "column"
    if isinstance(value, list):
        return "first"
    known = (
        name for name, kind in _SHAPES.items() if isinstance(value, kind) or (isinstance(value, dict) and name in value)
    )
    return next(known, "unknown")


if TYPE_CHECKING:  # which mypy reads as an alias of itself, and Pydantic cannot
    Value: TypeAlias = (
        "str | list[Value] | Constant | Mapped | Joined | Split | Sum | JsonSum | Absolute | Minus | Minor | Code"
    )
else:
    Value = TypeAliasType(
        "Value",
        Annotated[
            Annotated[Name, Tag("column")]
            | Annotated[Annotated[list["Value"], Field(min_length=1)], Tag("first")]
            | Annotated[Constant, Tag("text")]
            | Annotated[Mapped, Tag("map")]
            | Annotated[Joined, Tag("join")]
            | Annotated[Split, Tag("split")]
            | Annotated[Sum, Tag("sum")]
            | Annotated[JsonSum, Tag("json_sum")]
            | Annotated[Absolute, Tag("abs")]
            | Annotated[Minus, Tag("minus")]
            | Annotated[Minor, Tag("minor")]
            | Annotated[Code, Tag("code")],
            Discriminator(
                _shape,
                custom_error_type="unknown_value",
                custom_error_message="a value is the name of a column, a list of values, or one of "
                "{text}, {column, map}, {join}, {column, split, part}, {code}, {sum}, {json_sum, of}, {abs}, {minus}, "
                "{minor}",
            ),
        ],
    )
"""Where a value comes from."""


def sources_of(value: Value | None) -> Iterator[str]:
    """Yield the columns that a value is made of."""
    match value:
        case str():
            yield value
        case list():
            for part in value:
                yield from sources_of(part)
        case Mapped():
            yield value.column
            for mapped in (*value.map.values(), value.otherwise):
                yield from sources_of(mapped)
        case Split():
            yield value.column
        case Joined():
            yield from sources_of(value.join)
        case Sum():
            yield from sources_of(value.sum)
        case JsonSum():
            yield value.json_sum
        case Absolute():
            yield from sources_of(value.abs)
        case Minus():
            yield from sources_of(value.minus)
        case Minor():
            yield from sources_of(value.minor)
        case Code():
            yield from sources_of(value.code)


def is_number(value: Value | None) -> bool:
    """Return whether a value can only be a number."""
    match value:
        case Sum() | JsonSum() | Absolute() | Minus() | Minor():
            return True
        case list():
            return any(map(is_number, value))
        case Joined():
            return any(map(is_number, value.join))
        case Mapped():
            return any(map(is_number, (*value.map.values(), value.otherwise)))
    return False


def lacking(value: Value | None, present: Callable[[str], bool]) -> list[str]:
    """Return the columns of a value that are not there; of alternatives none, if one of them is whole."""
    if not isinstance(value, list):
        return [name for name in sources_of(value) if not present(name)]
    alternatives = [(list(sources_of(part)), lacking(part, present)) for part in value]
    if any(names and not absent for names, absent in alternatives):
        return []
    return [name for _, absent in alternatives for name in absent]


def check_distinct(texts: Iterable[str]) -> None:
    """Check that no two texts are the same without case.

    Raises:
        ValueError: If two are.
    """
    seen: set[str] = set()
    for text in texts:
        if folded(text) in seen:
            raise ValueError(f"{text!r} is listed twice")
        seen.add(folded(text))
