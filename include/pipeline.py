"""The Python steps of a run: claim, enrich, audit, publish, receipt. Each can be run without Airflow.

`python -m include.pipeline claim|enrich|audit|publish|receipt RUN_ID` does what the DAG's task of that name does.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from deltalake import DeltaTable

from include.domain.reasons import explain, field_of
from include.quality.reconciliation import reconcile
from include.receipts import FileEntry, Receipt
from include.records import BronzeRecord, EnrichRecord, GoldRecord, SilverRecord, StagedFile
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
from include.warehouse.failover import Publication, record_receipt
from include.warehouse.failover import publish as publish_batch
from include.warehouse.gold import gold_batch


def claim(settings: Settings, run_id: str, only: list[str] | None = None, day: date | None = None) -> Manifest:
    """Claim the settled files of the landing folder, or one invoice day to rebuild.

    Args:
        settings: Where the landing folder is.
        run_id: Airflow run id.
        only: Names of files to claim; all if empty.
        day: Invoice day to rebuild from Bronze instead of claiming files.
    """
    return claim_rebuild(settings, run_id, day) if day else claim_drop(settings, run_id, only)


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


def audit(settings: Settings, run_id: str) -> None:
    """Reconcile the batch.

    Raises:
        AuditFailed: If rows or money differ between the stages.
    """
    run = RunFolder(settings, run_id)
    reconcile(run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord))


def publish(settings: Settings, run_id: str) -> Publication | None:
    """Make the batch live in the warehouse, in one transaction; None if Gold had nothing to do.

    While the primary is away the batch goes to the replica, which then serves; that is no failure.

    Raises:
        PublishError: If the rows of the batch contradict themselves or the star.
        WarehouseUnavailable: If neither the primary nor the replica can take the batch.
    """
    run = RunFolder(settings, run_id)
    batch = gold_batch(run)
    if batch is None:
        return None
    publication = publish_batch(settings, batch)
    run.save_stage("publish", publication)
    return publication


def receipt(settings: Settings, run_id: str) -> Receipt:
    """Account for the run, write the receipt and the reports to the senders of files.

    Args:
        settings: Where receipts are kept.
        run_id: Airflow run id.

    Raises:
        ReceiptUnbalanced: If rows or money do not balance.
        RunRecordMissing: If a stage has not finished.
        WarehouseUnavailable: If neither the primary nor the replica can take the receipt.
    """
    run = RunFolder(settings, run_id)
    document = build_receipt(run)
    document.check()
    write_atomically(run.receipt, document.model_dump_json(indent=2))
    record_receipt(settings, document)
    for entry in document.files:
        if entry.status == "loaded":
            mark_seen(settings, entry.sha256, run_id)
    for staged in run.staged.glob("*.parquet"):
        staged.unlink()
    return document


def build_receipt(run: RunFolder) -> Receipt:
    """Return the receipt of a run from the records its stages left; writes the reports on quarantined rows."""
    manifest = run.manifest()
    bronze = run.stage("bronze", BronzeRecord) if manifest.has_work else None
    silver = run.stage("silver", SilverRecord) if manifest.has_work else None
    enriched = run.stage("enrich", EnrichRecord) if manifest.has_work else None
    gold = run.stage("gold", GoldRecord) if manifest.has_work else None
    published = run.stage("publish", Publication) if gold and gold.token else None
    staged = {file.sha256: file for file in bronze.files} if bronze else {}
    reports = _row_reports(run, manifest) if silver and silver.rows_quarantined else {}
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
    if published is not None:
        warnings += published.warnings
    finished_at = datetime.now(UTC)
    seconds = {
        name: round(record.seconds, 1)
        for name, record in (("bronze", bronze), ("silver", silver), ("enrich", enriched), ("gold", gold))
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
            "warehouse": published.warehouse if published else None,
            "enrichment": enriched.model_dump(include={"looked_up", "missing", "services"}) if enriched else None,
            "warnings": warnings,
        }
    )


def _file_entry(run: RunFolder, file: ClaimedFile, staged: StagedFile | None, reports: dict[str, str]) -> FileEntry:
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
            report=_rejection_report(run, file, staged) if staged else None,
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


def _relative(settings: Settings, path: Path) -> str:
    return str(path.relative_to(settings.data_dir))


def _rejection_report(run: RunFolder, file: ClaimedFile, staged: StagedFile) -> str:
    """Copy the rejected file to the quarantine folder by hard link and write its report beside it."""
    run.quarantine.mkdir(parents=True, exist_ok=True)
    copy = run.quarantine / file.name
    if not copy.exists():
        copy.hardlink_to(run.original(file.name))
    report = run.quarantine / f"{file.name}.report.json"
    content = staged.model_dump(exclude={"reading"}) | {"rows_loaded": 0}
    write_atomically(report, json.dumps(content, indent=2, ensure_ascii=False))
    return _relative(run.settings, report)


def _row_reports(run: RunFolder, manifest: Manifest) -> dict[str, str]:
    """Write one CSV a file with line, code, value, problem and remedy of each quarantined row."""
    table = DeltaTable(run.settings.table("silver", "quarantine"))
    batches = [manifest.batch_id, *manifest.source_batches]
    rows = table.to_pyarrow_table(filters=[("batch_id", "in", batches)]).to_pylist()
    run.quarantine.mkdir(parents=True, exist_ok=True)
    reports: dict[str, str] = {}
    names = {row["source_sha256"]: row["source_file"] for row in rows}
    for sha256, name in names.items():
        path = run.quarantine / f"{name}.rows.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as stream:
            report = csv.writer(stream)
            report.writerow(["file", "page", "line", "code", "value", "problem", "remedy"])
            for row in sorted(rows, key=lambda row: int(row["source_line"])):
                if row["source_sha256"] != sha256:
                    continue
                for code in row["codes"]:
                    field = field_of(code)
                    value = row[field] if field else row["raw"]
                    problem, remedy = explain(code)
                    report.writerow([name, row["source_page"], row["source_line"], code, value, problem, remedy])
        reports[sha256] = _relative(run.settings, path)
    return reports


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m include.pipeline", description=__doc__)
    parser.add_argument("step", choices=["claim", "enrich", "audit", "publish", "receipt"])
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
        audit(settings, arguments.run_id)
    elif arguments.step == "publish":
        publication = publish(settings, arguments.run_id)
        print(publication.model_dump_json(indent=2) if publication else "nothing to publish")
    else:
        print(receipt(settings, arguments.run_id).model_dump_json(indent=2))


if __name__ == "__main__":
    main()
