"""Bronze, Silver and quarantine of a batch, written by deltalake with the schemas that Spark writes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema

from include.domain.line import LineText, violations
from include.quality.store import existing_table
from include.runs.folder import ClaimedFile, Manifest, RunFolder
from include.runs.landing import batch_id_of
from include.runs.records import BronzeRecord, SilverRecord, StagedFile
from include.settings import Settings
from include.sources.defects import DEFECTS
from include.sources.model import FileDecisions, SourceReading
from spark_jobs.lines import SILVER_SCHEMA

COLUMNS = tuple(LineText.model_fields)
SILVER = to_arrow_schema(SILVER_SCHEMA, timezone="UTC")
QUARANTINE = pa.schema(
    [
        *[(name, pa.string()) for name in ("batch_id", "source_file", "source_sha256")],
        ("source_line", pa.int64()),
        ("source_page", pa.int32()),
        ("code", pa.string()),
        ("codes", pa.list_(pa.string())),
        *[(name, pa.string()) for name in (*COLUMNS, "raw")],
        ("currency", pa.string()),
        ("amount", pa.decimal128(26, 6)),
        ("invoice_day", pa.date32()),
    ]
)
BRONZE = pa.schema(
    [
        *[(name, pa.string()) for name in (*COLUMNS, "defect", "raw", "source_file", "source_sha256")],
        ("source_line", pa.int64()),
        ("batch_id", pa.string()),
        ("ingest_date", pa.date32()),
    ]
)

CLAIMED_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def row(**values: str | None) -> dict[str, str | None]:
    """Return a valid raw row but for the values given; `defect` makes it a record that cannot be told apart."""
    return {
        "invoice": "536365",
        "stock_code": "85123A",
        "description": "LANTERN",
        "quantity": "6",
        "invoice_date": "2010-12-01 08:26:00",
        "price": "2.55",
        "customer_id": "17850",
        "country": "France",
        "line_amount": None,
        "defect": None,
    } | values


def rows(count: int, **values: str | None) -> list[dict[str, str | None]]:
    """Return so many different valid rows, four to an invoice."""
    return [
        row(**{"invoice": str(540000 + number // 4), "stock_code": f"P{number}"} | values) for number in range(count)
    ]


def _kind(invoice: str, quantity: Decimal, price: Decimal) -> str:
    if invoice[0] == "C":
        return "cancellation"
    return "return" if quantity <= 0 else "free_of_charge" if price == 0 else "sale"


def _line(raw: dict[str, Any]) -> dict[str, Any]:
    sold_at = datetime.strptime(raw["invoice_date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    quantity, price = Decimal(raw["quantity"]), Decimal(raw["price"])
    values = {
        "invoice_no": raw["invoice"].upper(),
        "stock_code": raw["stock_code"].upper(),
        "description": raw["description"],
        "quantity": quantity,
        "sold_at": sold_at,
        "unit_price": price,
        "customer_id": raw["customer_id"],
        "country": raw["country"] or "Unspecified",
    }
    return values | {
        "country_as_written": raw["country"],
        "sale_id": hashlib.md5(repr(values).encode()).hexdigest(),
        "amount": Decimal(raw["line_amount"]) if raw["line_amount"] else quantity * price,
        "amount_declared": raw["line_amount"] is not None,
        "currency": "GBP",
        "kind": _kind(raw["invoice"], quantity, price),
        "product_type": "product",
        "is_product": True,
        "invoice_day": sold_at.date(),
        "invoice_month": f"{sold_at:%Y-%m}",
    }


def _append(uri: str, found: Sequence[dict[str, Any]], schema: pa.Schema, by: list[str] | None) -> int:
    write_deltalake(uri, pa.Table.from_pylist(list(found), schema=schema), mode="append", partition_by=by)
    return int(DeltaTable(uri).version())


def known_lines(settings: Settings) -> list[dict[str, Any]]:
    table = existing_table(settings.table("silver", "invoice_lines"))
    return table.to_pyarrow_table().to_pylist() if table else []


def claimed(run: RunFolder, name: str, sha256: str) -> ClaimedFile:
    stat = run.original(name).stat()
    return ClaimedFile(name=name, sha256=sha256, bytes=stat.st_size, modified_ns=stat.st_mtime_ns, status="new")


def load(
    settings: Settings,
    run_id: str,
    files: dict[str, list[dict[str, str | None]]],
    rejected: Sequence[str] = (),
    claimed_at: datetime = CLAIMED_AT,
) -> RunFolder:
    """Take a drop as far as Silver; the first row of a file is on line 2."""
    run = RunFolder(settings, run_id)
    batch_id = batch_id_of(run_id, claimed_at)
    hashes = {name: hashlib.sha256(f"{run_id}/{name}".encode()).hexdigest() for name in [*files, *rejected]}
    run.archive.mkdir(parents=True)
    for name in hashes:
        run.original(name).write_text(name)
    run.save_manifest(
        Manifest(
            run_id=run_id,
            batch_id=batch_id,
            kind="drop",
            claimed_at=claimed_at,
            files=[claimed(run, name, sha) for name, sha in hashes.items()],
        )
    )
    bronze, lines, broken = [], {}, []
    seen = {line["sale_id"] for line in known_lines(settings)}
    record = SilverRecord()
    staged = []
    for name, content in files.items():
        amount_of_file = Decimal(0)
        for number, raw in enumerate(content, 2):
            place = {"source_file": name, "source_sha256": hashes[name], "source_line": number, "batch_id": batch_id}
            defect = raw["defect"]
            text = {column: None if defect else raw[column] for column in COLUMNS}
            bronze.append({**text, **place, "defect": defect, "raw": defect and "torn;row"})
            codes = [defect] if defect else violations(text)
            record.rows_in += 1
            if codes:
                broken.append({**text, **place, "code": codes[0], "codes": codes, "raw": defect and "torn;row"})
                record.rows_quarantined[codes[0]] = record.rows_quarantined.get(codes[0], 0) + 1
                continue
            line = _line(raw)
            amount_of_file += line["amount"]
            if line["sale_id"] in lines:
                record.rows_duplicate += 1
                record.amount_duplicate += line["amount"]
            elif line["sale_id"] in seen:
                record.rows_already_seen += 1
                record.amount_already_seen += line["amount"]
            else:
                lines[line["sale_id"]] = line | place
                record.rows_loaded += 1
                record.amount_loaded += line["amount"]
        record.amount_in += amount_of_file
        reading = SourceReading(
            decisions=FileDecisions(format="csv"), rows=len(content), defects={}, amount=amount_of_file, seconds=0
        )
        staged.append(StagedFile(name=name, sha256=hashes[name], reading=reading))
    empty = DEFECTS["empty_file"]
    staged += [
        StagedFile(name=name, sha256=hashes[name], code="empty_file", problem=empty.problem, remedy=empty.remedy)
        for name in rejected
    ]
    version = None
    if bronze:
        ingested = [item | {"ingest_date": claimed_at.date()} for item in bronze]
        version = _append(settings.table("bronze", "invoice_lines"), ingested, BRONZE, ["ingest_date"])
    if lines:
        found = list(lines.values())
        days = sorted(line["invoice_day"] for line in found)
        record.first_day, record.last_day = days[0], days[-1]
        record.months = sorted({line["invoice_month"] for line in found})
        record.table_version = _append(settings.table("silver", "invoice_lines"), found, SILVER, ["invoice_month"])
    if broken:
        record.quarantine_version = _append(settings.table("silver", "quarantine"), broken, QUARANTINE, None)
    run.save_stage(
        "bronze",
        BronzeRecord(files=staged, rows=len(bronze), amount=record.amount_in, table_version=version, seconds=0),
    )
    run.save_stage("silver", record)
    return run


def rebuild(settings: Settings, run_id: str, day: date, repeats: int = 0) -> RunFolder:
    """Take the rebuild of a day, whose lines are in Silver, as far as Silver."""
    run = RunFolder(settings, run_id)
    lines = [line for line in known_lines(settings) if line["invoice_day"] == day]
    run.save_manifest(
        Manifest(
            run_id=run_id,
            batch_id=batch_id_of(run_id, CLAIMED_AT),
            kind="rebuild",
            claimed_at=CLAIMED_AT,
            days=[day],
            source_batches=sorted({line["batch_id"] for line in lines}) or ["20261124T120000-00000000"],
        )
    )
    amount = sum((line["amount"] for line in lines), Decimal(0))
    run.save_stage("bronze", BronzeRecord(files=[], rows=0, amount=Decimal(0), table_version=None, seconds=0))
    run.save_stage(
        "silver",
        SilverRecord(
            rows_in=len(lines) + repeats,
            amount_in=amount,
            rows_loaded=len(lines),
            amount_loaded=amount,
            rows_duplicate=repeats,
            first_day=day if lines else None,
            last_day=day if lines else None,
            months=[f"{day:%Y-%m}"],
            table_version=DeltaTable(settings.table("silver", "invoice_lines")).version(),
        ),
    )
    return run
