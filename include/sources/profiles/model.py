"""What a source profile may say. docs/profiles/reference.md explains each part with examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import BeforeValidator, Field, field_validator, model_validator

from include.domain.model import Model
from include.domain.money import ISO_4217, MONEY_PLACES
from include.sources.dates import DateSetting
from include.sources.model import CANONICAL_COLUMNS, Format
from include.sources.numbers import MarkSetting
from include.sources.profiles.values import (
    Name,
    Text,
    Value,
    check_distinct,
    folded,
    is_number,
    lacking,
    sources_of,
)

MAX_BY_TOTAL = 3
"""Charges that the total may decide about: each doubles the sums it is compared with."""

Outcome = Literal["counts", "left_out", "reversed", "refused"]
Per = Literal["line", "invoice"]


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
        minor_places: Currency -> decimal places of the unit that the sender takes for its smallest, if ISO 4217 has
            others.
    """

    date_order: DateSetting = "auto"
    decimal_mark: MarkSetting = "auto"
    time_zone: str | None = None
    minor_places: dict[str, Annotated[int, Field(ge=0, le=MONEY_PLACES)]] = Field(default_factory=dict)

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone such as Europe/London")
        return value

    @field_validator("minor_places")
    @classmethod
    def _currencies(cls, value: dict[str, int]) -> dict[str, int]:
        for code in value:
            if code not in ISO_4217:
                raise ValueError(f"{code!r} is no currency code of ISO 4217 such as JPY")
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
        check_distinct([*self.counts, *self.left_out, *self.reversed])
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
        return list(dict.fromkeys(name for value in self._values() for name in lacking(value, present)))

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
