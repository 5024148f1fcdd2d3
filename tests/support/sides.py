"""What lies on the two sides of the warehouse and in Gold, to compare."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from include.domain.star import DIMENSION_RULES
from include.failover.figures import Scope, fact_hashes, member_hashes
from include.failover.repair import compare_sides
from include.failover.sides import open_side
from include.failover.state import Side
from include.settings import Settings
from include.warehouse.gold import GoldStar
from include.warehouse.schema.tables import star_table


def totals_of(connection: Connection) -> dict[str, Any]:
    """Return rows and GBP of the facts."""
    fact = star_table("fact_sales")
    rows, amount = connection.execute(select(func.count(), func.sum(fact.c.amount))).one()
    return {"rows": rows, "amount": amount}


def contents(settings: Settings, side: Side | None) -> dict[str, Any]:
    """Return the row hash of every fact and member of a side, or of Gold."""
    if side is None:
        with GoldStar(settings) as gold:
            return _hashes(gold, settings)
    with open_side(settings, side) as connection:
        return _hashes(connection, settings)


def _hashes(source: Any, settings: Settings) -> dict[str, Any]:
    members = {rule.table: member_hashes(source, settings, rule) for rule in DIMENSION_RULES}
    for rows in members.values():
        rows.pop(0, None)
    return members | {"fact_sales": fact_hashes(source, settings, Scope())}


def both_sides_equal(settings: Settings, expected: Settings) -> None:
    """Fail unless both sides have what the primary of `expected` has, and Gold agrees."""
    there = contents(expected, "primary")
    assert contents(settings, "primary") == there
    assert contents(settings, "replica") == there
    assert compare_sides(settings).whole
