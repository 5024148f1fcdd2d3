"""How the records of the stages become the receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

import pytest

from include.quality.findings import FileSummary, QualityRecord
from include.receipts.account import RunRecords, account
from include.receipts.model import FileEntry, Receipt, ReceiptUnbalanced
from include.runs.folder import ClaimedFile, Manifest
from include.runs.records import Balance, BronzeRecord, EnrichRecord, GoldRecord, SilverRecord, StagedFile
from include.sources.model import FileDecisions, SourceReading

CLAIMED_AT = datetime(2011, 1, 4, 6, tzinfo=UTC)
FINISHED_AT = datetime(2011, 1, 4, 6, 1, tzinfo=UTC)
TABLE = {"table_version": 3, "seconds": 1.26}


@dataclass
class Publish:
    warehouse: Literal["primary", "replica"] = "primary"
    facts_loaded: int = 6
    loaded: dict[str, Decimal] = field(default_factory=lambda: {"GBP": Decimal("9.05")})
    primary_seconds: float = 0.26
    replica_seconds: float = 0.14
    warnings: list[str] = field(default_factory=lambda: ["The replica was slow."])


def claimed(name: str, status: Literal["new", "already_seen", "unreadable"] = "new", first: str = "") -> ClaimedFile:
    sha256 = "" if status == "unreadable" else f"hash of {name}"
    return ClaimedFile(name=name, sha256=sha256, bytes=9, status=status, first_run_id=first or None, problem="denied")


def read(name: str, rows: int, amount: str) -> StagedFile:
    decisions = FileDecisions(format="csv", warnings=["The file ends in the middle of a line."])
    reading = SourceReading(decisions=decisions, rows=rows, defects={}, amount=Decimal(amount), seconds=1)
    return StagedFile(name=name, sha256=f"hash of {name}", reading=reading)


def drop(*files: ClaimedFile) -> Manifest:
    return Manifest(run_id="r", batch_id="b", kind="drop", claimed_at=CLAIMED_AT, files=list(files))


def receipt_of(
    records: RunRecords,
    unreadable_reports: Mapping[str, str] | None = None,
    put_back: Mapping[str, str] | None = None,
    first_loads: Mapping[str, FileEntry] | None = None,
) -> Receipt:
    return account(
        records,
        base_currency="GBP",
        unreadable_reports=unreadable_reports or {},
        put_back=put_back or {},
        first_loads=first_loads or {},
        finished_at=FINISHED_AT,
    )


def loaded() -> RunRecords:
    """Return a drop of one file with ten rows: six lines, two repeats, one line of another batch, one broken row."""
    return RunRecords(
        drop(claimed("a.csv")),
        bronze=BronzeRecord(files=[read("a.csv", 10, "10.10")], rows=10, amount=Decimal("10.10"), **TABLE),
        silver=SilverRecord(
            rows_in=10,
            amount_in=Decimal("10.10"),
            rows_loaded=6,
            amount_loaded=Decimal("9.05"),
            rows_duplicate=2,
            amount_duplicate=Decimal("1.00"),
            rows_already_seen=1,
            amount_already_seen=Decimal("0.05"),
            rows_quarantined={"malformed_price": 1},
            first_day=date(2011, 1, 3),
            last_day=date(2011, 1, 4),
            table_version=4,
            quarantine_version=0,
        ),
        enrich=EnrichRecord(looked_up={"products": 3}, table_versions={"products": 2}),
        audit=QualityRecord(
            run_id="r",
            batch_id="b",
            kind="drop",
            scored_at=CLAIMED_AT,
            status="passed",
            overall=0.9,
            bar=0.85,
            rows_in=10,
            rows_loaded=6,
            rows_duplicate=2,
            rows_quarantined=1,
            rows_already_seen=1,
            files=[FileSummary(name="a.csv", sha256="hash of a.csv", rows=10, report="quarantine/r/a.csv.rows.csv")],
            report="quality/r.html",
        ),
        gold=GoldRecord(token="t", load_seconds=0.31, table_versions={"fact_sales": 5}),
        publish=Publish(),
    )


def test_a_drop_is_accounted_for_to_the_penny() -> None:
    found = receipt_of(loaded())
    found.check()
    assert (found.rows_in, found.rows_loaded, found.rows_duplicate, found.rows_already_seen) == (10, 6, 2, 1)
    assert (found.amount_in, found.amount_loaded, found.amount_already_seen) == (
        Decimal("10.10"),
        Decimal("9.05"),
        Decimal("0.05"),
    )
    assert found.status == "loaded"
    assert found.files[0].report == "quarantine/r/a.csv.rows.csv"
    assert found.invoice_days == (date(2011, 1, 3), date(2011, 1, 4))
    assert found.table_versions == {"fact_sales": 5, "products": 2, "bronze": 3, "silver": 4, "quarantine": 0}
    assert found.seconds["bronze"] == 1.3
    assert found.seconds["load"] == 0.3
    assert found.seconds["total"] == 60.0
    assert found.warnings == [
        "a.csv: The file ends in the middle of a line.",
        "The replica was slow.",
    ]


def test_lines_that_another_run_has_taken_over_are_already_seen() -> None:
    found = receipt_of(replace(loaded(), publish=Publish(facts_loaded=2, loaded={"GBP": Decimal("3.00")})))
    found.check()
    assert (found.rows_loaded, found.rows_already_seen) == (2, 5)
    assert (found.amount_loaded, found.amount_already_seen) == (Decimal("3.00"), Decimal("6.10"))


def test_a_file_seen_before_counts_as_the_run_that_loaded_it_counted_it() -> None:
    first = FileEntry(name="z.csv", sha256="hash of a.csv", bytes=9, status="loaded", rows=7, amount=Decimal("4.25"))
    files = [claimed("a.csv", "already_seen", "earlier"), claimed("b.csv", "already_seen", "forgotten")]
    found = receipt_of(RunRecords(drop(*files)), first_loads={"hash of a.csv": first})
    found.check()
    assert found.status == "nothing_new"
    assert [(file.rows, file.amount, file.first_run_id) for file in found.files] == [
        (7, Decimal("4.25"), "earlier"),
        (0, Decimal(0), "forgotten"),
    ]
    assert (found.rows_in, found.rows_already_seen) == (7, 7)


def test_a_twin_of_the_same_drop_counts_as_the_file_that_was_read() -> None:
    twin = claimed("b.csv", "already_seen", "r").model_copy(update={"sha256": "hash of a.csv"})
    read_once = BronzeRecord(files=[read("a.csv", 10, "10.10")], rows=10, amount=Decimal("10.10"), **TABLE)
    found = receipt_of(RunRecords(drop(claimed("a.csv"), twin), bronze=read_once))
    assert [(file.status, file.rows) for file in found.files] == [("loaded", 10), ("already_seen", 10)]
    refused = StagedFile(name="a.csv", sha256="hash of a.csv", code="empty_file", problem="Empty.", remedy="Export it.")
    none_read = BronzeRecord(files=[refused], rows=0, amount=Decimal(0), **TABLE)
    found = receipt_of(RunRecords(drop(claimed("a.csv"), twin), bronze=none_read))
    assert {(file.status, file.reason) for file in found.files} == {("rejected", "empty_file: Empty. Export it.")}
    assert found.status == "rejected"


def test_a_file_that_cannot_be_opened_is_rejected_with_its_report() -> None:
    found = receipt_of(RunRecords(drop(claimed("a.csv", "unreadable"))), {"a.csv": "quarantine/r/a.csv.report.json"})
    assert found.status == "rejected"
    assert found.files[0].report == "quarantine/r/a.csv.report.json"
    assert str(found.files[0].reason).startswith("unreadable_file: The file cannot be opened: denied.")


def test_a_file_that_was_put_back_is_named_with_its_new_name() -> None:
    found = receipt_of(RunRecords(drop()), put_back={"a.csv": "a-2.csv"})
    assert found.warnings == ["a.csv: written to after it was read; put back as a-2.csv to load the rest."]


def test_a_rebuild_accounts_for_its_day_as_silver_has_it() -> None:
    day = date(2011, 1, 4)
    manifest = Manifest(
        run_id="r", batch_id="b", kind="rebuild", claimed_at=CLAIMED_AT, days=[day], source_batches=["a"]
    )
    silver = SilverRecord(rows_in=3, rows_loaded=3, amount_in=Decimal(5), amount_loaded=Decimal(5))
    found = receipt_of(RunRecords(manifest, silver=silver, publish=Publish(facts_loaded=0)))
    found.check()
    assert (found.status, found.rows_loaded, found.rebuilt_days) == ("loaded", 3, [day])


def test_each_currency_balances_by_itself() -> None:
    base = loaded()
    assert base.silver is not None
    euros = Balance(amount_in=Decimal(7), amount_loaded=Decimal(5), amount_duplicate=Decimal(2))
    silver = base.silver.model_copy(update={"other_currencies": {"EUR": euros}})
    publish = Publish(loaded={"GBP": Decimal("9.05"), "EUR": Decimal(4)})
    found = receipt_of(replace(base, silver=silver, publish=publish))
    found.check()
    assert found.amount_in == Decimal("10.10")
    assert found.other_currencies == {"EUR": euros.model_copy(update={"amount_loaded": 4, "amount_already_seen": 1})}
    wrong = found.model_copy(update={"other_currencies": {"EUR": Balance(amount_in=Decimal(1))}})
    with pytest.raises(ReceiptUnbalanced, match="EUR 1 came in but EUR 0 is accounted for"):
        wrong.check()
