"""Whether a side of the warehouse is whole: keys, orphans, duplicates, money, balances, and equal to Gold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

from pydantic import Field
from sqlalchemy import Connection, and_, case, func, select, text

from include.domain.model import Model
from include.domain.money import Money
from include.domain.star import DIMENSION_RULES, UNKNOWN_KEY
from include.failover import replica
from include.failover.comparison import (
    EXAMPLES,
    Difference,
    batch_differences,
    day_differences,
    member_differences,
    repair_command,
)
from include.failover.figures import Scope, side_figures
from include.failover.published import assign_owners, known_batches, owners_on
from include.failover.replica.file import ReplicaUnusable
from include.failover.sides import open_side
from include.failover.state import Side
from include.settings import Settings
from include.warehouse import (
    FACT,
    IS_CONVERTED,
    IS_PRODUCT,
    IS_SCALED_CONVERTED,
    IS_SCALED_PRODUCT,
    SQLITE,
    GoldStar,
    PublishReport,
    recorded_batches,
    star_table,
)


class IntegrityReport(Model):
    """What was found on one side.

    Attributes:
        days: Invoice days that were compared with Gold.
        rows: Facts of these days.
        amount: GBP of these facts.
        unpublished: Batch and date_key of facts in Gold that were never published; they are left out on both sides.
        differences: What is not as it should be; none if the side is whole.
    """

    side: Side
    checked_at: datetime
    first_day: date | None = None
    last_day: date | None = None
    days: int = 0
    rows: int = 0
    amount: Money = Decimal(0)
    unpublished: list[str] = Field(default_factory=list)
    differences: list[Difference] = Field(default_factory=list)

    @property
    def whole(self) -> bool:
        """True if no differences were found."""
        return not self.differences


def check_integrity(
    settings: Settings, side: Side, first: date | None = None, last: date | None = None
) -> IntegrityReport:
    """Check one side, all of it or the invoice days from `first` to `last`.

    Raises:
        GoldUnreadable: If Gold cannot be read.
        WarehouseUnavailable: If the primary does not answer.
    """
    report = IntegrityReport(side=side, checked_at=datetime.now(UTC), first_day=first, last_day=last)
    if side == "replica":
        report.differences = _file(settings)
    try:
        _check(settings, report, first, last)
    except ReplicaUnusable:
        if not report.differences:
            raise
    return report


def _check(settings: Settings, report: IntegrityReport, first: date | None, last: date | None) -> None:
    with open_side(settings, report.side) as connection, GoldStar(settings) as gold:
        reports = known_batches(settings, connection if report.side == "primary" else None)
        without = assign_owners(gold, reports, partial(owners_on, connection))
        scope = Scope(first, last, without=without)
        report.unpublished = sorted(scope.without)
        figures = side_figures(connection, settings, scope, hashed=False)
        report.days = len(figures)
        report.rows = sum(of_day.rows for of_day in figures.values())
        report.amount = sum((of_day.amount for of_day in figures.values()), Decimal(0))
        report.differences += [
            *_unknown_members(connection),
            *_keys(connection),
            *_orphans(connection, scope),
            *_duplicates(connection),
            *_contradictions(connection, scope),
            *_balances(connection, settings.base_currency, first, last),
            *batch_differences(connection, reports),
            *day_differences(connection, gold, settings, scope),
            *member_differences(connection, gold, settings, scope),
        ]


def _file(settings: Settings) -> list[Difference]:
    try:
        found = replica.damage(settings)
    except ReplicaUnusable as error:
        found = [str(error)]
    return [
        Difference(
            check="file",
            subject=str(replica.replica_link(settings)),
            expected="a whole SQLite file of this version",
            found=line,
            remedy="python -m include.operate refresh-replica",
        )
        for line in found
    ]


def _unknown_members(connection: Connection) -> Iterator[Difference]:
    for rule in DIMENSION_RULES:
        table = star_table(rule.table)
        query = select(func.count()).select_from(table).where(table.c[rule.key] == UNKNOWN_KEY)
        if connection.execute(query).scalar_one() != 1:
            yield Difference(
                check="keys",
                subject=rule.table,
                expected="member 0 for what is not known",
                found="none",
                remedy="python -m include.operate migrate --down --revision base, then migrate and catch-up",
            )


def _keys(connection: Connection) -> Iterator[Difference]:
    """Surrogate keys are the first 60 bits of SHA-256 of the natural key, of dim_date the day as yyyymmdd."""
    for rule in DIMENSION_RULES:
        table = star_table(rule.table)
        rows = connection.execute(
            select(table.c[rule.key], table.c[rule.natural]).where(table.c[rule.key] != UNKNOWN_KEY)
        )
        wrong = [str(natural) for key, natural in rows if key != _surrogate(natural)]
        if wrong:
            yield Difference(
                check="keys",
                subject=rule.table,
                expected=f"{rule.key} made from {rule.natural}",
                found=f"{len(wrong)} members with another key",
                examples=sorted(wrong)[:EXAMPLES],
                remedy="python -m include.operate repair, with the days their facts are listed for",
            )


def _surrogate(natural: str | date) -> int:
    if isinstance(natural, date):
        return natural.year * 10000 + natural.month * 100 + natural.day
    return int(hashlib.sha256(natural.encode()).hexdigest()[:15], 16)


def _orphans(connection: Connection, scope: Scope) -> Iterator[Difference]:
    fact = star_table(FACT)
    references = [(FACT, rule.key, rule.table, text(scope.condition())) for rule in DIMENSION_RULES]
    customer = ("dim_customer", "country_key", "dim_country", text("1 = 1"))
    for name, column, dimension, condition in [*references, customer]:
        table, members = star_table(name), star_table(dimension)
        lost = table.c[column].not_in(select(members.c[column]))
        day = func.min(fact.c.sold_at) if name == FACT else None
        query = select(func.count(), *([day] if day is not None else [])).select_from(table).where(lost, condition)
        rows, *first = connection.execute(query).one()
        if rows:
            yield Difference(
                check="orphans",
                subject=f"{name}.{column}",
                expected=f"a member of {dimension}",
                found=f"{rows} rows without one",
                remedy=repair_command(first[0].date()) if first else "python -m include.operate repair, all days",
            )


def _duplicates(connection: Connection) -> Iterator[Difference]:
    identities = [(FACT, "sale_id"), *[(rule.table, rule.natural) for rule in DIMENSION_RULES]]
    for name, column in identities:
        table = star_table(name)
        held = table.c[column]
        query = select(held, func.count()).where(held.is_not(None)).group_by(held).having(func.count() > 1)
        rows = connection.execute(query.limit(EXAMPLES)).all()
        if rows:
            yield Difference(
                check="duplicates",
                subject=f"{name}.{column}",
                expected="one row each",
                found=f"{len(rows)} or more values in several rows",
                examples=[str(row[0]) for row in rows],
                remedy="restore the side from a backup; its unique indices no longer hold",
            )


def _contradictions(connection: Connection, scope: Scope) -> Iterator[Difference]:
    fact = star_table(FACT)
    day_of_sale = (
        "CAST(replace(substr(sold_at, 1, 10), '-', '') AS INTEGER)"
        if connection.dialect.name == SQLITE
        else r"CAST(to_char(sold_at, 'YYYYMMDD') AS INTEGER)"
    )
    scaled = connection.dialect.name == SQLITE
    is_product, is_converted = (IS_SCALED_PRODUCT, IS_SCALED_CONVERTED) if scaled else (f"({IS_PRODUCT})", IS_CONVERTED)
    for check, expected, broken in (
        (
            "amounts",
            "original_amount = quantity x original_unit_price, unless stated; amount the same if in the base currency",
            f"(NOT amount_declared AND NOT {is_product}) OR NOT ({is_converted})",
        ),
        ("dates", "date_key is the day of sold_at", f"date_key <> {day_of_sale}"),
    ):
        query = select(func.count(), func.min(fact.c.sold_at)).where(and_(text(broken), text(scope.condition())))
        rows, first = connection.execute(query.select_from(fact)).one()
        if rows:
            yield Difference(
                check=check,
                subject=FACT,
                expected=expected,
                found=f"{rows} facts where it does not hold",
                remedy=repair_command(first.date()),
            )


def _balances(connection: Connection, base: str, first: date | None, last: date | None) -> Iterator[Difference]:
    """A drop's receipt says how many lines and how much money it loaded: its facts are as many and as much.

    Money is that of lines in the base currency.

    Drops of which a later rebuild touched a day are passed over: their receipts speak of before it.
    """
    fact, receipt = star_table(FACT), star_table("etl_receipt")
    facts = {
        row[0]: (row[1], row[2])
        for row in connection.execute(
            select(
                fact.c.batch_id,
                func.count(),
                func.sum(case((fact.c.currency == base, fact.c.original_amount), else_=0)),
            ).group_by(fact.c.batch_id)
        )
    }
    published = recorded_batches(connection)
    rebuilds = [report for report in published.values() if report.kind == "rebuild"]
    loads = select(receipt.c.batch_id, receipt.c.rows_loaded, receipt.c.amount_loaded, receipt.c.document).where(
        receipt.c.kind == "drop", receipt.c.status == "loaded"
    )
    for batch_id, rows, amount, document in connection.execute(loads.order_by(receipt.c.batch_id)):
        days = [date.fromisoformat(day) for day in document.get("invoice_days") or []]
        outside = bool(days) and ((first and days[-1] < first) or (last and days[0] > last))
        if batch_id not in published or outside or _rebuilt(batch_id, days, rebuilds):
            continue
        there = facts.get(batch_id, (0, Decimal(0)))
        if there != (rows, amount):
            yield Difference(
                check="balances",
                subject=batch_id,
                expected=f"{rows} facts, {base} {amount}, by its receipt",
                found=f"{there[0]} facts, {base} {there[1]}",
                remedy=f"python -m include.operate repair --from {days[0]} --to {days[-1]}" if days else "",
            )


def _rebuilt(batch_id: str, days: list[date], rebuilds: list[PublishReport]) -> bool:
    return any(
        report.batch_id > batch_id and days and any(days[0] <= day <= days[-1] for day in report.rebuilt_days)
        for report in rebuilds
    )
