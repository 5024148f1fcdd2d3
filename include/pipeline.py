"""The Python steps of a run: claim, enrich, audit, publish, index, receipt. Each can be run without Airflow.

`python -m include.pipeline claim|enrich|audit|publish|index|receipt RUN_ID` does what the DAG's task of that name does.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow.compute as pc
from deltalake import DeltaTable

from include.failover import Publication, record_receipt
from include.failover import publish as publish_batch
from include.files import write_atomically
from include.lake.in_use import uses_lake
from include.quality.gate import STAGE, check
from include.quality.reconciliation import reconcile
from include.quality.record import QualityRecord, score_rows
from include.quality.sender_report import rejection_report
from include.receipts import FileEntry, QualityEntry, Receipt
from include.records import (
    UNREADABLE,
    BronzeRecord,
    EnrichRecord,
    GoldRecord,
    IndexEntry,
    IndexRecord,
    SilverRecord,
    StagedFile,
)
from include.runs import (
    ClaimedFile,
    Manifest,
    RunFolder,
    RunRecordMissing,
    claim_drop,
    claim_rebuild,
    has_changed,
    mark_published,
    mark_seen,
    put_back,
)
from include.settings import Settings, get_settings
from include.warehouse import gold_batch


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
    # HTTP clients and the product model take seconds to import; only this step needs them.
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
    # DuckDB takes half a second to import, which the other steps need not wait for.
    from include.quality.audit import assess

    run = RunFolder(settings, run_id)
    manifest, bronze, silver = run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord)
    reconcile(manifest, bronze, silver)
    record = assess(run, manifest, bronze, silver)
    check(record)
    return record


@uses_lake
def publish(settings: Settings, run_id: str) -> Publication | None:
    """Make the batch live in the warehouse, in one transaction; then bring the aggregates up to it.

    While the primary is away the batch goes to the replica, which then serves; that is no failure.

    Returns:
        None if Gold had nothing to do.

    Raises:
        PublishError: If the rows of the batch contradict themselves or the star.
        WarehouseUnavailable: If neither the primary nor the replica can take the batch.
    """
    from include.aggregates import write_aggregates, write_documents  # as in `audit`

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
    write_aggregates(settings, silver.months)
    write_documents(settings)
    return publication


@uses_lake
def index(settings: Settings, run_id: str) -> IndexRecord:
    """Bring the product search up to what is published; if its service is down, leave that to the next run."""
    from include.search.index import bring_up_to_date  # as in `audit`

    run = RunFolder(settings, run_id)
    record = bring_up_to_date(settings, run_id)
    run.save_stage("index", record)
    return record


def _holds_lines(settings: Settings, batch_id: str) -> bool:
    lines = DeltaTable(settings.table("silver", "invoice_lines")).to_pyarrow_dataset()
    return bool(lines.head(1, columns=["batch_id"], filter=pc.field("batch_id") == batch_id).num_rows)


@uses_lake
def receipt(settings: Settings, run_id: str) -> Receipt:
    """Account for the run and write the receipt.

    Args:
        settings: Where receipts are kept.
        run_id: Airflow run id.

    Raises:
        ReceiptUnbalanced: If rows or money do not balance.
        RunRecordMissing: If a stage has not finished.
        WarehouseUnavailable: If neither the primary nor the replica can take the receipt.
    """
    run = RunFolder(settings, run_id)
    quality = run.stage(STAGE, QualityRecord) if run.manifest().has_work else None
    document = build_receipt(run, quality)
    document.check()
    write_atomically(run.receipt, document.model_dump_json(indent=2))
    record_receipt(settings, document, score_rows(quality) if quality is not None else [])
    for entry in document.files:
        if entry.status == "loaded":
            mark_seen(settings, entry.sha256, run_id)
    for staged in run.staged.glob("*.parquet"):
        staged.unlink()
    return document


def build_receipt(run: RunFolder, quality: QualityRecord | None) -> Receipt:
    """Return the receipt of a run from the records its stages left."""
    manifest = run.manifest()
    bronze = run.stage("bronze", BronzeRecord) if manifest.has_work else None
    silver = run.stage("silver", SilverRecord) if manifest.has_work else None
    enriched = run.stage("enrich", EnrichRecord) if manifest.has_work else None
    gold = run.stage("gold", GoldRecord) if manifest.has_work else None
    published = run.stage("publish", Publication) if gold and gold.token else None
    loaded_rows, loaded_amount = _loaded(manifest, silver, published) if silver else (0, Decimal(0))
    try:
        indexed = run.stage("index", IndexRecord) if manifest.has_work else None
    except RunRecordMissing:
        indexed = None  # a run from before there was a search
    staged = {file.sha256: file for file in bronze.files} if bronze else {}
    reports = {file.sha256: file.report for file in quality.files} if quality else {}
    files = [_file_entry(run, file, staged.get(file.sha256), reports) for file in manifest.files]
    seen_before = [file for file in files if file.status == "already_seen"]
    seen_rows = sum(file.rows for file in seen_before)
    seen_amount = sum((file.amount for file in seen_before), Decimal(0))
    versions = dict(gold.table_versions) if gold else {}
    if enriched is not None:
        versions |= enriched.table_versions
    if bronze and bronze.table_version is not None:
        versions["bronze"] = bronze.table_version
    if silver is not None:
        tables = {"silver": silver.table_version, "quarantine": silver.quarantine_version}
        versions |= {name: version for name, version in tables.items() if version is not None}
    warnings = [
        f"{file.name}: {warning}" for file in files if file.decisions is not None for warning in file.decisions.warnings
    ]
    warnings += [f"{name}: not found in the landing folder." for name in manifest.not_found]
    for file in manifest.new_files:
        if staged[file.sha256].reading is not None and run.original(file.name).exists() and has_changed(run, file):
            warnings.append(
                f"{file.name}: written to after it was read; put back as {put_back(run, file)} to load the rest."
            )
    warnings += quality.drift.warnings() if quality else []
    if published is not None:
        warnings += published.warnings
    if indexed and indexed.status == "pending":
        warnings.append(
            f"The product search is not up to date: {indexed.reason} The next run catches up, or "
            "`python -m include.search catch-up`."
        )
    finished_at = datetime.now(UTC)
    stages = {"bronze": bronze, "silver": silver, "enrich": enriched, "audit": quality, "gold": gold, "index": indexed}
    seconds = {name: round(record.seconds, 1) for name, record in stages.items() if record is not None}
    if gold is not None and published is not None:
        seconds |= {
            "load": round(gold.load_seconds, 1),
            "publish": round(published.primary_seconds, 1),
            "replica": round(published.replica_seconds, 1),
        }
    if any(file.status == "loaded" for file in files) or manifest.source_batches:
        status = "loaded"
    else:
        status = "rejected" if any(file.status == "rejected" for file in files) else "nothing_new"
    return Receipt.model_validate(
        {
            "run_id": run.run_id,
            "batch_id": manifest.batch_id,
            "kind": manifest.kind,
            "status": status,
            "started_at": manifest.claimed_at,
            "finished_at": finished_at,
            "files": files,
            "rebuilt_days": manifest.days,
            "rows_in": (silver.rows_in if silver else 0) + seen_rows,
            "rows_loaded": loaded_rows,
            "rows_duplicate": silver.rows_duplicate if silver else 0,
            "rows_quarantined": silver.rows_quarantined if silver else {},
            "rows_already_seen": (
                (silver.rows_already_seen + silver.rows_loaded - loaded_rows if silver else 0) + seen_rows
            ),
            "amount_in": (silver.amount_in if silver else Decimal(0)) + seen_amount,
            "amount_loaded": loaded_amount,
            "amount_duplicate": silver.amount_duplicate if silver else Decimal(0),
            "amount_quarantined": silver.amount_quarantined if silver else Decimal(0),
            "amount_already_seen": (
                (silver.amount_already_seen + silver.amount_loaded - loaded_amount if silver else Decimal(0))
                + seen_amount
            ),
            "invoice_days": (silver.first_day, silver.last_day) if silver and silver.first_day else None,
            "seconds": seconds | {"total": round((finished_at - manifest.claimed_at).total_seconds(), 1)},
            "table_versions": versions,
            "warehouse": published.warehouse if published else None,
            "enrichment": enriched.model_dump(include={"looked_up", "missing", "services"}) if enriched else None,
            "warnings": warnings,
            "quality": _quality_entry(quality) if quality else None,
            "index": IndexEntry.model_validate(indexed.model_dump(exclude={"seconds"})) if indexed else None,
        }
    )


def _loaded(manifest: Manifest, silver: SilverRecord, published: Publication | None) -> tuple[int, Decimal]:
    """Return lines and GBP that are live because of this run.

    A drop that failed and was run again may find lines live that another run has taken over meanwhile.
    """
    if manifest.kind == "rebuild" or published is None:
        return silver.rows_loaded, silver.amount_loaded
    return published.facts_loaded, published.amount_loaded


def _quality_entry(quality: QualityRecord) -> QualityEntry:
    return QualityEntry(
        overall=quality.overall,
        bar=quality.bar,
        by_dimension={dimension.name: dimension.score for dimension in quality.dimensions},
        released=quality.release,
        report=str(quality.report),
        drift_alerts=len(quality.drift.alerts),
    )


def _file_entry(
    run: RunFolder, file: ClaimedFile, staged: StagedFile | None, reports: dict[str, str | None]
) -> FileEntry:
    if file.status == "unreadable":
        code, problem, remedy = UNREADABLE
        problem = problem.format(file.problem)
        staged = StagedFile(name=file.name, sha256=file.sha256, code=code, problem=problem, remedy=remedy)
        reports = {file.sha256: rejection_report(run, file, staged)}
    twin = file.status == "already_seen" and file.first_run_id == run.run_id
    reading = staged.reading if staged else None
    if file.status == "already_seen" and (reading or not twin):
        rows, amount = (reading.rows, reading.amount) if reading else _rows_of_first_load(run.settings, file)
        return FileEntry(
            name=file.name,
            sha256=file.sha256,
            bytes=file.bytes,
            status="already_seen",
            rows=rows,
            amount=amount,
            first_run_id=file.first_run_id,
        )
    if reading is None:
        return FileEntry(
            name=file.name,
            sha256=file.sha256,
            bytes=file.bytes,
            status="rejected",
            report=reports.get(file.sha256),
            reason=f"{staged.code}: {staged.problem} {staged.remedy}" if staged else None,
        )
    return FileEntry(
        name=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        status="loaded",
        rows=reading.rows,
        amount=reading.amount,
        decisions=reading.decisions,
        report=reports.get(file.sha256),
    )


def _rows_of_first_load(settings: Settings, file: ClaimedFile) -> tuple[int, Decimal]:
    if file.first_run_id is None:
        return 0, Decimal(0)
    first = RunFolder(settings, file.first_run_id)
    if not first.receipt.exists():
        return 0, Decimal(0)
    known = Receipt.model_validate_json(first.receipt.read_bytes())
    for entry in known.files:
        if entry.sha256 == file.sha256 and entry.status == "loaded":
            return entry.rows, entry.amount
    return 0, Decimal(0)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m include.pipeline", description=__doc__)
    parser.add_argument("step", choices=["claim", "enrich", "audit", "publish", "index", "receipt"])
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
    elif arguments.step == "index":
        print(index(settings, arguments.run_id).model_dump_json(indent=2))
    else:
        print(receipt(settings, arguments.run_id).model_dump_json(indent=2))


if __name__ == "__main__":
    main()
