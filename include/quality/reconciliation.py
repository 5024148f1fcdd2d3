"""Reconciliation: what the source readers counted equals what Silver accounts for."""

from __future__ import annotations

from include.runs.folder import Manifest
from include.runs.records import BronzeRecord, SilverRecord


class AuditFailed(Exception):
    """The batch does not reconcile; nothing of it is published."""


def reconcile(manifest: Manifest, bronze: BronzeRecord, silver: SilverRecord) -> None:
    """Compare rows and money (GBP) of a batch across the stages.

    The readers count rows and money while they read the files, Spark counts them from the written tables: two
    independent counts that must agree to the row and the penny.

    Raises:
        AuditFailed: With every difference found.
    """
    problems = []
    if manifest.kind == "drop":
        if bronze.rows != silver.rows_in:
            problems.append(f"the files hold {bronze.rows} rows, Bronze gave Silver {silver.rows_in}")
        if bronze.amount != silver.amount_in:
            problems.append(f"the files hold GBP {bronze.amount}, Bronze gave Silver GBP {silver.amount_in}")
    rows = silver.rows_loaded + silver.rows_duplicate + silver.rows_already_seen + sum(silver.rows_quarantined.values())
    if rows != silver.rows_in:
        problems.append(f"{silver.rows_in} rows entered Silver, {rows} are accounted for")
    amount = silver.amount_loaded + silver.amount_duplicate + silver.amount_already_seen + silver.amount_quarantined
    if amount != silver.amount_in:
        problems.append(f"GBP {silver.amount_in} entered Silver, GBP {amount} is accounted for")
    if silver.rows_already_seen < 0:
        problems.append(f"Silver holds {-silver.rows_already_seen} more lines of this batch than it brought")
    if problems:
        raise AuditFailed(f"Batch {manifest.batch_id} does not reconcile: " + "; ".join(problems) + ".")
