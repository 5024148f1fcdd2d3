"""Reports for the senders of files: fit for a spreadsheet, one a file, of the run's own rows, under any name."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from include.quality.rules import COLUMNS
from include.quality.sender_report import as_text, rejection_report, report_names, row_reports
from include.runs.folder import Manifest, RunFolder
from include.runs.landing import claim_drop, landing
from include.runs.marks import mark_seen
from include.runs.records import BronzeRecord, StagedFile
from include.settings import Settings
from include.sources.model import FileDecisions, SourceReading

DAY, OTHER_DAY = date(2010, 12, 1), date(2010, 12, 2)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, settle_seconds=0)


def quarantined(settings: Settings, *rows: dict[str, Any]) -> None:
    """Write rows to the quarantine table; what a row does not say is null."""
    text = {name: pa.string() for name in ("batch_id", "source_file", "source_sha256", *COLUMNS, "raw", "code")}
    types = text | {
        "source_line": pa.int64(),
        "source_page": pa.int32(),
        "codes": pa.list_(pa.string()),
        "invoice_day": pa.date32(),
    }
    plain = {"batch_id": "b1", "source_file": "a.csv", "source_sha256": "a" * 64, "source_line": 2}
    table = pa.Table.from_pylist([plain | row for row in rows], pa.schema(types.items()))
    write_deltalake(settings.table("silver", "quarantine"), table, partition_by=["batch_id", "invoice_day"])


def run_of(settings: Settings, kind: Literal["drop", "rebuild"] = "drop", **fields: Any) -> tuple[RunFolder, Manifest]:
    run = RunFolder(settings, "run-1")
    plain = {"run_id": "run-1", "batch_id": "b1", "claimed_at": datetime.now(UTC)}
    manifest = Manifest.model_validate({**plain, "kind": kind, **fields})
    run.save_manifest(manifest)
    return run, manifest


def lines_of(settings: Settings, report: str) -> list[dict[str, str]]:
    with (settings.data_dir / report).open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("MUG", "MUG"),
        ("=cmd|' /C calc'!A1", "'=cmd|' /C calc'!A1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+1+2", "'+1+2"),
        ("-2,5x", "'-2,5x"),
        ("-", "'-"),
        ("\uff1d1+2", "'\uff1d1+2"),
        ("-1", "-1"),
        ("+3", "+3"),
        ("-1,234.50", "-1,234.50"),
        ("\t=1+2", r"\t=1+2"),
        ("\r=1+2", r"\r=1+2"),
        ("A\0B\x1b[31m", r"A\x00B\x1b[31m"),
        ("two\nlines", r"two\nlines"),
        ("15\u00a0CM\u200b", r"15\xa0CM\u200b"),
        ("evil\u202egpj", r"evil\u202egpj"),
        ("\udc80", r"\udc80"),
        ("Caf\u00e9 \u20ac", "Caf\u00e9 \u20ac"),
    ],
)
def test_a_value_is_shown_and_not_computed(value: str | None, shown: str) -> None:
    assert as_text(value) == shown


def test_a_long_value_is_shortened() -> None:
    assert as_text("x" * 65_536) == "x" * 199 + "\u2026"


def test_one_line_for_each_problem_of_each_row(settings: Settings) -> None:
    quarantined(
        settings,
        {"source_line": 9, "codes": ["too_few_columns"], "raw": "=1,2" + "\0" * 70_000},
        {"source_line": 3, "codes": ["malformed_quantity", "missing_country"], "quantity": "=1+1", "source_page": 4},
        {"batch_id": "other", "codes": ["malformed_price"], "price": "1,5"},
    )
    run, manifest = run_of(settings)
    reports = row_reports(run, manifest)
    assert reports == {"a" * 64: "quarantine/run-1/a.csv.rows.csv"}
    lines = lines_of(settings, reports["a" * 64])
    assert [(line["line"], line["page"], line["code"]) for line in lines] == [
        ("3", "4", "malformed_quantity"),
        ("3", "4", "missing_country"),
        ("9", "", "too_few_columns"),
    ]
    assert [line["value"] for line in lines[:2]] == ["'=1+1", ""]
    assert lines[2]["value"].startswith(r"'=1,2\x00")
    assert len(lines[2]["value"]) < 1_000
    assert all(line["file"] == "a.csv" and line["problem"] and line["remedy"] for line in lines)
    assert [path.name for path in run.quarantine.iterdir()] == ["a.csv.rows.csv"]


def test_rows_of_a_workbook_are_named_by_sheet_and_rows_of_an_archive_by_its_name(settings: Settings) -> None:
    origin = {"source_file": "a.zip/2010/b.xlsx", "source_page": 2, "source_line": 3, "codes": ["missing_country"]}
    quarantined(settings, origin)
    run, manifest = run_of(settings)
    decisions = FileDecisions(format="xlsx", sheets=["Notes", "=Sales"])
    reading = SourceReading(decisions=decisions, rows=1, defects={}, amount=Decimal(0), seconds=0)
    read = StagedFile(name="a.zip/2010/b.xlsx", sha256="a" * 64, reading=reading)
    run.save_stage("bronze", BronzeRecord(files=[read], rows=1, amount=Decimal(0), table_version=0, seconds=0))
    for reader in (run, RunFolder(settings, "run-2")):  # a later run finds the names where the file was read
        reports = row_reports(reader, manifest)
        assert reports == {"a" * 64: f"quarantine/{reader.run_id}/a.zip!2010!b.xlsx.rows.csv"}
        (line,) = lines_of(settings, reports["a" * 64])
        assert (line["file"], line["sheet"], line["page"], line["line"]) == ("a.zip/2010/b.xlsx", "'=Sales", "", "3")
        mark_seen(settings, "a" * 64, "run-1")


def test_a_rejected_file_of_an_archive_is_kept_beside_its_report(settings: Settings) -> None:
    with ZipFile(landing(settings) / "a.zip", "w") as archive:
        archive.writestr("2010/b.csv", b"x")
    manifest = claim_drop(settings, "run-1")
    run = RunFolder(settings, "run-1")
    (file,) = manifest.files
    report = rejection_report(run, file, StagedFile(name=file.name, sha256=file.sha256, code="missing_columns"))
    assert report == "quarantine/run-1/a.zip!2010!b.csv.report.json"
    assert (run.quarantine / "a.zip!2010!b.csv").read_bytes() == b"x"


def test_a_rebuild_reports_the_rows_of_its_days(settings: Settings) -> None:
    quarantined(
        settings,
        {"source_line": 2, "codes": ["malformed_price"], "invoice_day": DAY},
        {"source_line": 3, "codes": ["malformed_price"], "invoice_day": OTHER_DAY},
        {"source_line": 4, "codes": ["malformed_invoice_date"]},
        {
            "source_line": 5,
            "codes": ["malformed_price"],
            "invoice_day": DAY,
            "batch_id": "b2",
            "source_sha256": "b" * 64,
        },
    )
    run, manifest = run_of(settings, "rebuild", batch_id="b3", days=[DAY], source_batches=["b1", "b2"])
    reports = row_reports(run, manifest)
    assert {sha256: [line["line"] for line in lines_of(settings, report)] for sha256, report in reports.items()} == {
        "a" * 64: ["2"],
        "b" * 64: ["5"],
    }
    assert sorted(path.name for path in run.quarantine.iterdir()) == [
        "a.csv.aaaaaaaa.rows.csv",
        "a.csv.bbbbbbbb.rows.csv",
    ]


def test_a_run_without_quarantined_rows_has_no_report(settings: Settings) -> None:
    quarantined(settings, {"batch_id": "other", "codes": ["malformed_price"]})
    assert row_reports(*run_of(settings)) == {}


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "\u00e9" * 125 + ".csv", "x" * 246])
def test_names_of_reports_are_no_longer_than_names_may_be(settings: Settings, name: str) -> None:
    quarantined(settings, {"source_file": name, "codes": ["malformed_price"]})
    reports = row_reports(*run_of(settings))
    assert lines_of(settings, reports["a" * 64])[0]["code"] == "malformed_price"
    assert reports["a" * 64].endswith(".aaaaaaaa.rows.csv") is (len(name) != 246)


def test_names_of_reports_are_never_those_of_files() -> None:
    files = {"1" * 64: "a.csv", "2" * 64: "b.csv"}
    names = report_names(files, ".rows.csv", taken=["a.csv", "b.csv", "a.csv.rows.csv"])
    assert list(names.values()) == ["a.csv.11111111.rows.csv", "b.csv.rows.csv"]
    long = dict.fromkeys(("1" * 64, "2" * 64), "x" * 246)
    assert len(set(report_names(long, ".rows.csv").values())) == 2
    assert all(len(found) < 255 for found in report_names(long, ".rows.csv").values())


@pytest.mark.parametrize("name", ["bad.csv", "x" * 251 + ".csv"])
def test_a_rejected_file_is_kept_with_its_report(settings: Settings, name: str) -> None:
    (landing(settings) / name).write_bytes(b"\0")
    (file,) = claim_drop(settings, "run-1").files
    run = RunFolder(settings, "run-1")
    staged = StagedFile(name=name, sha256=file.sha256, code="not_text", problem="Binary.", remedy="Export it.")
    for _ in range(2):
        report = rejection_report(run, file, staged)
    assert (run.quarantine / name).read_bytes() == b"\0"
    assert json.loads((settings.data_dir / report).read_text(encoding="utf-8"))["code"] == "not_text"
