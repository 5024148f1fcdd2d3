"""What a side, or Gold, has of the star, by the hashes that comparisons and repairs use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal

from sqlalchemy import Connection

from include.backup.manifest import Contents
from include.domain.star import DIMENSION_RULES, UNKNOWN_KEY
from include.failover import Scope, gold_figures, member_hashes, side_figures
from include.settings import Settings
from include.warehouse import GoldStar

_EXAMPLES = 3

NOTHING = Contents(
    rows=0,
    amount=Decimal(0),
    days={},
    members={dimension.table: hashlib.sha256().hexdigest() for dimension in DIMENSION_RULES},
)
"""What there is before anything was published."""


def contents_of(source: Connection | GoldStar, settings: Settings, without: Iterable[str] = ()) -> Contents:
    """Return what the primary, the replica or Gold has.

    Args:
        source: One of the three, opened; Gold with the facts picked.
        settings: Names the schema.
        without: Facts of Gold that are not picked, as `batch_id:date_key`.
    """
    scope = Scope(without=frozenset(without))
    days = gold_figures(source, scope) if isinstance(source, GoldStar) else side_figures(source, settings, scope)
    members = {}
    for dimension in DIMENSION_RULES:
        rows = member_hashes(source, settings, dimension)
        keys = source.member_keys(dimension) if isinstance(source, GoldStar) else rows.keys() - {UNKNOWN_KEY}
        text = "\n".join(f"{key} {rows[key]}" for key in sorted(keys))
        members[dimension.table] = hashlib.sha256(text.encode()).hexdigest()
    return Contents(
        rows=sum(figures.rows for figures in days.values()),
        amount=sum((figures.amount for figures in days.values()), Decimal(0)),
        days=days,
        members=members,
    )


def differences(expected: Contents, found: Contents, *, hashed: bool = True) -> list[str]:
    """Return in sentences what differs.

    Args:
        expected: What should be there.
        found: What is there.
        hashed: Compare rows, not only their number, units and money.
    """
    if not hashed:
        expected, found = _unhashed(expected), _unhashed(found)
    days = sorted(
        day for day in expected.days.keys() | found.days.keys() if expected.days.get(day) != found.days.get(day)
    )
    sentences = [f"{day}: {expected.days.get(day)} expected, {found.days.get(day)} found" for day in days[:_EXAMPLES]]
    if len(days) > _EXAMPLES:
        sentences.append(f"{len(days) - _EXAMPLES} more invoice days")
    tables = expected.members.keys() | found.members.keys()
    sentences += [
        f"{table}: other members" for table in sorted(tables) if expected.members.get(table) != found.members.get(table)
    ]
    return sentences


def _unhashed(contents: Contents) -> Contents:
    days = {day: figures.model_copy(update={"digest": ""}) for day, figures in contents.days.items()}
    return contents.model_copy(update={"days": days, "members": {}})
