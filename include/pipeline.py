"""The Python steps of a run: audit, publish, receipt. Each can be run without Airflow.

`python -m include.pipeline claim|audit|publish|receipt RUN_ID` does what the DAG's task of that name does.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal

from include.quality.gate import STAGE, check
from include.quality.reconciliation import reconcile
from include.quality.record import QualityRecord, score_rows
from include.receipts import FileEntry, QualityEntry, Receipt
from include.records import BronzeRecord, GoldRecord, SilverRecord, StagedFile
from include.runs import (
    ClaimedFile,
    Manifest,
    RunFolder,
    claim_drop,
    claim_rebuild,
    mark_seen,
    write_atomically,
)
from include.settings import Settings, get_settings
from include.warehouse.engine import open_engine
from include.warehouse.publish import PublishReport
from include.warehouse.publish import publish as publish_batch
from include.warehouse.quality import save_scores
from include.warehouse.receipts import save_receipt


def claim(settings: Settings, run_id: str, only: list[str] | None = None, day: date | None = None) -> Manifest:
    """Claim the settled files of the landing folder, or one invoice day to rebuild.

    Args:
        settings: Where the landing folder is.
        run_id: Airflow run id.
        only: Names of files to claim; all if empty.
        day: Invoice day to rebuild from Bronze instead of claiming files.
    """
    return claim_rebuild(settings, run_id, day) if day else claim_drop(settings, run_id, only)


def audit(settings: Settings, run_id: str) -> QualityRecord:
    """Reconcile the batch, score it, and hold it if it is below the bar.

    Raises:
        AuditFailed: If rows or money differ between the stages.
        QualityBelowBar: If the score is below the bar and nobody has released the run.
    """
    # DuckDB and Arrow take half a second to import, which no other step needs.
    from include.quality.audit import assess

    run = RunFolder(settings, run_id)
    manifest, bronze, silver = run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord)
    reconcile(manifest, bronze, silver)
    record = assess(run, manifest, bronze, silver)
    check(record)
    return record


def publish(settings: Settings, run_id: str) -> PublishReport | None:
    """Make the staged batch live in the warehouse, in one transaction; None if the run staged nothing.

    Raises:
        PublishError: If nothing is staged for the batch.
    """
    run = RunFolder(settings, run_id)
    manifest, gold = run.manifest(), run.stage("gold", GoldRecord)
    if not gold.token:
        return None
    with open_engine(settings) as engine:
        report = publish_batch(
            engine,
            settings,
            manifest.batch_id,
            run_id,
            manifest.kind,
            gold.token,
            manifest.days,
            staged_rows=gold.staged_rows,
            source_batches=manifest.source_batches if manifest.kind == "rebuild" else None,
        )
    run.save_stage("publish", report)
    return report


def receipt(settings: Settings, run_id: str) -> Receipt:
    """Account for the run and write the receipt.

    Args:
        settings: Where receipts are kept.
        run_id: Airflow run id.

    Raises:
        ReceiptUnbalanced: If rows or money do not balance.
        RunRecordMissing: If a stage has not finished.
    """
    run = RunFolder(settings, run_id)
    quality = run.stage(STAGE, QualityRecord) if run.manifest().has_work else None
    document = build_receipt(run, quality)
    document.check()
    write_atomically(run.receipt, document.model_dump_json(indent=2))
    with open_engine(settings) as engine:
        save_receipt(engine, document)
        if quality is not None:
            save_scores(engine, score_rows(quality))
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
    gold = run.stage("gold", GoldRecord) if manifest.has_work else None
    staged = {file.sha256: file for file in bronze.files} if bronze else {}
    reports = {file.sha256: file.report for file in quality.files} if quality else {}
    files = [_file_entry(run, file, staged.get(file.sha256), reports) for file in manifest.files]
    seen_before = [file for file in files if file.status == "already_seen"]
    seen_rows = sum(file.rows for file in seen_before)
    seen_amount = sum((file.amount for file in seen_before), Decimal(0))
    versions = dict(gold.table_versions) if gold else {}
    if bronze and bronze.table_version is not None:
        versions["bronze"] = bronze.table_version
    if silver is not None:
        tables = {"silver": silver.table_version, "quarantine": silver.quarantine_version}
        versions |= {name: version for name, version in tables.items() if version is not None}
    warnings = [
        f"{file.name}: {warning}" for file in files if file.decisions is not None for warning in file.decisions.warnings
    ]
    warnings += quality.drift.warnings() if quality else []
    finished_at = datetime.now(UTC)
    seconds = {
        name: round(record.seconds, 1)
        for name, record in (("bronze", bronze), ("silver", silver), ("gold", gold))
        if record is not None
    }
    if not manifest.has_work:
        status = "nothing_new"
    elif manifest.kind == "drop" and not any(file.status == "loaded" for file in files):
        status = "rejected"
    else:
        status = "loaded"
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
            "rows_loaded": silver.rows_loaded if silver else 0,
            "rows_duplicate": silver.rows_duplicate if silver else 0,
            "rows_quarantined": silver.rows_quarantined if silver else {},
            "rows_already_seen": (silver.rows_already_seen if silver else 0) + seen_rows,
            "amount_in": (silver.amount_in if silver else Decimal(0)) + seen_amount,
            "amount_loaded": silver.amount_loaded if silver else Decimal(0),
            "amount_duplicate": silver.amount_duplicate if silver else Decimal(0),
            "amount_quarantined": silver.amount_quarantined if silver else Decimal(0),
            "amount_already_seen": (silver.amount_already_seen if silver else Decimal(0)) + seen_amount,
            "invoice_days": (silver.first_day, silver.last_day) if silver and silver.first_day else None,
            "seconds": seconds | {"total": round((finished_at - manifest.claimed_at).total_seconds(), 1)},
            "table_versions": versions,
            "warnings": warnings,
            "quality": _quality_entry(quality) if quality else None,
        }
    )


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
    if file.status == "already_seen":
        rows, amount = _rows_of_first_load(run.settings, file)
        return FileEntry(
            name=file.name,
            sha256=file.sha256,
            bytes=file.bytes,
            status="already_seen",
            rows=rows,
            amount=amount,
            first_run_id=file.first_run_id,
        )
    if staged is None or staged.reading is None:
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
        rows=staged.reading.rows,
        amount=staged.reading.amount,
        decisions=staged.reading.decisions,
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
    parser.add_argument("step", choices=["claim", "audit", "publish", "receipt"])
    parser.add_argument("run_id", help="Airflow run id")
    parser.add_argument("--day", type=date.fromisoformat, help="claim: invoice day to rebuild instead of files")
    arguments = parser.parse_args()
    settings = get_settings()
    if arguments.step == "claim":
        manifest = claim(settings, arguments.run_id, day=arguments.day)
        print(Counter(file.status for file in manifest.files))
    elif arguments.step == "audit":
        quality = audit(settings, arguments.run_id)
        print(f"{quality.status}: {quality.overall}, bar {quality.bar}")
    elif arguments.step == "publish":
        report = publish(settings, arguments.run_id)
        print(report.model_dump_json(indent=2) if report else "nothing staged")
    else:
        print(receipt(settings, arguments.run_id).model_dump_json(indent=2))


if __name__ == "__main__":
    main()
