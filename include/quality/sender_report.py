"""Reports for the person who sent a file, in `quarantine/<run id>/`: on each row kept out, or on the whole file."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from include.files import replacing, write_atomically
from include.quality.reasons import explain, field_of
from include.quality.rules import COLUMNS
from include.runs.folder import ClaimedFile, Manifest, RunFolder, RunRecordMissing
from include.runs.marks import first_run_of
from include.runs.records import BronzeRecord, StagedFile
from include.settings import Settings
from include.sources.defects import VALUE_LIMIT, shortened

NAME_BYTES = 255
"""Longest file name in bytes that usual file systems take."""

KEPT_BYTES = 120
"""Bytes of a file's name that the name of its report begins with, if the whole name is too long."""

_COLUMNS = ("source_file", "source_sha256", "source_page", "source_line", "codes", *COLUMNS, "raw")
_READ_ROWS = 4_096
_FORMULA = re.compile("[=+\\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*")


def row_reports(run: RunFolder, manifest: Manifest) -> dict[str, str]:
    """Write one CSV a file with line, code, value, problem and remedy of each row the run quarantined.

    Returns:
        Content hash of the file -> path of its report below the data folder.
    """
    rows = _quarantined(run.settings, manifest)
    origins = rows.group_by(["source_sha256", "source_file"]).aggregate([]).to_pylist()
    files = {origin["source_sha256"]: origin["source_file"] for origin in origins}
    names = report_names(files, ".rows.csv", taken=[file.name for file in manifest.files])
    run.quarantine.mkdir(parents=True, exist_ok=True)
    reports = {}
    for sha256, found in groupby(_in_order(rows), key=lambda row: str(row["source_sha256"])):
        path = run.quarantine / names[sha256]
        _write_rows(path, found, _sheets(run, sha256))
        reports[sha256] = _below_data(run, path)
    return reports


def rejection_report(run: RunFolder, file: ClaimedFile, staged: StagedFile) -> str:
    """Put a rejected file into the quarantine folder by hard link and write its report beside it.

    A file that may not be read, or that was put back into the landing folder, stays where it is.

    Returns:
        Path of the report below the data folder.
    """
    run.quarantine.mkdir(parents=True, exist_ok=True)
    copy = run.quarantine / _flat(file.name)
    original = run.original(file.name)
    if file.status != "unreadable" and original.exists() and not copy.exists():
        copy.hardlink_to(original)
    others = [other.name for other in run.manifest().files]
    report = run.quarantine / report_names({file.sha256: file.name}, ".report.json", taken=others)[file.sha256]
    content = staged.model_dump(exclude={"reading"}) | {"rows_loaded": 0}
    write_atomically(report, json.dumps(content, indent=2, ensure_ascii=False))
    return _below_data(run, report)


def report_names(files: Mapping[str, str], ending: str, taken: Collection[str] = ()) -> dict[str, str]:
    """Return a name for the report on each file, none twice.

    It is the file's name and `ending`. A name that several files have, that is too long or that is taken gets the
    first 8 hex digits of the file's hash.

    Args:
        files: Content hash -> name of the file.
        ending: What the names of the reports end in.
        taken: Names that other files in the folder have or may get.
    """
    flat = {sha256: _flat(name) for sha256, name in files.items()}
    times = Counter(flat.values())
    names = {}
    for sha256, name in flat.items():
        names[sha256] = f"{name}{ending}"
        if times[name] > 1 or names[sha256] in taken:
            names[sha256] = f"{name}.{sha256[:8]}{ending}"
        if len(os.fsencode(names[sha256])) > NAME_BYTES:
            begin = os.fsencode(name)[:KEPT_BYTES].decode("utf-8", "ignore")
            names[sha256] = f"{begin}.{sha256[:8]}{ending}"
    return names


def _flat(name: str) -> str:
    """Return the name for a file beside others that a file from an archive gets: `archive.zip!sales.csv`."""
    return name.replace("/", "!")


def as_text(value: str | None) -> str:
    r"""Return `value` as a spreadsheet can show it, and shows it without computing it.

    A long value is shortened; control characters and others that cannot be seen are written as escapes such as `\x00`;
    what would be a formula stands behind an apostrophe.
    """
    return inert(shortened(value or ""))


def inert(value: str) -> str:
    r"""Return `value` whole, with what cannot be seen as escapes and what would be a formula behind an apostrophe."""
    seen = value
    if not value.isprintable():
        seen = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in value
        )
    return f"'{seen}" if _FORMULA.match(seen) and not _NUMBER.fullmatch(seen) else seen


def _quarantined(settings: Settings, manifest: Manifest) -> pa.Table:
    """Return the quarantined rows of a run, the raw text cut to what a report shows."""
    ours = pc.field("batch_id").isin([manifest.batch_id, *manifest.source_batches])
    if manifest.kind == "rebuild":
        ours &= pc.field("invoice_day").isin(manifest.days)
    quarantine = DeltaTable(settings.table("silver", "quarantine")).to_pyarrow_dataset()
    # A row's raw text has up to 65,536 characters: few rows at a time are in memory with all of it.
    scanner = quarantine.scanner(list(_COLUMNS), ours, batch_size=_READ_ROWS, batch_readahead=1, fragment_readahead=1)
    raw = _COLUMNS.index("raw")
    batches = [
        batch.set_column(raw, "raw", pc.utf8_slice_codeunits(batch.column(raw), 0, VALUE_LIMIT + 1))
        for batch in scanner.to_batches()
    ]
    return pa.Table.from_batches(batches, scanner.projected_schema)


def _in_order(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows by file and line."""
    for batch in rows.sort_by([("source_sha256", "ascending"), ("source_line", "ascending")]).to_batches(_READ_ROWS):
        yield from batch.to_pylist()


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]], sheets: Sequence[str]) -> None:
    """Write a CSV with one line for each problem of each row; `sheets` are the names of a workbook's sheets."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8-sig", newline="") as stream:
        report = csv.writer(stream)
        report.writerow(["file", "sheet", "page", "line", "code", "value", "problem", "remedy"])
        for row in rows:
            page = row["source_page"]
            sheet, page = (sheets[page - 1], None) if sheets else (None, page)
            origin = [as_text(row["source_file"]), as_text(sheet), page, row["source_line"]]
            for code in row["codes"]:
                report.writerow([*origin, code, as_text(row[field_of(code) or "raw"]), *explain(code)])


def _sheets(run: RunFolder, sha256: str) -> list[str]:
    """Return the names of the sheets of a workbook, as the run that read it recorded them; none for other files."""
    reader = first_run_of(run.settings, sha256)
    for folder in (run, *([RunFolder(run.settings, reader)] if reader else [])):
        try:
            files = folder.stage("bronze", BronzeRecord).files
        except RunRecordMissing:
            continue
        for file in files:
            if file.sha256 == sha256 and file.reading is not None:
                return file.reading.decisions.sheets
    return []


def _below_data(run: RunFolder, path: Path) -> str:
    return str(path.relative_to(run.settings.data_dir))
