"""Statements that make live rows what is staged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Delete,
    Insert,
    Table,
    Update,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

from include.warehouse.connection.engine import set_local
from include.warehouse.schema.tables import FACT, loaded_columns, star_table

log = logging.getLogger(__name__)

_MERGE_COLUMNS = tuple(column.name for column in loaded_columns(FACT) if column.name not in {"sale_id", "batch_id"})


def overwrite(connection: Connection, name: str, staging: Table) -> int:
    """Change live rows to what is staged under the same key."""
    live = star_table(name)
    key = live.primary_key.columns.keys()[0]
    columns = [column.name for column in loaded_columns(name) if column.name != key]
    values = {column: cast(staging.c[column], live.c[column].type) for column in columns}
    statement = (
        update(live)
        .values(values)
        .where(
            live.c[key] == cast(staging.c[key], live.c[key].type),
            or_(*[live.c[column].is_distinct_from(value) for column, value in values.items()]),
        )
    )
    return written(connection, statement)


def delete_unstaged(
    connection: Connection, staging: Table, days: Sequence[date], condition: ColumnElement[bool]
) -> int:
    """Delete the facts of some days that meet `condition` and are not staged; return how many."""
    fact = star_table(FACT)
    day = func.unnest(bindparam("days", days, postgresql.ARRAY(Date))).table_valued("day").render_derived("d")
    vanished = delete(fact).where(
        fact.c.sold_at >= day.c.day,
        fact.c.sold_at < day.c.day + 1,
        condition,
        ~exists().where(cast(staging.c.sale_id, fact.c.sale_id.type) == fact.c.sale_id),
    )
    return written(connection, vanished)


def update_facts(connection: Connection, staging: Table) -> int:
    """Change lines that are live with other values; the batch that loaded a line first stays its owner."""
    fact = star_table(FACT)
    changed = [fact.c[name].is_distinct_from(staging.c[name]) for name in _MERGE_COLUMNS]
    statement = (
        update(fact)
        .values({name: staging.c[name] for name in _MERGE_COLUMNS})
        .where(fact.c.sale_id == cast(staging.c.sale_id, fact.c.sale_id.type), or_(*changed))
    )
    return written(connection, statement)


def insert_facts(connection: Connection, staging: Table, *, bulk: bool) -> int:
    """Add the lines that are not live yet; `bulk` if the dimensions are held and the caller checks the keys."""
    fact = star_table(FACT)
    live = fact.alias("live")
    sale_id = cast(staging.c.sale_id, fact.c.sale_id.type)
    columns = [column.name for column in loaded_columns(FACT)]
    rows = (
        select(*[cast(staging.c[name], fact.c[name].type) for name in columns])
        .where(~exists().where(live.c.sale_id == sale_id))
        .order_by(staging.c.sold_at, sale_id)  # lines of a day lie together, which is how they are read
    )
    statement = insert(fact).from_select(columns, rows)
    if not (bulk and suspend_row_checks(connection)):
        return written(connection, statement)
    inserted = written(connection, statement)
    set_local(connection, "session_replication_role", "origin")
    return inserted


def suspend_row_checks(connection: Connection) -> bool:
    """Turn per-row foreign key triggers off for this transaction, if the role may; return whether they are.

    The caller makes the same checks, set-based, and keeps others from changing the dimensions meanwhile.
    """
    try:
        with connection.begin_nested():
            set_local(connection, "session_replication_role", "replica")
    except ProgrammingError as error:
        log.info("Foreign keys are checked row by row, which is slower: %s", error.orig)
        return False
    return True


def written(connection: Connection, statement: Insert | Update | Delete) -> int:
    """Run a statement; return how many rows it wrote."""
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
