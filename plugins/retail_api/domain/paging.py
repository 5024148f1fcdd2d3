"""Pages, requests that take no parameters they do not know, and cursors."""

from __future__ import annotations

import base64
import re
from datetime import date
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from include.domain.model import Model
from include.settings import get_settings

DEFAULT_SIZE = 20
MAX_SIZE = 500
MAX_PAGE = 1_000_000_000


def _iso_day(value: Any) -> Any:
    """Return `value` if it is a day: numbers are no moments here.

    Raises:
        ValueError: Saying how to write a day.
    """
    written = isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
    if not written and type(value) is not date:
        raise ValueError("write a day as YYYY-MM-DD, such as 2011-01-04")
    return value


Day = Annotated[date, BeforeValidator(_iso_day)]
"""A day, written YYYY-MM-DD and in no other way."""


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it has characters that cannot be seen")
    return value


Printable = AfterValidator(_printable)
"""Refuses a text with characters that cannot be seen."""

EntityT = TypeVar("EntityT")
CursorT = TypeVar("CursorT", bound=BaseModel)


class Entity(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(frozen=True)


class Parameters(Model):
    """Base of what a request may ask: a parameter that is not listed is refused. By itself, it takes none."""

    model_config = ConfigDict(frozen=True)


class Paging(Parameters):
    """Which page of how many items."""

    page: int = Field(1, ge=1, le=MAX_PAGE, description="Page, from 1; one beyond the last is empty.", examples=[1])
    size: int = Field(DEFAULT_SIZE, ge=1, le=MAX_SIZE, description="Items a page.", examples=[20])

    @property
    def offset(self) -> int:
        """Items before the page."""
        return (self.page - 1) * self.size


class Days(Parameters):
    """A range of invoice days."""

    date_from: Day | None = Field(None, description="First invoice day; all if left out.", examples=["2010-12-01"])
    date_to: Day | None = Field(None, description="Last invoice day, itself included.", examples=["2010-12-31"])

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if self.date_from and self.date_to and self.date_from > self.date_to:
            raise ValueError("date_from is after date_to: exchange them")
        return self


BaseCurrency = Annotated[
    str,
    Field(
        default_factory=lambda: get_settings().base_currency,
        description="Code of the base currency, which amounts are in unless their names say otherwise.",
        examples=["GBP"],
    ),
]
"""A field that says what the money of an answer is in."""


class Page(Entity, Generic[EntityT]):
    """One page of what was found."""

    items: list[EntityT]
    total: int = Field(description="Items on all pages, counted exactly.", examples=[3])
    page: int | None = Field(description="This page; null where a cursor was followed.", examples=[1])
    size: int = Field(description="Items a page was asked to have.", examples=[20])
    pages: int = Field(description="Pages there are.", examples=[1])


def pages_of(total: int, size: int) -> int:
    """Return how many pages `total` items fill."""
    return -(-total // size)


def page_of(items: list[EntityT], total: int, paging: Paging) -> Page[EntityT]:
    """Return the page that was asked for, with `items` of the `total` that there are."""
    return Page(items=items, total=total, page=paging.page, size=paging.size, pages=pages_of(total, paging.size))


def encode_cursor(cursor: BaseModel) -> str:
    """Return a cursor as it stands in a URL."""
    return base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def decode_cursor(text: str, kind: type[CursorT]) -> CursorT:
    """Return the cursor that `encode_cursor` has written.

    Raises:
        ValueError: If it is none.
    """
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return kind.model_validate_json(content)
    except ValueError as error:
        raise ValueError("it is not one that this API gave: take next_cursor of an answer as it is") from error
