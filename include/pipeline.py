"""The Python steps of a run: claim, enrich, audit, publish, receipt, replicate, aggregate, index.

`python -m include.pipeline STEP RUN_ID` does what the DAG's task of that name does, without Airflow. Each step is a
process of its own and imports what it alone needs: the warehouse takes a second to import, DuckDB and Arrow half.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.files import write_atomically
from include.lake.in_use import uses_lake
from include.quality.findings import QualityRecord, score_rows
from include.quality.holding import STAGE, stop_if_held
from include.quality.reconciliation import reconcile
from include.receipts.account import RunRecords, account
from include.receipts.model import FileEntry, Receipt
from include.runs.folder import ClaimedFile, Manifest, RunFolder
from include.runs.landing import claim_drop, claim_rebuild, has_changed, put_back
from include.runs.marks import mark_published, mark_seen
from include.runs.records import (
    BronzeRecord,
    EnrichRecord,
    GoldRecord,
    IndexRecord,
    SilverRecord,
    unreadable,
)
from include.settings import Settings, get_settings

if TYPE_CHECKING:
    from include.failover import Publication, ReplicaUpdate

STEPS = ("claim", "enrich", "audit", "publish", "receipt", "replicate", "aggregate", "index")


@uses_lake
def claim(settings: Settings, run_id: str, only: list[str] | None = None, day: date | None = None) -> Manifest:
    """Claim the settled files of the landing folder, or one invoice day to rebuild.

    Args:
        settings: Where the landing folder is.
        run_id: Airflow run id.
        only: Names of files to claim; all if empty.
        day: Invoice day to rebuild from Bronze instead of claiming files.
    """
    return claim_rebuild(settings, run_id, day) if day else claim_drop(settings, run_id, only)


@uses_lake
def enrich(settings: Settings, run_id: str) -> EnrichRecord:
    """Look up exchange rates, country facts and product categories of the batch.

    Raises:
        RunRecordMissing: If Silver has not finished.
    """
    from include.enrichment.batch import enrich as look_up

    run = RunFolder(settings, run_id)
    record = look_up(settings, run.manifest(), run.stage("silver", SilverRecord))
    run.save_stage("enrich", record)
    return record


@uses_lake
def audit(settings: Settings, run_id: str) -> QualityRecord:
    """Reconcile the batch, score it, and hold it if it is below the bar.

    Raises:
        AuditFailed: If rows or money differ between the stages.
        QualityBelowBar: If the score is below the bar and nobody has released the run.
    """
    from include.quality.audit import assess

    run = RunFolder(settings, run_id)
    manifest, bronze, silver = run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord)
    reconcile(manifest, bronze, silver, settings.base_currency)
    record = assess(run, manifest, bronze, silver)
    stop_if_held(record)
    return record


@uses_lake
def publish(settings: Settings, run_id: str) -> Publication | None:
    """Make the batch live in the warehouse, in one transaction.

    While the primary is away the batch goes to the replica, which then serves; that is no failure.

    Returns:
        None if Gold had nothing to do.

    Raises:
        PublishError: If the rows of the batch contradict themselves or the star.
        WarehouseUnavailable: If neither the primary nor the replica can take the batch.
    """
    from include.failover import publish as publish_batch
    from include.warehouse import gold_batch

    run = RunFolder(settings, run_id)
    manifest, silver = run.manifest(), run.stage("silver", SilverRecord)
    batch = gold_batch(run)
    if batch is None:
        mark_published(settings, manifest.batch_id)
        return None
    publication = publish_batch(settings, batch)
    run.save_stage("publish", publication)
    mark_published(settings, manifest.batch_id)
    if manifest.kind == "drop":
        for batch_id in silver.unpublished:
            if not _holds_lines(settings, batch_id):
                mark_published(settings, batch_id)  # nothing is left of it to publish
    return publication


@uses_lake
def replicate(settings: Settings, run_id: str) -> ReplicaUpdate:
    """Bring the replica what the primary has; one that cannot take it costs a warning.

    Raises:
        WarehouseUnavailable: If others hold the lock of publishes too long.
    """
    from include.failover import update_replica

    record = update_replica(settings)
    RunFolder(settings, run_id).save_stage("replica", record)
    return record


@uses_lake
def aggregate(settings: Settings, run_id: str) -> list[Path]:
    """Bring the sums by day, month, country and product up to what is published; return the JSON documents."""
    from include.lake.aggregates import write_aggregates, write_documents

    months = RunFolder(settings, run_id).stage("silver", SilverRecord).months
    if not months:
        return []
    write_aggregates(settings, months)
    return write_documents(settings)


@uses_lake
def index(settings: Settings, run_id: str) -> IndexRecord:
    """Bring the product search up to what is published; if its service is down, leave that to the next run."""
    from include.search.index import bring_up_to_date

    run = RunFolder(settings, run_id)
    record = bring_up_to_date(settings, run_id)
    run.save_stage("index", record)
    return record


def _holds_lines(settings: Settings, batch_id: str) -> bool:
    import pyarrow.compute as pc
    from deltalake import DeltaTable

    lines = DeltaTable(settings.table("silver", "invoice_lines")).to_pyarrow_dataset()
    return bool(lines.head(1, columns=["batch_id"], filter=pc.field("batch_id") == batch_id).num_rows)


@uses_lake
def receipt(settings: Settings, run_id: str) -> Receipt:
    """Account for the run and write the receipt.

    A file that was written to after it was read goes back to the landing folder.

    Args:
        settings: Where receipts are kept.
        run_id: Airflow run id.

    Raises:
        ReceiptUnbalanced: If rows or money do not balance.
        RunRecordMissing: If a stage has not finished.
        WarehouseUnavailable: If neither the primary nor the replica can take the receipt.
    """
    from include.failover import record_receipt
    from include.quality.sender_report import rejection_report

    run = RunFolder(settings, run_id)
    records = _records(run)
    files = records.manifest.files
    document = account(
        records,
        base_currency=settings.base_currency,
        unreadable_reports={
            file.name: rejection_report(run, file, unreadable(file)) for file in files if file.status == "unreadable"
        },
        put_back=_put_back_changed(run, records),
        first_loads={file.sha256: first for file in files if (first := _first_load(run, file))},
        finished_at=datetime.now(UTC),
    )
    document.check()
    write_atomically(run.receipt, document.model_dump_json(indent=2))
    record_receipt(settings, document, score_rows(records.audit) if records.audit else [])
    for entry in document.files:
        if entry.status == "loaded":
            mark_seen(settings, entry.sha256, run_id)
    for staged in run.staged.glob("*.parquet"):
        staged.unlink()
    return document


def _records(run: RunFolder) -> RunRecords:
    """Return what the stages of a run recorded.

    Raises:
        RunRecordMissing: If a stage has not finished.
    """
    from include.failover import Publication

    manifest = run.manifest()
    if not manifest.has_work:
        return RunRecords(manifest)
    gold = run.stage("gold", GoldRecord)
    return RunRecords(
        manifest,
        bronze=run.stage("bronze", BronzeRecord),
        silver=run.stage("silver", SilverRecord),
        enrich=run.stage("enrich", EnrichRecord),
        audit=run.stage(STAGE, QualityRecord),
        gold=gold,
        publish=run.stage("publish", Publication) if gold.token else None,
    )


def _put_back_changed(run: RunFolder, records: RunRecords) -> dict[str, str]:
    """Return files that were written to after they were read to the landing folder; return name -> name there."""
    read = {file.sha256 for file in records.bronze.files if file.reading is not None} if records.bronze else set()
    return {
        file.name: put_back(run, file)
        for file in records.manifest.new_files
        if file.sha256 in read and run.original(file.name).exists() and has_changed(run, file)
    }


def _first_load(run: RunFolder, file: ClaimedFile) -> FileEntry | None:
    """Return the entry of a file seen before in the receipt of the run that loaded it, None if there is none."""
    if file.status != "already_seen" or file.first_run_id in (None, run.run_id):
        return None
    first = RunFolder(run.settings, str(file.first_run_id))
    if not first.receipt.exists():
        return None
    entries = Receipt.model_validate_json(first.receipt.read_bytes()).files
    return next((entry for entry in entries if entry.sha256 == file.sha256 and entry.status == "loaded"), None)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m include.pipeline", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("run_id", help="Airflow run id")
    parser.add_argument("--day", type=date.fromisoformat, help="claim: invoice day to rebuild instead of files")
    arguments = parser.parse_args()
    settings = get_settings()
    if arguments.step == "claim":
        manifest = claim(settings, arguments.run_id, day=arguments.day)
        print(Counter(file.status for file in manifest.files))
    elif arguments.step == "enrich":
        print(enrich(settings, arguments.run_id).model_dump_json(indent=2))
    elif arguments.step == "audit":
        quality = audit(settings, arguments.run_id)
        print(f"{quality.status}: {quality.overall}, bar {quality.bar}")
    elif arguments.step == "publish":
        publication = publish(settings, arguments.run_id)
        print(publication.model_dump_json(indent=2) if publication else "nothing to publish")
    elif arguments.step == "replicate":
        print(replicate(settings, arguments.run_id).model_dump_json(indent=2))
    elif arguments.step == "aggregate":
        print(*aggregate(settings, arguments.run_id), sep="\n")
    elif arguments.step == "index":
        print(index(settings, arguments.run_id).model_dump_json(indent=2))
    else:
        print(receipt(settings, arguments.run_id).model_dump_json(indent=2))


if __name__ == "__main__":
    main()
