"""Inserting many facts without their indices: making these afterwards takes a fraction of the time.

An index that is dropped locks the table until the transaction ends, also for readers. So this is done only where the
indices cost most: for a batch that outweighs what is live.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, func, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

from include.warehouse.connection.engine import set_local
from include.warehouse.connection.liveness import lock_timed_out
from include.warehouse.schema.tables import FACT, star_table

log = logging.getLogger(__name__)

OUTWEIGHS = 4
"""A batch outweighs the live facts if it is at least this many times as large."""

LOCK_SECONDS = 2.0
"""How long a publish waits for those who read the facts; readers that come later queue behind it."""

_MAY_REMAKE = """
SELECT pg_has_role(c.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relname = :table
"""


@contextmanager
def without_indices(connection: Connection, schema: str, staged: int) -> Iterator[None]:
    """Drop the indices of the facts, if it pays and the role may, and make them again on leaving.

    They stay if the batch does not outweigh what is live, if the role does not own the table, if somebody's foreign
    key or view needs the primary key, or if others read the table for too long. After an exception the caller's
    transaction has to be rolled back, which brings them back.

    Args:
        connection: In the transaction that inserts.
        schema: Schema of the warehouse.
        staged: Facts of the batch.
    """
    dropped = _outweighs_live(connection, staged) and _may_remake(connection, schema) and _drop(connection)
    yield
    if dropped:
        fact = star_table(FACT)
        connection.execute(AddConstraint(fact.primary_key, isolate_from_table=False))
        for index in fact.indexes:
            connection.execute(CreateIndex(index))


def _outweighs_live(connection: Connection, staged: int) -> bool:
    most = staged // OUTWEIGHS
    some = select(literal(1)).select_from(star_table(FACT)).limit(most + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() <= most


def _may_remake(connection: Connection, schema: str) -> bool:
    may: bool = connection.execute(text(_MAY_REMAKE), {"table": FACT, "schema": schema}).scalar_one()
    if not may:
        log.info("The facts are inserted with their indices, which is slower: the role may not make these again.")
    return may


def _drop(connection: Connection) -> bool:
    fact = star_table(FACT)
    patience = connection.execute(text("SELECT current_setting('lock_timeout')")).scalar_one()
    try:
        with connection.begin_nested():
            set_local(connection, "lock_timeout", f"{round(LOCK_SECONDS * 1000)}ms")
            connection.execute(DropConstraint(fact.primary_key))
            for index in fact.indexes:
                connection.execute(DropIndex(index, if_exists=True))
    except DBAPIError as error:
        if not (lock_timed_out(error) or isinstance(error.orig, DependentObjectsStillExist)):
            raise
        log.info("The facts are inserted with their indices, which is slower: %s", error.orig)
        return False
    set_local(connection, "lock_timeout", patience)
    return True
