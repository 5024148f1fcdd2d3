"""Reports for the person who sent a file, in `quarantine/<run id>/`: on each row kept out, or on the whole file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb

from include.domain.reasons import explain, field_of
from include.records import BronzeRecord, StagedFile
from include.runs import RunFolder, write_atomically

_FETCHED = 10_000
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9.,]+")


def write_reports(run: RunFolder, bronze: BronzeRecord, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Write a report for each file of a drop that was rejected or has quarantined rows.

    Args:
        run: The run.
        bronze: The files as Bronze read them; none in a rebuild, whose rows were reported when they were dropped.
        connection: From `open_batch`.

    Returns:
        Content hash of the file -> path of its report below the data folder.
    """
    reports = {}
    names = {file.sha256: file.name for file in bronze.files if file.reading is not None}
    for sha256, rows in groupby(_broken_rows(connection) if names else (), key=lambda row: str(row["source_sha256"])):
        reports[sha256] = _write_rows(run, names[sha256], rows)
    for file in bronze.files:
        if file.reading is None:
            reports[file.sha256] = _write_rejection(run, file)
    return {sha256: str(path.relative_to(run.settings.data_dir)) for sha256, path in reports.items()}


def _broken_rows(connection: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    found = connection.execute("SELECT * FROM broken ORDER BY source_sha256, source_line")
    names = [column[0] for column in found.description or []]
    while rows := found.fetchmany(_FETCHED):
        for row in rows:
            yield dict(zip(names, row, strict=True))


def _write_rows(run: RunFolder, name: str, rows: Iterator[dict[str, Any]]) -> Path:
    """Write a CSV with one line for each problem of each row: where it is, what is there, and what to do."""
    run.quarantine.mkdir(parents=True, exist_ok=True)
    path = run.quarantine / f"{name}.rows.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        report = csv.writer(stream)
        report.writerow(["file", "page", "line", "code", "value", "problem", "remedy"])
        for row in rows:
            for code in row["codes"]:
                value = as_text(row[field_of(code) or "raw"])
                report.writerow([as_text(name), row["source_page"], row["source_line"], code, value, *explain(code)])
    return path


def as_text(value: str | None) -> str | None:
    """Return `value` so that a spreadsheet shows it instead of computing it: with an apostrophe before a formula."""
    if value is None or not _FORMULA.match(value) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def _write_rejection(run: RunFolder, file: StagedFile) -> Path:
    """Copy the rejected file to the quarantine folder by hard link and write its report beside it."""
    run.quarantine.mkdir(parents=True, exist_ok=True)
    copy = run.quarantine / file.name
    if not copy.exists():
        copy.hardlink_to(run.original(file.name))
    report = run.quarantine / f"{file.name}.report.json"
    content = file.model_dump(exclude={"reading"}) | {"rows_loaded": 0}
    write_atomically(report, json.dumps(content, indent=2, ensure_ascii=False))
    return report
