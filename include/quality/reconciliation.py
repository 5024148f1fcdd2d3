"""Reconciliation: what the source readers counted equals what Silver accounts for."""

from __future__ import annotations

from decimal import Decimal

from include.domain.money import printed
from include.runs.folder import Manifest
from include.runs.records import BronzeRecord, SilverRecord


class AuditFailed(Exception):
    """The batch does not reconcile; nothing of it is published."""


def reconcile(manifest: Manifest, bronze: BronzeRecord, silver: SilverRecord, base: str) -> None:
    """Compare rows and money of a batch across the stages, each currency by itself.

    The readers count rows and money while they read the files, Spark counts them from the written tables: two
    independent counts that must agree to the row and the penny.

    Args:
        manifest: The run.
        bronze: What the readers counted.
        silver: What became of it.
        base: Code of the base currency.

    Raises:
        AuditFailed: With every difference found.
    """
    problems = []
    balances = silver.balances(base)
    if manifest.kind == "drop":
        if bronze.rows != silver.rows_in:
            problems.append(f"the files hold {bronze.rows} rows, Bronze gave Silver {silver.rows_in}")
        read = {base: bronze.amount} | bronze.foreign_amounts
        for currency in sorted({*read, *balances}):
            of_files = read.get(currency, Decimal(0))
            found = balances[currency].amount_in if currency in balances else Decimal(0)
            if of_files != found:
                problems.append(f"the files hold {currency} {of_files}, Bronze gave Silver {currency} {found}")
    rows = silver.rows_loaded + silver.rows_duplicate + silver.rows_already_seen + sum(silver.rows_quarantined.values())
    if rows != silver.rows_in:
        problems.append(f"{silver.rows_in} rows entered Silver, {rows} are accounted for")
    for currency, balance in balances.items():
        if balance.accounted != balance.amount_in:
            problems.append(
                f"{currency} {balance.amount_in} entered Silver, "
                f"{currency} {printed(balance.accounted)} is accounted for"
            )
    if silver.rows_already_seen < 0:
        problems.append(f"Silver holds {-silver.rows_already_seen} more lines of this batch than it brought")
    if problems:
        raise AuditFailed(f"Batch {manifest.batch_id} does not reconcile: " + "; ".join(problems) + ".")
