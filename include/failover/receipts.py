"""Receipts of runs on both sides, and those that the primary still lacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Engine, select

from include.failover import replica
from include.failover.published import PUBLISH_LIMIT_SECONDS
from include.failover.replica.file import ReplicaUnusable
from include.failover.state import Side, StateFile
from include.quality.findings import QualityRecord, ScoreRow, score_rows
from include.quality.holding import STAGE as QUALITY_STAGE
from include.receipts.model import Receipt
from include.runs.folder import RunFolder, RunRecordMissing
from include.settings import Settings
from include.warehouse import (
    WarehouseUnavailable,
    error_text,
    primary_failed,
    save_receipt,
    save_scores,
    star_table,
    transaction,
    watched_engine,
)

log = logging.getLogger(__name__)


def receipts_on_disk(
    settings: Settings, run_ids: Sequence[str] | None = None
) -> Iterator[tuple[Receipt, Sequence[ScoreRow]]]:
    """Yield receipts, of all runs if none are named, each with the quality scores of its batch."""
    folder = settings.data_dir / "receipts"
    paths: Sequence[Path] = (
        sorted(folder.glob("*.json"))
        if run_ids is None
        else [RunFolder(settings, run_id).receipt for run_id in run_ids]
    )
    for path in paths:
        if path.exists():
            try:
                receipt = Receipt.model_validate_json(path.read_bytes())
            except ValidationError:
                log.warning("%s was written by an earlier version, or is damaged; it is passed over.", path)
                continue
            try:
                scores = score_rows(RunFolder(settings, receipt.run_id).stage(QUALITY_STAGE, QualityRecord))
            except (RunRecordMissing, ValidationError):
                scores = []  # it had nothing to score, or its records are of an earlier version or were tidied away
            yield receipt, scores


def record_receipt(settings: Settings, receipt: Receipt, scores: Sequence[ScoreRow] = ()) -> Side:
    """Write the receipt of a run and the scores of its batch to both sides; return the side that surely has them.

    A receipt that the primary could not take is recorded and brought to it later; its file has to be there.

    Raises:
        ReceiptUnbalanced: If rows or money of the receipt do not balance.
        WarehouseUnavailable: If neither side can take it.
    """
    receipt.check()
    if settings.database_type == "sqlite":
        try:
            replica.store_receipts(settings, [(receipt, scores)])
        except ReplicaUnusable as error:
            raise WarehouseUnavailable(str(error)) from error
        return "replica"
    record = StateFile(settings)
    side: Side = "primary"
    reason = "it is failed over."
    if record.read().state == "primary":
        try:
            with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
                save_receipt(engine, receipt)
                save_scores(engine, scores)
        except Exception as error:
            if not primary_failed(error):
                raise
            side, reason = "replica", error_text(error)
    else:
        side = "replica"
    if side == "replica":
        with record.change() as noted:
            noted.receipts = sorted({*noted.receipts, receipt.run_id})
    try:
        replica.store_receipts(settings, [(receipt, scores)])
    except ReplicaUnusable as error:
        if side == "replica":
            raise WarehouseUnavailable(
                f"Neither side can take the receipt of run {receipt.run_id}. Primary: {reason} Replica: {error}"
            ) from error
        log.warning("The replica lacks the receipt of run %s: %s", receipt.run_id, error)
    return side


def receipts_not_on(settings: Settings, engine: Engine) -> list[str]:
    """Return the runs whose receipts are on this host and not in the primary."""
    with transaction(engine) as connection:
        there = set(connection.execute(select(star_table("etl_receipt").c.run_id)).scalars())
    return sorted({path.stem for path in (settings.data_dir / "receipts").glob("*.json")} - there)


def deliver_receipts(settings: Settings, record: StateFile, engine: Engine, more: Sequence[str] = ()) -> list[str]:
    """Bring the primary the receipts it is known to lack, and `more`; return their runs."""
    waiting = sorted({*record.read().receipts, *more})
    for receipt, scores in receipts_on_disk(settings, waiting):
        save_receipt(engine, receipt)
        save_scores(engine, scores)
    if waiting:
        with record.change() as noted:
            noted.receipts = [run_id for run_id in noted.receipts if run_id not in waiting]
    return waiting
