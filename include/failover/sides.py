"""The two sides of the warehouse, each opened by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from include.failover import replica
from include.failover.published import PUBLISH_LIMIT_SECONDS
from include.failover.state import Side
from include.settings import Settings
from include.warehouse import STATEMENT_TIMEOUT_SECONDS, transaction, watched_engine

SIDES: tuple[Side, ...] = ("primary", "replica")


def sides(settings: Settings) -> tuple[Side, ...]:
    """Return the sides the warehouse has."""
    return ("replica",) if settings.database_type == "sqlite" else SIDES


@contextmanager
def open_side(settings: Settings, side: Side) -> Iterator[Connection]:
    """Yield a connection that reads one side, whether it serves or not.

    Raises:
        ReplicaUnusable: If the replica is missing, damaged or of an older version.
        WarehouseUnavailable: If the primary does not answer.
    """
    if side == "replica":
        with replica.reading(settings) as connection:
            yield connection
        return
    with (
        watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine,
        transaction(engine, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as connection,
    ):
        yield connection
