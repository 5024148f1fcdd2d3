"""The accounting of a run: what its stages recorded -> its receipt. Reads and writes no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from include.quality.findings import QualityRecord
from include.receipts.model import Enrichment, FileEntry, QualityEntry, Receipt
from include.runs.folder import ClaimedFile, Manifest
from include.runs.records import (
    Balance,
    BronzeRecord,
    EnrichRecord,
    GoldRecord,
    SilverRecord,
    StagedFile,
    unreadable,
)
from include.sources.model import SourceReading


class Published(Protocol):
    """What the receipt takes from the record of a publish."""

    @property
    def warehouse(self) -> Literal["primary", "replica"]:
        """Side of the warehouse that took the batch."""

    @property
    def facts_loaded(self) -> int:
        """Lines of the batch that are live as this batch's."""

    @property
    def loaded(self) -> Mapping[str, Decimal]:
        """Currency -> amount of these, in the currency the lines are in."""

    @property
    def primary_seconds(self) -> float:
        """How long the primary took."""

    @property
    def replica_seconds(self) -> float:
        """How long the replica took."""

    @property
    def warnings(self) -> list[str]:
        """Sentences worth reading."""


@dataclass(frozen=True)
class RunRecords:
    """What the stages of a run recorded; None for a stage that had nothing to do."""

    manifest: Manifest
    bronze: BronzeRecord | None = None
    silver: SilverRecord | None = None
    enrich: EnrichRecord | None = None
    audit: QualityRecord | None = None
    gold: GoldRecord | None = None
    publish: Published | None = None


def account(
    records: RunRecords,
    *,
    base_currency: str,
    unreadable_reports: Mapping[str, str],
    put_back: Mapping[str, str],
    first_loads: Mapping[str, FileEntry],
    finished_at: datetime,
) -> Receipt:
    """Return the receipt of a run; `Receipt.check` says whether it balances.

    Args:
        records: What the stages recorded.
        base_currency: Code of the currency of rows that name none.
        unreadable_reports: Name of a file that could not be opened -> path of the report for its sender.
        put_back: Name of a file that was written to after it was read -> its name in the landing folder now.
        first_loads: Content hash of a file seen before -> its entry in the receipt of the run that loaded it.
        finished_at: When the run was done.
    """
    manifest, silver, published = records.manifest, records.silver or SilverRecord(), records.publish
    files = _files(records, unreadable_reports, first_loads)
    seen = [file for file in files if file.status == "already_seen"]
    seen_rows = sum(file.rows for file in seen)
    loaded_rows, loaded = _live(manifest, silver, published, base_currency)
    balances = {base_currency: Balance()} | {
        currency: _balance(currency, silver.balances(base_currency), loaded, seen, base_currency)
        for currency in sorted(
            {*silver.balances(base_currency), *loaded, *(name for file in seen for name in file.foreign_amounts)}
        )
    }
    own = balances.pop(base_currency)
    return Receipt(
        **own.model_dump(),
        base_currency=base_currency,
        other_currencies=balances,
        run_id=manifest.run_id,
        batch_id=manifest.batch_id,
        kind=manifest.kind,
        status=_status(manifest, files),
        started_at=manifest.claimed_at,
        finished_at=finished_at,
        files=files,
        rebuilt_days=manifest.days,
        rows_in=silver.rows_in + seen_rows,
        rows_loaded=loaded_rows,
        rows_duplicate=silver.rows_duplicate,
        rows_quarantined=silver.rows_quarantined,
        rows_already_seen=silver.rows_already_seen + silver.rows_loaded - loaded_rows + seen_rows,
        invoice_days=(silver.first_day, silver.last_day) if silver.first_day and silver.last_day else None,
        seconds=_seconds(records) | {"total": round((finished_at - manifest.claimed_at).total_seconds(), 1)},
        table_versions=_table_versions(records),
        warehouse=published.warehouse if published else None,
        enrichment=_enrichment(records.enrich) if records.enrich else None,
        warnings=_warnings(records, files, put_back),
        quality=_quality(records.audit) if records.audit else None,
    )


def _balance(
    currency: str, silver: Mapping[str, Balance], loaded: Mapping[str, Decimal], seen: list[FileEntry], base: str
) -> Balance:
    """Return what came in of one currency and what became of it, files that were seen before included."""
    found, live = silver.get(currency, Balance()), loaded.get(currency, Decimal(0))
    before = sum(
        (file.amount if currency == base else file.foreign_amounts.get(currency, Decimal(0)) for file in seen),
        Decimal(0),
    )
    return Balance(
        amount_in=found.amount_in + before,
        amount_loaded=live,
        amount_duplicate=found.amount_duplicate,
        amount_quarantined=found.amount_quarantined,
        amount_already_seen=found.amount_already_seen + found.amount_loaded - live + before,
    )


def _live(
    manifest: Manifest, silver: SilverRecord, published: Published | None, base: str
) -> tuple[int, Mapping[str, Decimal]]:
    """Return lines and money by currency that are live because of this run.

    A drop that failed and was run again may find lines live that another run has taken over meanwhile.
    """
    if manifest.kind == "rebuild" or published is None:
        return silver.rows_loaded, {name: found.amount_loaded for name, found in silver.balances(base).items()}
    return published.facts_loaded, published.loaded


def _status(manifest: Manifest, files: list[FileEntry]) -> Literal["loaded", "nothing_new", "rejected"]:
    found = {file.status for file in files}
    if "loaded" in found or manifest.source_batches:
        return "loaded"
    return "rejected" if "rejected" in found else "nothing_new"


def _files(
    records: RunRecords, unreadable_reports: Mapping[str, str], first_loads: Mapping[str, FileEntry]
) -> list[FileEntry]:
    staged = {file.sha256: file for file in records.bronze.files} if records.bronze else {}
    reports = {file.sha256: file.report for file in records.audit.files} if records.audit else {}
    entries = []
    for file in records.manifest.files:
        found = staged.get(file.sha256)
        reading = found.reading if found else None
        if file.status == "unreadable":
            entries.append(_rejected(file, unreadable(file), unreadable_reports[file.name]))
        elif file.status == "already_seen" and (reading or file.first_run_id != records.manifest.run_id):
            entries.append(_already_seen(file, reading or first_loads.get(file.sha256)))
        elif reading:
            entries.append(_loaded(file, reading, reports.get(file.sha256)))
        else:
            entries.append(_rejected(file, found, reports.get(file.sha256)))
    return entries


def _already_seen(file: ClaimedFile, counted: SourceReading | FileEntry | None) -> FileEntry:
    return FileEntry(
        name=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        status="already_seen",
        rows=counted.rows if counted else 0,
        amount=counted.amount if counted else Decimal(0),
        foreign_amounts=counted.foreign_amounts if counted else {},
        first_run_id=file.first_run_id,
    )


def _loaded(file: ClaimedFile, reading: SourceReading, report: str | None) -> FileEntry:
    return FileEntry(
        name=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        status="loaded",
        rows=reading.rows,
        amount=reading.amount,
        foreign_amounts=reading.foreign_amounts,
        decisions=reading.decisions,
        report=report,
    )


def _rejected(file: ClaimedFile, staged: StagedFile | None, report: str | None) -> FileEntry:
    return FileEntry(
        name=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        status="rejected",
        report=report,
        reason=f"{staged.code}: {staged.problem} {staged.remedy}" if staged else None,
    )


def _seconds(records: RunRecords) -> dict[str, float]:
    stages = {
        "bronze": records.bronze,
        "silver": records.silver,
        "enrich": records.enrich,
        "audit": records.audit,
        "gold": records.gold,
    }
    seconds = {name: record.seconds for name, record in stages.items() if record is not None}
    if records.gold and records.publish:
        seconds |= {
            "load": records.gold.load_seconds,
            "publish": records.publish.primary_seconds,
            "replica": records.publish.replica_seconds,
        }
    return {name: round(value, 1) for name, value in seconds.items()}


def _table_versions(records: RunRecords) -> dict[str, int]:
    versions: dict[str, int | None] = {
        **(records.gold.table_versions if records.gold else {}),
        **(records.enrich.table_versions if records.enrich else {}),
        "bronze": records.bronze.table_version if records.bronze else None,
        "silver": records.silver.table_version if records.silver else None,
        "quarantine": records.silver.quarantine_version if records.silver else None,
    }
    return {name: version for name, version in versions.items() if version is not None}


def _enrichment(record: EnrichRecord) -> Enrichment:
    return Enrichment(looked_up=record.looked_up, missing=record.missing, services=record.services)


def _quality(record: QualityRecord) -> QualityEntry:
    return QualityEntry(
        overall=record.overall,
        bar=record.bar,
        by_dimension={dimension.name: dimension.score for dimension in record.dimensions},
        released=record.release,
        report=str(record.report),
        drift_alerts=len(record.drift.alerts),
    )


def _warnings(records: RunRecords, files: list[FileEntry], put_back: Mapping[str, str]) -> list[str]:
    warnings = [f"{file.name}: {text}" for file in files if file.decisions for text in file.decisions.warnings]
    warnings += [f"{name}: not found in the landing folder." for name in records.manifest.not_found]
    warnings += [
        f"{name}: written to after it was read; put back as {now} to load the rest." for name, now in put_back.items()
    ]
    if records.audit:
        warnings += records.audit.drift.warnings()
    if records.publish:
        warnings += records.publish.warnings
    return warnings
