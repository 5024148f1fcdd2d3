"""What has to hold of staged rows before a publish commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, Date, Table, cast, func, select, text

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
    amount = func.coalesce(func.sum(staging.c.amount), Decimal(0))
    staged_rows, staged_amount = connection.execute(select(func.count(), amount)).one()
    live = fact.join(staging, fact.c.sale_id == cast(staging.c.sale_id, fact.c.sale_id.type))
    faults: dict[str, ColumnElement[bool]] = {}
    for rule in DIMENSION_RULES:
        dimension = star_table(rule.table)
        live = live.outerjoin(dimension, dimension.c[rule.key] == fact.c[rule.key])
        faults[rule.table] = dimension.c[rule.key].is_(None)
    faults["misdated"] = star_table("dim_date").c.full_date != cast(fact.c.sold_at, Date)
    ours = fact.c.batch_id == batch_id
    of_currencies = (
        select(
            fact.c.currency,
            func.count().label("rows"),
            func.sum(fact.c.amount).label("amount"),
            func.count().filter(ours).label("ours"),
            func.sum(fact.c.amount).filter(ours).label("amount_ours"),
            func.sum(fact.c.original_amount).filter(ours).label("original_amount_ours"),
            *[func.count().filter(fault).label(name) for name, fault in faults.items()],
        )
        .select_from(live)
        .group_by(fact.c.currency)
        .order_by(fact.c.currency)
    )
    found = connection.execute(of_currencies).mappings().all()

    def total(name: str) -> Decimal:
        return sum((row[name] for row in found if row[name] is not None), Decimal(0))

    if (total("rows"), total("amount")) != (staged_rows, staged_amount):
        raise PublishError(
            f"Batch {batch_id} staged {staged_rows} lines of {staged_amount} in all, but {total('rows')} of "
            f"{total('amount')} are live. Nothing was published. Run gold again."
        )
    lost = [f"{total(rule.table)} in {rule.table}" for rule in DIMENSION_RULES if total(rule.table)]
    if lost:
        raise PublishError(
            f"Lines of batch {batch_id} refer to keys that are missing: {', '.join(lost)}. Nothing was published. "
            "Run gold again."
        )
    if total("misdated"):
        raise PublishError(
            f"{total('misdated')} lines of batch {batch_id} have a date_key that is not the day of sold_at. "
            "Nothing was published."
        )
    amounts = {row["currency"]: row["original_amount_ours"] for row in found if row["ours"]}
    return staged_amount, int(total("ours")), total("amount_ours"), amounts
