"""The audit on real Delta tables: scores, hold, release, profiles, history and reports."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from sqlalchemy import func, select

from include.pipeline import audit, publish, receipt
from include.quality.audit import assess
from include.quality.findings import QualityRecord
from include.quality.history import last_verdicts
from include.quality.holding import STAGE, QualityBelowBar, held_batches, release
from include.quality.reconciliation import AuditFailed
from include.receipts.model import Receipt
from include.runs.folder import ClaimedFile, RunFolder
from include.runs.records import STILL_WRITTEN, BronzeRecord, EnrichRecord, GoldRecord, SilverRecord, StagedFile
from include.settings import Settings
from include.warehouse import open_engine, star_table, transaction, upgrade
from tests.support.silver import CLAIMED_AT, load, rebuild, row, rows

MONDAY = date(2010, 12, 6)


def table(settings: Settings, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DeltaTable(settings.table("quality", name)).to_pyarrow_table().to_pylist()
    return found


def rule(record: QualityRecord, name: str) -> Any:
    return next(item for item in record.rules if item.name == name)


def half_broken() -> list[dict[str, str | None]]:
    return [*rows(20), *[row(invoice=str(600000 + number), price="n/a") for number in range(20)]]


def finish(settings: Settings, run: RunFolder) -> Receipt:
    run.save_stage("enrich", EnrichRecord())
    run.save_stage("gold", GoldRecord())
    publish(settings, run.run_id)
    return receipt(settings, run.run_id)


def test_a_batch_is_scored_by_what_the_tables_hold(settings: Settings) -> None:
    first = load(
        settings, "first", {"a.csv": [*rows(8), row(stock_code="P0", invoice="540000"), row(defect="nul_byte")]}
    )
    record = audit(settings, "first")
    assert (record.rows_in, record.rows_loaded, record.rows_duplicate, record.rows_quarantined) == (10, 8, 1, 1)
    assert record.overall == pytest.approx(1 - 0.35 / 10 - 0.2 / 10)
    assert record.status == "passed"
    assert record.lag_days == (5837, 5837)
    assert rule(record, "line_not_repeated").examples[0].model_dump() == {
        "file": "a.csv",
        "line": 10,
        "value": "invoice 540000, stock_code P0, the same as line 2 of a.csv",
    }
    assert rule(record, "row_valid").examples[0].value == "torn;row"
    assert first.stage(STAGE, QualityRecord) == record
    assert (settings.data_dir / str(record.report)).read_text(encoding="utf-8").count("<svg") == 2

    load(
        settings, "second", {"b.csv": [*rows(8), *rows(4, country="EIRE")]}, claimed_at=CLAIMED_AT + timedelta(hours=1)
    )
    record = audit(settings, "second")
    assert (record.rows_loaded, record.rows_already_seen) == (4, 8)
    assert (rule(record, "line_new").failing, rule(record, "line_new").cost) == (8, 0)
    assert rule(record, "line_new").examples[0].value == "invoice 540000, stock_code P0"
    assert rule(record, "row_valid").rows == 12
    assert record.overall == 1


def test_a_batch_below_the_bar_is_held_until_released(with_warehouse: Settings) -> None:
    settings = with_warehouse
    upgrade(settings)
    run = load(settings, "held", {"a.csv": half_broken()})
    with pytest.raises(QualityBelowBar, match=r"row_valid 0\.1750 \(20 of 40\)"):
        audit(settings, "held")
    assert held_batches(settings) == {run.manifest().batch_id: "held"}
    assert last_verdicts(settings, 5)[0].status == "held"
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")

    decision = release(run, "the till was being tested", "ada")
    record = audit(settings, "held")
    assert (record.status, record.release) == ("released", decision)
    assert held_batches(settings) == {}

    found = finish(settings, run)
    assert found.quality is not None
    assert (found.quality.overall, found.quality.bar) == (record.overall, 0.85)
    assert found.quality.released == decision
    assert found.quality.report == "quality/held.html"
    assert found.quality.by_dimension["validity"] == 0.5
    assert "the till was being tested" in (settings.data_dir / found.quality.report).read_text(encoding="utf-8")
    with open_engine(settings) as engine, transaction(engine) as connection:
        quality = star_table("etl_quality")
        counts = connection.execute(select(quality.c.level, func.count()).group_by(quality.c.level))
        by_level = {row.level: row[1] for row in counts}
        overall = connection.execute(select(quality).where(quality.c.level == "overall")).mappings().one()
    assert by_level == {"overall": 1, "dimension": 6, "column": 9, "rule": len(record.rules)}
    assert (overall["status"], overall["score"], overall["rows"]) == ("released", record.overall, 40)


def test_the_bar_is_a_setting(settings: Settings) -> None:
    load(settings, "half", {"a.csv": half_broken()})
    lenient = settings.model_copy(update={"quality_bar": 0.5})
    assert audit(lenient, "half").status == "passed"
    strict = settings.model_copy(update={"quality_bar": 1.0})
    with pytest.raises(QualityBelowBar, match=r"bar of 1\.0000"):
        audit(strict, "half")


def test_a_release_does_not_cover_what_became_worse(settings: Settings) -> None:
    run = load(settings, "held", {"a.csv": half_broken()})
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")
    release(run, "known", "ada")
    silver = run.stage("silver", SilverRecord)
    worse = {"rows_in": silver.rows_in + 60, "rows_quarantined": {"malformed_price": 80}}
    run.save_stage("silver", silver.model_copy(update=worse))
    with pytest.raises(QualityBelowBar):
        assess_and_check(run)


def assess_and_check(run: RunFolder) -> None:
    from include.quality.holding import stop_if_held

    stop_if_held(assess(run, run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord)))


def test_reconciliation_comes_first(settings: Settings) -> None:
    run = load(settings, "torn", {"a.csv": rows(4)})
    silver = run.stage("silver", SilverRecord)
    run.save_stage("silver", silver.model_copy(update={"rows_loaded": 3}))
    with pytest.raises(AuditFailed, match="does not reconcile"):
        audit(settings, "torn")
    assert last_verdicts(settings, 5) == []


def test_tables_that_hold_something_else_than_recorded_hold_the_batch(settings: Settings) -> None:
    run = load(settings, "lost", {"a.csv": rows(4)})
    silver, bronze = run.stage("silver", SilverRecord), run.stage("bronze", BronzeRecord)
    more = {"rows_in": 5, "rows_loaded": 5}
    run.save_stage("silver", silver.model_copy(update=more))
    run.save_stage("bronze", bronze.model_copy(update={"rows": 5}))
    with pytest.raises(QualityBelowBar, match=r"rows_recounted 0\.1750 \(1 of 2\)"):
        audit(settings, "lost")


def test_what_other_runs_write_meanwhile_changes_nothing(settings: Settings) -> None:
    run = load(settings, "first", {"a.csv": rows(4)})
    before = audit(settings, "first")
    DeltaTable(settings.table("silver", "invoice_lines")).delete(f"batch_id = '{run.manifest().batch_id}'")
    load(settings, "second", {"b.csv": rows(4, country="EIRE")}, claimed_at=CLAIMED_AT + timedelta(hours=1))
    assert audit(settings, "first").rules == before.rules


def test_nothing_readable_is_nothing_to_score(with_warehouse: Settings) -> None:
    settings = with_warehouse
    upgrade(settings)
    run = load(settings, "unreadable", {}, rejected=["empty.csv"])
    record = audit(settings, "unreadable")
    assert (record.status, record.overall) == ("nothing_to_score", None)
    assert rule(record, "file_read").score == 0
    found = finish(settings, run)
    assert (found.status, found.files[0].status) == ("rejected", "rejected")
    assert found.quality is not None
    assert (found.quality.overall, found.quality.drift_alerts) == (None, 0)
    assert found.files[0].report == "quarantine/unreadable/empty.csv.report.json"
    assert (settings.data_dir / found.files[0].report).exists()
    assert (settings.data_dir / "quarantine" / "unreadable" / "empty.csv").read_text() == "empty.csv"


def test_a_file_without_rows_beside_one_that_cannot_be_read(settings: Settings) -> None:
    load(settings, "hollow", {"header only.csv": []}, rejected=["empty.csv"])
    assert audit(settings, "hollow").status == "nothing_to_score"


def test_a_batch_of_broken_rows_only_is_held(settings: Settings) -> None:
    load(settings, "broken", {"a.csv": [row(quantity="six"), row(price="")]})
    with pytest.raises(QualityBelowBar, match=r"scores 0\.6"):
        audit(settings, "broken")


def test_the_sender_gets_a_report_even_if_the_batch_is_held(settings: Settings) -> None:
    load(settings, "held", {"a.csv": half_broken(), "=b.csv": [row(price="=1+1", quantity="six")]}, rejected=["c.csv"])
    with pytest.raises(QualityBelowBar):
        audit(settings, "held")
    folder = settings.data_dir / "quarantine" / "held"
    assert sorted(path.name for path in folder.iterdir()) == [
        "=b.csv.rows.csv",
        "a.csv.rows.csv",
        "c.csv",
        "c.csv.report.json",
    ]
    with (folder / "a.csv.rows.csv").open(encoding="utf-8-sig", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert len(found) == 20
    assert found[0] == {
        "file": "a.csv",
        "sheet": "",
        "page": "",
        "line": "22",
        "code": "malformed_price",
        "value": "n/a",
        "cell": "",
        "problem": "The price cannot be read. It is text: 'n/a'.",
        "remedy": "Expected: a number with at most 6 decimals, in a currency that is clear, such as 2.55.",
    }
    with (folder / "=b.csv.rows.csv").open(encoding="utf-8-sig", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [(item["file"], item["code"], item["value"]) for item in found] == [
        ("'=b.csv", "malformed_quantity", "six"),
        ("'=b.csv", "malformed_price", "'=1+1"),
    ]


def test_a_file_that_may_not_be_read_costs_and_one_that_was_put_back_does_not(settings: Settings) -> None:
    run = load(settings, "mixed", {"a.csv": rows(4)})
    manifest, bronze = run.manifest(), run.stage("bronze", BronzeRecord)
    locked = ClaimedFile(name="locked.csv", sha256="", bytes=1, status="unreadable", problem="Permission denied")
    slow = ClaimedFile(name="slow.csv", sha256="s", bytes=1, status="new")
    run.save_manifest(manifest.model_copy(update={"files": [*manifest.files, slow, locked]}))
    code, problem, remedy = STILL_WRITTEN
    waiting = StagedFile(name="slow.csv", sha256="s", code=code, problem=problem, remedy=remedy)
    staged = bronze.model_copy(update={"files": [*bronze.files, waiting]})
    record = assess(run, run.manifest(), staged, run.stage("silver", SilverRecord))
    read = rule(record, "file_read")
    assert (read.failing, read.rows) == (1, 2)
    assert read.examples[0].model_dump() == {
        "file": "locked.csv",
        "line": None,
        "value": "The file cannot be opened: Permission denied.",
    }
    assert [file.name for file in record.files if file.rejection] == ["slow.csv", "locked.csv"]


def test_a_retried_audit_replaces_what_it_wrote(settings: Settings) -> None:
    load(settings, "first", {"a.csv": [*rows(8), *rows(4, invoice_date="2010-12-02 09:00:00")]})
    for _ in range(3):
        record = audit(settings, "first")
    assert len(table(settings, "profiles")) == 2
    assert len(table(settings, "scores")) == 1 + 6 + 9 + len(record.rules)
    assert len(last_verdicts(settings, 9)) == 1


def test_a_held_batch_is_no_example_to_others(settings: Settings) -> None:
    load(settings, "good", {"a.csv": rows(8)})
    audit(settings, "good")
    load(
        settings,
        "bad",
        {"b.csv": [*rows(8, country="EIRE"), *half_broken()[20:]]},
        claimed_at=CLAIMED_AT + timedelta(1),
    )
    with pytest.raises(QualityBelowBar):
        audit(settings, "bad")
    assert {profile["lines"] for profile in table(settings, "profiles")} == {8}
    assert [item.status for item in last_verdicts(settings, 9)] == ["passed", "held"]


def test_a_rebuilt_day_replaces_its_profile(settings: Settings) -> None:
    for number in range(2):
        load(
            settings,
            f"drop-{number}",
            {f"{number}.csv": rows(6 + number, description=str(number))},
            claimed_at=CLAIMED_AT + timedelta(hours=number),
        )
        audit(settings, f"drop-{number}")
    load(
        settings, "other", {"o.csv": rows(5, invoice_date="2010-12-02 09:00:00")}, claimed_at=CLAIMED_AT + timedelta(1)
    )
    audit(settings, "other")
    rebuild(settings, "rebuilt", date(2010, 12, 1), repeats=900)
    record = audit(settings, "rebuilt")
    assert (record.overall, record.kind, record.files) == (1.0, "rebuild", [])
    assert rule(record, "line_not_repeated").score is None
    assert sorted(profile["lines"] for profile in table(settings, "profiles")) == [5, 6, 7]
    rebuild(settings, "empty", date(2010, 12, 3))
    assert audit(settings, "empty").status == "nothing_to_score"
    assert len(table(settings, "profiles")) == 3


def busy_day(day: date, count: int = 240, **values: str | None) -> list[dict[str, str | None]]:
    return [
        row(
            invoice=f"{day:%j}{number // 8:03}",
            stock_code=f"P{number}",
            invoice_date=f"{day} {9 + number % 8:02}:00:00",
            customer_id=f"{number // 8}",
            quantity=str(1 + number % 12),
            price=f"{1 + number % 10}.50",
            **values,
        )
        for number in range(count)
    ]


def test_a_day_unlike_earlier_ones_is_a_warning_in_the_receipt(with_warehouse: Settings) -> None:
    settings = with_warehouse
    upgrade(settings)
    for week in range(5):
        day = MONDAY + timedelta(weeks=week)
        load(settings, f"week-{week}", {f"{day}.csv": busy_day(day)}, claimed_at=CLAIMED_AT + timedelta(hours=week))
        assert audit(settings, f"week-{week}").drift.alerts == []
    day = MONDAY + timedelta(weeks=5)
    pence = [item | {"price": "250"} for item in busy_day(day)]
    run = load(settings, "pence", {"pence.csv": pence}, claimed_at=CLAIMED_AT + timedelta(days=1))
    record = audit(settings, "pence")
    assert (record.status, [alert.statistic for alert in record.drift.alerts]) == ("passed", ["prices"])
    found = finish(settings, run)
    assert found.quality is not None
    assert found.quality.drift_alerts == 1
    (warning,) = found.warnings
    assert warning.startswith(f"Monday {day}: prices are distributed differently")
    assert "ordinary is up to 0.21" in warning
    assert audit(settings, "pence").drift == record.drift


def test_audits_at_once_all_leave_their_records(settings: Settings) -> None:
    names = [f"run-{number}" for number in range(4)]
    for number, name in enumerate(names):
        content = rows(4, country=name)
        load(settings, name, {f"{name}.csv": content}, claimed_at=CLAIMED_AT + timedelta(hours=number))
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: audit(settings, name), names))
    assert len(last_verdicts(settings, 9)) == 4
    assert len(table(settings, "profiles")) == 4


def test_the_history_is_kept_in_few_files(settings: Settings) -> None:
    run = load(settings, "first", {"a.csv": rows(4)})
    record = audit(settings, "first")
    from include.quality.history import save_scores

    for number in range(70):
        save_scores(settings, record.model_copy(update={"batch_id": f"20261124T1200{number:02}-0a1b2c3d"}))
    scores = DeltaTable(settings.table("quality", "scores"))
    assert len(scores.file_uris()) < 20
    assert len(last_verdicts(settings, 100)) == 71
    assert run.stage(STAGE, QualityRecord).overall == 1


def test_an_audit_reads_the_months_of_its_batch_only(settings: Settings) -> None:
    load(settings, "old", {"a.csv": rows(4)})
    load(settings, "new", {"b.csv": rows(4, invoice_date="2011-03-01 09:00:00")}, claimed_at=CLAIMED_AT + timedelta(1))
    lines = DeltaTable(settings.table("silver", "invoice_lines"))
    for path in lines.file_uris():
        if "invoice_month=2010-12" in path:
            Path(path).write_bytes(b"not read")
    assert audit(settings, "new").overall == 1


def test_money_is_compared_to_the_penny(settings: Settings) -> None:
    run = load(settings, "penny", {"a.csv": rows(4)})
    silver, bronze = run.stage("silver", SilverRecord), run.stage("bronze", BronzeRecord)
    penny = Decimal("0.01")
    run.save_stage("bronze", bronze.model_copy(update={"amount": bronze.amount + penny}))
    changes = {"amount_in": silver.amount_in + penny, "amount_loaded": silver.amount_loaded + penny}
    run.save_stage("silver", silver.model_copy(update=changes))
    with pytest.raises(QualityBelowBar, match="money_recounted"):
        audit(settings, "penny")
