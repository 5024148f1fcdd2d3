"""What a source profile may say. docs/profiles/reference.md explains each part with examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from typing_extensions import TypeAliasType

from include.domain.model import Model
from include.sources.dates import DateSetting
from include.sources.model import CANONICAL_COLUMNS, Format
from include.sources.numbers import MarkSetting

MAX_BY_TOTAL = 3
"""Charges that the total may decide about: each doubles the sums it is compared with."""

Outcome = Literal["counts", "left_out", "reversed", "refused"]
Per = Literal["line", "invoice"]
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
        _check_distinct(value)
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


class Recognise(Model):
    """How a file of this layout is known.

    Attributes:
        columns: Names it has, all of them.
        formats: Formats it comes in; empty for any.
        files: Patterns of its name, such as `till-*.csv`; empty for any.
    """

    columns: list[Name] = Field(min_length=1)
    formats: list[Format] = Field(default_factory=list)
    files: list[Name] = Field(default_factory=list)


class Columns(Model):
    """Where the values of a line come from; see `include.sources.model.CANONICAL_COLUMNS`.

    Attributes:
        amount: What the line costs in all. With it, `price` may be left out: it is amount / quantity then.
        currency: ISO 4217 code.
    """

    invoice: Value
    stock_code: Value
    description: Value | None = None
    quantity: Value
    invoice_date: Value
    price: Value | None = None
    amount: Value | None = None
    customer_id: Value | None = None
    country: Value | None = None
    currency: Value | None = None

    @model_validator(mode="after")
    def _worth(self) -> Columns:
        if self.price is None and self.amount is None:
            raise ValueError("price or amount is needed: what one unit costs, or what the line costs in all")
        for name in Columns.model_fields:
            if name not in {"quantity", "price", "amount"} and is_number(getattr(self, name)):
                raise ValueError(f"{name} is a text and cannot be a sum or a number without its sign")
        return self


class Values(Model):
    """How values are written, where the file leaves it open or says it wrong.

    Attributes:
        time_zone: Zone of dates without an offset; they are brought to the shop's.
    """

    date_order: DateSetting = "auto"
    decimal_mark: MarkSetting = "auto"
    time_zone: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone such as Europe/London")
        return value


class Status(Model):
    """A column that says whether a row is a sale; texts are compared without case.

    Attributes:
        counts: Texts of rows that are loaded.
        left_out: Of rows that are not, and are told in the receipt.
        reversed: Of rows that are loaded with the opposite sign.
        otherwise: What becomes of other texts, and of none; `refused` keeps the row out and reports it.
    """

    column: Value
    counts: list[Text] = Field(default_factory=list)
    left_out: list[Text] = Field(default_factory=list)
    reversed: list[Text] = Field(default_factory=list)
    otherwise: Outcome = "refused"

    def outcomes(self) -> dict[str, Outcome]:
        """Return text -> what becomes of rows with it."""
        lists: tuple[tuple[Outcome, list[str]], ...] = (
            ("counts", self.counts),
            ("left_out", self.left_out),
            ("reversed", self.reversed),
        )
        return {text: outcome for outcome, texts in lists for text in texts}

    @model_validator(mode="after")
    def _alike(self) -> Status:
        _check_distinct([*self.counts, *self.left_out, *self.reversed])
        return self


class When(Model):
    """A condition: the column has one of the texts, compared without case."""

    column: Value
    is_: list[Text] = Field(alias="is", min_length=1)


class Charge(Model):
    """An amount beside the goods that becomes a line of its own.

    Attributes:
        code: Stock code of the line.
        description: Of the line; by default the column's name.
        sign: What a positive number does to the invoice's total.
        per: `line` if each row has its own, `invoice` if the first one of an invoice is that of the whole invoice.
        included: `never` if it is added to the price of the goods; `by_total` if the invoice's total decides.
        when: Rows on which it is added; all by default.
    """

    column: Value
    code: Annotated[str, Field(pattern=r"^[0-9A-Z][0-9A-Z _./-]{0,63}$")]
    description: Text | None = None
    sign: Annotated[Literal[1, -1], BeforeValidator(int)] = 1
    per: Per = "line"
    included: Literal["never", "by_total"] = "never"
    when: When | None = None


class Total(Model):
    """A sum that must equal the lines and charges it stands for."""

    column: Value
    per: Per = "invoice"


class Profile(Model):
    """A declared layout.

    Attributes:
        name: Its name, that of its file.
        title: What it is, for people.
        source: Address of the description it was made to.
        known: Columns that the sender may have besides; of money, they are looked at all the same.
        ignored: Columns of money that are explained by others and add nothing.
        strict: Whether a file with other columns, or without one of those named, is refused.
        lines: In JSON, the path of the list of lines below each invoice.
        defaults: Canonical column, or currency -> text where there is none.
        fill_down: Columns whose first value in an invoice holds for all its rows.
        carry: Columns whose value holds for the rows below it, of whatever invoice.
        repeats: Whether equal rows of a file are one sale, or each one of its own.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
    title: Text
    source: Annotated[str, Field(max_length=500)] | None = None
    recognise: Recognise
    known: list[Name] = Field(default_factory=list)
    ignored: list[Name] = Field(default_factory=list)
    strict: bool = False
    lines: Name | None = None
    columns: Columns
    defaults: dict[Literal["country", "currency", "description", "customer_id"], Text] = Field(default_factory=dict)
    fill_down: list[Name] = Field(default_factory=list)
    carry: list[Name] = Field(default_factory=list)
    values: Values = Field(default_factory=Values)
    statuses: list[Status] = Field(default_factory=list)
    charges: list[Charge] = Field(default_factory=list)
    total: Total | None = None
    repeats: Literal["once", "each"] = "once"

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        by_total = [charge for charge in self.charges if charge.included == "by_total"]
        if by_total and (self.total is None or self.total.per != "invoice"):
            raise ValueError("charges that are included by_total need a total per invoice")
        if len(by_total) > MAX_BY_TOTAL:
            raise ValueError(f"at most {MAX_BY_TOTAL} charges can be included by_total")
        return self

    @property
    def only_names(self) -> bool:
        """Whether it does nothing but name columns, so that its rows are lines as they are.

        A name with points may be a path.
        """
        values = [value for name in Columns.model_fields if (value := getattr(self.columns, name)) is not None]
        makes_more = (self.defaults, self.fill_down, self.carry, self.statuses, self.charges, self.total, self.lines)
        return (
            len(self.direct()) == len(values)
            and not any("." in name for name in self.direct())
            and not any(makes_more)
            and self.values.time_zone is None
            and self.repeats == "once"
        )

    def direct(self) -> dict[str, str]:
        """Return folded name of a column -> canonical column that it simply is."""
        found: dict[str, str] = {}
        for column in CANONICAL_COLUMNS:
            value = getattr(self.columns, column)
            if isinstance(value, str):
                found.setdefault(folded(value), column)
        return found

    def with_settings(self, date_order: DateSetting, decimal_mark: MarkSetting) -> Profile:
        """Return the profile with these settings where it leaves them open."""
        own = {name: value for name, value in self.values.model_dump().items() if value != "auto"}
        values = Values(**{"date_order": date_order, "decimal_mark": decimal_mark, **own})
        return self.model_copy(update={"values": values})

    def unexplained(self, names: Iterable[str]) -> list[str]:
        """Return the columns among `names` of which the profile does not say what they do to the money."""
        explained = with_parents((*self.used(), *self.ignored))
        return [name for name in names if folded(name) not in explained]

    def used(self) -> list[str]:
        """Return the columns that make the lines, without repetition."""
        names = (name for value in self._values() for name in sources_of(value))
        return list(dict.fromkeys([*names, *self.fill_down, *self.carry]))

    def lacking(self, present: Callable[[str], bool]) -> list[str]:
        """Return the columns that make the lines and are not there, but for those that another one stands in for."""
        return list(dict.fromkeys(name for value in self._values() for name in _lacking(value, present)))

    def _values(self) -> Iterator[Value | None]:
        yield from (getattr(self.columns, name) for name in Columns.model_fields)
        yield from (status.column for status in self.statuses)
        yield from (charge.column for charge in self.charges)
        yield from (charge.when.column for charge in self.charges if charge.when)
        yield self.total.column if self.total else None


def with_parents(names: Iterable[str]) -> set[str]:
    """Return names, folded, and for paths those of all that is around: a.b.c is in a.b and in a."""
    steps = (folded(name).split(".") for name in names)
    return {".".join(path[:length]) for path in steps for length in range(1, len(path) + 1)}


def _lacking(value: Value | None, present: Callable[[str], bool]) -> list[str]:
    if not isinstance(value, list):
        return [name for name in sources_of(value) if not present(name)]
    alternatives = [(list(sources_of(part)), _lacking(part, present)) for part in value]
    if any(names and not absent for names, absent in alternatives):
        return []
    return [name for _, absent in alternatives for name in absent]


def _check_distinct(texts: Iterable[str]) -> None:
    """Check that no two texts are the same without case.

    Raises:
        ValueError: If two are.
    """
    seen: set[str] = set()
    for text in texts:
        if folded(text) in seen:
            raise ValueError(f"{text!r} is listed twice")
        seen.add(folded(text))
