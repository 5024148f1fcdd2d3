"""How a staged dimension row is merged into the one that is live."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, String, Table, and_, case, cast, collate, func, or_, select
from sqlalchemy.dialects.postgresql import Insert, insert

from include.domain.star import UNKNOWN_KEY, Dimension, Fixed, Greatest, Least, Newer, Rule
from include.warehouse.schema.tables import star_table


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
        case Fixed():
            value: ColumnElement[Any] = staged[name]
            return value
        case Least():
            return func.least(live.c[name], staged[name])
        case Greatest():
            return func.greatest(live.c[name], staged[name])
        case Newer(clock):
            newer = or_(
                live.c[clock].is_(None),
                staged[clock] > live.c[clock],
                and_(staged[clock] == live.c[clock], _ordered(staged[name]) > _ordered(live.c[name])),
            )
            return case((newer, staged[name]), else_=live.c[name])


def _ordered(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return `column` so that text compares by code point, as Spark compares it, whatever the database's collation."""
    return collate(column, "C") if isinstance(column.type, String) else column


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
