"""Comparing both sides with Gold, and making invoice days what Gold has."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import partial

from pydantic import Field
from sqlalchemy import Connection

from include.domain.model import Model
from include.failover import replica
from include.failover.comparison import Difference, compare
from include.failover.figures import Scope, gold_figures, side_figures
from include.failover.published import PUBLISH_LIMIT_SECONDS, assign_owners, known_batches, owners_on
from include.failover.replica.file import ReplicaUnusable
from include.failover.sides import open_side, sides
from include.failover.state import Side, StateFile
from include.runs.landing import batch_id_of
from include.settings import Settings
from include.warehouse import (
    GoldStar,
    WarehouseUnavailable,
    error_text,
    primary_failed,
    replace_days,
    stage_picked,
    transaction,
    watched_engine,
)


class Comparison(Model):
    """Where each side differs from Gold.

    Attributes:
        days: Invoice days compared.
        differences: By side.
        skipped: Side -> why it was not compared.
    """

    days: int
    differences: dict[Side, list[Difference]] = Field(default_factory=dict)
    skipped: dict[Side, str] = Field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether both sides were compared and have what Gold has."""
        return not self.skipped and not any(self.differences.values())


class Repaired(Model):
    """What a repair wrote, by side and table; empty for a side that had nothing wrong."""

    days: list[date]
    written: dict[Side, dict[str, int]]
    skipped: dict[Side, str] = Field(default_factory=dict)


def compare_sides(settings: Settings, days: list[date] | None = None) -> Comparison:
    """Hold both sides against Gold to the row: some invoice days, or all.

    Raises:
        GoldUnreadable: If Gold cannot be read.
    """
    with GoldStar(settings) as gold:
        chosen = days if days is not None else sorted(gold_figures(gold, Scope(), hashed=False))
        found = Comparison(days=len(chosen))
        for side in sides(settings):
            try:
                with open_side(settings, side) as connection:
                    reports = known_batches(settings, connection if side == "primary" else None)
                    found.differences[side] = compare(connection, gold, settings, reports, chosen)
            except ReplicaUnusable as error:
                found.skipped[side] = str(error)
            except Exception as error:
                if not primary_failed(error):
                    raise
                found.skipped[side] = error_text(error)
    return found


def days_with_facts(settings: Settings, first: date | None, last: date | None) -> list[date]:
    """Return the invoice days that Gold or a side that answers has facts of.

    Raises:
        GoldUnreadable: If Gold cannot be read.
    """
    scope = Scope(first, last)
    with GoldStar(settings) as gold:
        days = set(gold_figures(gold, scope, hashed=False))
    for side in sides(settings):
        try:
            with open_side(settings, side) as connection:
                days |= set(side_figures(connection, settings, scope, hashed=False))
        except (WarehouseUnavailable, ReplicaUnusable):
            continue  # the repair says that this side does not answer
    return sorted(days)


def repair(settings: Settings, days: list[date], only: Side | None = None) -> Repaired:
    """Make some invoice days of the warehouse, and the members their facts refer to, what Gold has.

    Repeating it changes nothing. A side that does not answer is skipped. The state of the failover stays as it is.

    Args:
        settings: Where Gold and both sides are.
        days: Invoice days.
        only: Repair this side alone.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        PublishError: If the rows of Gold do not fit.
        WarehouseUnavailable: If no side answers.
    """
    done = Repaired(days=sorted(set(days)), written={})
    with StateFile(settings).publishing():
        for side in (only,) if only else sides(settings):
            try:
                done.written[side] = (
                    _repair_primary(settings, done.days) if side == "primary" else _repair_replica(settings, done.days)
                )
            except ReplicaUnusable as error:
                done.skipped[side] = str(error)
            except Exception as error:
                if not primary_failed(error):
                    raise
                done.skipped[side] = error_text(error)
    if not done.written:
        raise WarehouseUnavailable(f"Nothing was repaired: {' '.join(done.skipped.values())}")
    return done


def _repair_primary(settings: Settings, days: list[date]) -> dict[str, int]:
    now = datetime.now(UTC)
    batch_id = batch_id_of(f"repair {now.isoformat()}", now)
    with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine, GoldStar(settings) as gold:
        with transaction(engine) as connection:
            left_out = assign_owners(gold, known_batches(settings, connection), partial(owners_on, connection))
        gold.pick_days(days, left_out)
        rows = stage_picked(engine, settings, batch_id, gold)
        return replace_days(engine, settings, batch_id, days, rows, sorted(left_out))


def _repair_replica(settings: Settings, days: list[date]) -> dict[str, int]:
    reports = known_batches(settings)

    def left_out(gold: GoldStar, connection: Connection) -> frozenset[str]:
        return assign_owners(gold, reports, partial(owners_on, connection))

    return replica.replace_days(settings, days, left_out)
