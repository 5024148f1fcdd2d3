"""What has to hold of staged rows before a publish commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Date, Select, Table, cast, func, select, text

from include.domain.star import DIMENSION_RULES
from include.warehouse.publishing.batches import PublishError, StagingIncomplete
from include.warehouse.publishing.merge import collisions
from include.warehouse.publishing.staging import staging_table
from include.warehouse.schema.tables import FACT, STAR, star_table


def count_staged(
    connection: Connection,
    batch_id: str,
    staging: Mapping[str, Table],
    present: Mapping[str, bool],
    expected: Mapping[str, int] | None,
) -> dict[str, int]:
    """Count what is staged, by table.

    Raises:
        StagingIncomplete: If tables or rows are missing, or are not those that were expected.
    """
    missing = [staging_table(table, batch_id) for table, there in present.items() if not there]
    if missing:
        raise StagingIncomplete(f"Batch {batch_id} is staged in part: {', '.join(missing)} missing. Run gold again.")
    quote = connection.dialect.identifier_preparer.format_table
    for table in staging.values():
        connection.execute(text(f"ANALYZE {quote(table)}"))
    counts = [select(func.count()).select_from(table).scalar_subquery() for table in staging.values()]
    rows = dict(zip(staging, connection.execute(select(*counts)).one(), strict=True))
    if expected is None and not any(rows.values()):
        raise StagingIncomplete(
            f"The staging tables of batch {batch_id} are empty, as after a crash of the server. "
            "Run gold again, or state the rows that were staged if the batch is really empty."
        )
    if expected is not None and {table: expected.get(table, 0) for table in STAR} != rows:
        raise StagingIncomplete(
            f"Gold staged {dict(expected)} for batch {batch_id}, but staging holds {rows}. Run gold again."
        )
    return rows


def check_days(connection: Connection, batch_id: str, staging: Mapping[str, Table], days: Sequence[date]) -> None:
    """Raise `PublishError` if a rebuild stages a line of another day than it rebuilds."""
    sold_on = cast(staging[FACT].c.sold_at, Date)
    stray = connection.execute(
        select(sold_on).where(sold_on.not_in(days)).order_by(sold_on).limit(1)
    ).scalar_one_or_none()
    if stray is not None:
        raise PublishError(f"Batch {batch_id} rebuilds {', '.join(map(str, days))} but stages a line of {stray}.")


def check_collisions(connection: Connection, staging: Mapping[str, Table]) -> None:
    """Raise `PublishError` if a surrogate key stands for two natural keys."""
    for rule in DIMENSION_RULES:
        found = connection.execute(collisions(rule, staging[rule.table])).first()
        if found is not None:
            staged_value, live_value, key = found
            raise PublishError(
                f"{rule.table}: {rule.natural} {staged_value!r} has the key of {live_value!r} ({key}). "
                "Nothing was published."
            )


def check_facts(
    connection: Connection, batch_id: str, staged_tables: Mapping[str, Table]
) -> tuple[Decimal, int, Decimal, dict[str, Decimal]]:
    """Hold what is live against what was staged.

    Returns:
        The staged amount in the base currency; of the staged facts that are live as this batch's their number, their
        amount in the base currency, and their amounts by currency.

    Raises:
        PublishError: If a staged line is not live with its amount, refers to nothing, or is on another day.
    """
    staging, fact = staged_tables[FACT], star_table(FACT)
    expected = connection.execute(_rows_and_amount(staging)).one()
    live = fact.join(staging, fact.c.sale_id == cast(staging.c.sale_id, fact.c.sale_id.type))
    orphans = []
    for rule in DIMENSION_RULES:
        dimension = star_table(rule.table)
        live = live.outerjoin(dimension, dimension.c[rule.key] == fact.c[rule.key])
        orphans.append(func.count().filter(dimension.c[rule.key].is_(None)).label(rule.table))
    day = star_table("dim_date").c.full_date
    misdated = func.count().filter(day != cast(fact.c.sold_at, Date))
    ours = fact.c.batch_id == batch_id
    loaded = [func.count().filter(ours), func.coalesce(func.sum(fact.c.amount).filter(ours), Decimal(0))]
    query = _rows_and_amount(fact).add_columns(*loaded, *orphans, misdated).select_from(live)
    rows, amount, facts_loaded, amount_loaded, *missing, stray = connection.execute(query).one()
    if (rows, amount) != tuple(expected):
        raise PublishError(
            f"Batch {batch_id} staged {expected[0]} lines of {expected[1]} in all, but {rows} of {amount} "
            "are live. Nothing was published. Run gold again."
        )
    lost = {rule.table: count for rule, count in zip(DIMENSION_RULES, missing, strict=True) if count}
    if lost:
        counts = ", ".join(f"{count} in {table}" for table, count in lost.items())
        raise PublishError(
            f"Lines of batch {batch_id} refer to keys that are missing: {counts}. Nothing was published. "
            "Run gold again."
        )
    if stray:
        raise PublishError(
            f"{stray} lines of batch {batch_id} have a date_key that is not the day of sold_at. Nothing was published."
        )
    by_currency = (
        select(fact.c.currency, func.sum(fact.c.original_amount))
        .select_from(fact.join(staging, fact.c.sale_id == cast(staging.c.sale_id, fact.c.sale_id.type)))
        .where(ours)
        .group_by(fact.c.currency)
        .order_by(fact.c.currency)
    )
    amounts = {currency: Decimal(total) for currency, total in connection.execute(by_currency)}
    return Decimal(expected[1]), facts_loaded, Decimal(amount_loaded), amounts


def _rows_and_amount(table: Table) -> Select[Any]:
    return select(func.count(), func.coalesce(func.sum(table.c.amount), Decimal(0)))
