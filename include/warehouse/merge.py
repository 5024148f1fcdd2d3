"""How a staged dimension row is merged into the one that is live.

One rule a column. None looks at the order in which batches arrive, unless two batches say different things about the
same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, case, cast, func, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert

from include.warehouse.tables import UNKNOWN_KEY, star_table


@dataclass(frozen=True)
class Staged:
    """The staged value replaces the live one."""


@dataclass(frozen=True)
class Least:
    """The smaller value stays; null is no value."""


@dataclass(frozen=True)
class Greatest:
    """The greater value stays; null is no value."""


@dataclass(frozen=True)
class Newer:
    """The value of the row with the later `clock` column stays, the staged one on a tie; no clock is the earliest."""

    clock: str


Rule = Staged | Least | Greatest | Newer


@dataclass(frozen=True)
class Dimension:
    """Merge rules of one dimension.

    Attributes:
        table: Name of the table.
        key: Surrogate key.
        natural: Natural key; never changed.
        rules: Rule of every other column.
    """

    table: str
    key: str
    natural: str
    rules: dict[str, Rule]


DIMENSION_RULES = (
    Dimension(
        "dim_date",
        "date_key",
        "full_date",
        {
            "year": Staged(),
            "quarter": Staged(),
            "month": Staged(),
            "month_name": Staged(),
            "day": Staged(),
            "day_of_week": Staged(),
            "day_name": Staged(),
            "iso_week": Staged(),
            "is_weekend": Staged(),
        },
    ),
    Dimension("dim_country", "country_key", "country", {}),
    Dimension(
        "dim_product",
        "product_key",
        "stock_code",
        {
            "description": Newer("described_at"),
            "product_type": Staged(),
            "is_product": Staged(),
            "described_at": Greatest(),
            "first_sold_at": Least(),
            "last_sold_at": Greatest(),
        },
    ),
    Dimension(
        "dim_customer",
        "customer_key",
        "customer_id",
        {
            "country_key": Newer("last_invoice_at"),
            "first_invoice_at": Least(),
            "last_invoice_at": Greatest(),
        },
    ),
    Dimension(
        "dim_invoice",
        "invoice_key",
        "invoice_no",
        {"kind": Staged(), "first_line_at": Least(), "last_line_at": Greatest()},
    ),
)
"""The dimensions in the order they are written: a table comes after those it refers to."""


def merge_statement(dimension: Dimension, staging: Table) -> Insert:
    """Return the upsert of a staged dimension into the live one; rows that would not change are left alone."""
    live = star_table(dimension.table)
    columns = [column.name for column in live.columns]
    rows = (
        select(*[cast(staging.c[name], live.c[name].type) for name in columns])
        .where(staging.c[dimension.key] != UNKNOWN_KEY)
        .order_by(staging.c[dimension.key])
    )
    statement = insert(live).from_select(columns, rows)
    if not dimension.rules:
        return statement.on_conflict_do_nothing(index_elements=[dimension.key])
    merged = {name: _merged(rule, live, statement.excluded, name) for name, rule in dimension.rules.items()}
    changed = [live.c[name].is_distinct_from(value) for name, value in merged.items()]
    return statement.on_conflict_do_update(
        index_elements=[dimension.key],
        set_=merged,
        # A key that stands for another natural key is a collision, not a change: `collisions` reports it.
        where=and_(live.c[dimension.natural] == statement.excluded[dimension.natural], or_(*changed)),
    )


def _merged(rule: Rule, live: Table, staged: Any, name: str) -> ColumnElement[Any]:
    match rule:
        case Staged():
            value: ColumnElement[Any] = staged[name]
            return value
        case Least():
            return func.least(live.c[name], staged[name])
        case Greatest():
            return func.greatest(live.c[name], staged[name])
        case Newer(clock):
            newer = or_(live.c[clock].is_(None), staged[clock] >= live.c[clock])
            return case((newer, staged[name]), else_=live.c[name])


def collisions(dimension: Dimension, staging: Table) -> Any:
    """Return the query for staged natural keys that are missing under their own surrogate key after the merge."""
    live = star_table(dimension.table)
    natural = cast(staging.c[dimension.natural], live.c[dimension.natural].type)
    return (
        select(natural, live.c[dimension.natural], live.c[dimension.key])
        .join_from(staging, live, staging.c[dimension.key] == live.c[dimension.key], isouter=True)
        .where(staging.c[dimension.key] != UNKNOWN_KEY, natural.is_distinct_from(live.c[dimension.natural]))
        .limit(1)
    )
