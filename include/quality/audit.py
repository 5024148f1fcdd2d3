"""The quality audit of a batch: scores, drift, the reports and the verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import duckdb

from include.quality.batch import files_of, open_batch
from include.quality.drift import drift_of
from include.quality.findings import QualityRecord
from include.quality.history import last_verdicts, save_scores
from include.quality.holding import STAGE, decide, keep_marker, release_of
from include.quality.profiles import DayProfile, known_profiles, profiles_of, save_profiles
from include.quality.report import write_report
from include.quality.scoring import (
    column_scores,
    dimension_scores,
    file_summaries,
    lag_days,
    overall_score,
    score_rules,
)
from include.quality.sender_report import rejection_report, row_reports
from include.runs.folder import Manifest, RunFolder
from include.runs.records import BronzeRecord, SilverRecord

HISTORY = 30
"""Batches that the report shows."""


def measure(
    run: RunFolder,
    manifest: Manifest,
    bronze: BronzeRecord,
    silver: SilverRecord,
    connection: duckdb.DuckDBPyConnection,
    reports: Mapping[str, str],
) -> tuple[QualityRecord, list[DayProfile]]:
    """Return scores, drift and verdict of a batch, and the profiles of its days; writes nothing.

    Args:
        run: The run.
        manifest: What it works on.
        bronze: The files as Bronze read them.
        silver: What became of each row.
        connection: From `open_batch`.
        reports: Content hash -> path of the report for the file's sender.
    """
    rules = score_rules(connection, manifest, silver)
    overall = overall_score(rules) if silver.rows_in else None
    profiles = profiles_of(connection)
    kept = known_profiles(run.settings, [profile.invoice_day for profile in profiles])
    if manifest.kind == "drop":
        others = [profile for profile in kept if profile.batch_id != manifest.batch_id]
    else:
        others = [profile for profile in kept if profile.invoice_day not in manifest.days]
    bar = run.settings.quality_bar
    release = release_of(run)
    status = decide(overall, bar, release)
    record = QualityRecord(
        run_id=run.run_id,
        batch_id=manifest.batch_id,
        kind=manifest.kind,
        scored_at=datetime.now(UTC),
        status=status,
        overall=overall,
        bar=bar,
        rows_in=silver.rows_in,
        rows_loaded=silver.rows_loaded,
        rows_duplicate=silver.rows_duplicate,
        rows_quarantined=sum(silver.rows_quarantined.values()),
        rows_already_seen=silver.rows_already_seen,
        lag_days=lag_days(connection),
        dimensions=dimension_scores(rules),
        columns=column_scores(rules),
        rules=rules,
        files=file_summaries(connection, files_of(manifest, bronze), reports),
        drift=drift_of(profiles, others, manifest.claimed_at),
        release=release if status == "released" else None,
    )
    return record, profiles


def _sender_reports(run: RunFolder, manifest: Manifest, bronze: BronzeRecord, silver: SilverRecord) -> dict[str, str]:
    """Write a report for each file that has quarantined rows or was rejected; return its path by content hash."""
    reports = row_reports(run, manifest) if silver.rows_quarantined else {}
    claimed = {file.sha256: file for file in manifest.new_files}
    rejected = [file for file in bronze.files if file.reading is None]
    return reports | {file.sha256: rejection_report(run, claimed[file.sha256], file) for file in rejected}


def assess(run: RunFolder, manifest: Manifest, bronze: BronzeRecord, silver: SilverRecord) -> QualityRecord:
    """Score a batch and write what comes of it; a second call replaces what the first wrote.

    Written are the reports for the senders of files, the scores (`quality/scores`), the profiles of its days unless it
    is held (`quality/profiles`), the report (`data/quality/<run id>.html`) and the record of stage `audit`.
    """
    started = time.monotonic()
    with open_batch(run, manifest, bronze, silver) as connection:
        reports = _sender_reports(run, manifest, bronze, silver)
        record, profiles = measure(run, manifest, bronze, silver, connection, reports)
    save_scores(run.settings, record)
    if record.status != "held":
        save_profiles(run.settings, manifest, profiles)
    record.seconds = round(time.monotonic() - started, 2)
    record.report = write_report(run, record, last_verdicts(run.settings, HISTORY))
    run.save_stage(STAGE, record)
    keep_marker(run, record)
    return record
