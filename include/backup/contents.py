"""What a side, or Gold, has of the star, by the hashes that comparisons and repairs use."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from sqlalchemy import Connection

from include.backup.manifest import Contents
from include.domain.star import DIMENSION_RULES, UNKNOWN_KEY
from include.settings import Settings
from include.warehouse.figures import Scope, gold_figures, member_hashes, side_figures
from include.warehouse.gold import GoldStar
from include.warehouse.replica import newest_batch

_EXAMPLES = 3


def contents_of(source: Connection | GoldStar, settings: Settings, version: str = "") -> Contents:
    """Return what the primary, the replica or Gold has.

    Args:
        source: One of the three, opened.
        settings: Names the schema.
        version: Version of its tables.
    """
    if isinstance(source, GoldStar):
        days, newest = gold_figures(source, Scope()), None
    else:
        days, newest = side_figures(source, settings, Scope()), newest_batch(source)
    members = {}
    for dimension in DIMENSION_RULES:
        rows = member_hashes(source, settings, dimension)
        text = "\n".join(f"{key} {rows[key]}" for key in sorted(rows) if key != UNKNOWN_KEY)
        members[dimension.table] = hashlib.sha256(text.encode()).hexdigest()
    return Contents(
        version=version,
        rows=sum(figures.rows for figures in days.values()),
        amount=sum((figures.amount for figures in days.values()), Decimal(0)),
        newest_batch=newest.batch_id if newest else None,
        days=days,
        members=members,
    )


def differences(expected: Contents, found: Contents, *, hashed: bool = True) -> list[str]:
    """Return in sentences what is otherwise.

    Args:
        expected: What the manifest says.
        found: What is there.
        hashed: Compare rows, not only their number, units and money.
    """
    if not hashed:
        expected, found = _unhashed(expected), _unhashed(found)
    days = sorted(
        day for day in expected.days.keys() | found.days.keys() if expected.days.get(day) != found.days.get(day)
    )
    told = [f"{day}: {expected.days.get(day)} expected, {found.days.get(day)} found" for day in days[:_EXAMPLES]]
    if len(days) > _EXAMPLES:
        told.append(f"{len(days) - _EXAMPLES} more invoice days")
    told += [
        f"{table}: other members" for table, hash_ in expected.members.items() if found.members.get(table) != hash_
    ]
    if expected.newest_batch != found.newest_batch:
        told.append(f"newest batch: {expected.newest_batch} expected, {found.newest_batch} found")
    return told


def _unhashed(contents: Contents) -> Contents:
    days = {day: figures.model_copy(update={"digest": ""}) for day, figures in contents.days.items()}
    return contents.model_copy(update={"days": days, "members": {}})
