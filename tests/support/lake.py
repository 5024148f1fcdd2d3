"""Runs without Spark: Gold in Delta and the records of each stage, as the jobs leave them, from lines made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Integer, Numeric, SmallInteger, Text, Uuid

from include.domain.money import CURRENCIES
from include.domain.star import DIMENSION_RULES, Dimension, Greatest, Least, Newer
from include.quality.findings import QualityRecord
from include.runs.folder import ClaimedFile, Manifest, RunFolder
from include.runs.records import BronzeRecord, EnrichRecord, GoldRecord, IndexRecord, SilverRecord, StagedFile
from include.settings import Settings
from include.sources.model import FileDecisions, SourceReading
from include.warehouse.connection.engine import open_engine
from include.warehouse.schema.portable import places
from include.warehouse.schema.tables import FACT, ORIGINAL, PRODUCT, STAR, loaded_columns, star_table
from tests.support.batches import Line, Rows, batch, stage_rows, star_of, whole_fact

RATES = {"USD": "1.5626", "EUR": "1.1882", "CAD": "1.5893", "AUD": "1.6169", "JPY": "131.55"}
ENRICHED_AT = datetime(2026, 11, 24, 8)
COUNTRY = (True, "XX", "XXX", "Europe", "Northern Europe", "Europe", 1, Decimal("54.5"), Decimal("-2.25"), "test", None)
CATEGORY = ("lighting", None, None, Decimal("0.912"), "v1")

_KINDS: dict[type, pa.DataType] = {
    BigInteger: pa.int64(),
    SmallInteger: pa.int16(),
    Integer: pa.int32(),
    Boolean: pa.bool_(),
    Date: pa.date32(),
    DateTime: pa.timestamp("us", tz="UTC"),
    Text: pa.string(),
    Uuid: pa.string(),
}


def arrow_type(column: Column[Any]) -> pa.DataType:
    """Return the type Gold has for a column of the star."""
    if isinstance(column.type, Numeric):
        return pa.decimal128(column.type.precision, column.type.scale)
    return next(kind for of, kind in _KINDS.items() if isinstance(column.type, of))


def gold_schema(table: str) -> pa.Schema:
    """Return the columns of a Gold table."""
    columns = [pa.field(column.name, arrow_type(column)) for column in star_table(table).columns]
    return pa.schema([*columns, pa.field("invoice_month", pa.string())] if table == FACT else columns)


def converted(row: dict[str, Any]) -> dict[str, Any]:
    """Return a fact with the columns that Spark computes."""
    found = dict(row)
    for column in star_table(FACT).columns:
        if column.computed is not None:
            factor, rate = (row[name] for name in column.info[PRODUCT])
            unit = Decimal(1).scaleb(-(places(column.type) or 0))
            original, currency = column.info[ORIGINAL]
            value = row[original] if row["currency"] == currency else None if rate is None else factor * rate
            found[column.name] = None if value is None else value.quantize(unit, ROUND_HALF_UP)
    return found | {"invoice_month": f"{row['sold_at']:%Y-%m}"}


def merged(dimension: Dimension, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a member by the dimension's rules."""
    members: dict[Any, dict[str, Any]] = {}
    for row in rows:
        known = members.setdefault(row[dimension.key], dict(row))
        before = dict(known)
        for name, rule in dimension.rules.items():
            values = [value for value in (before[name], row[name]) if value is not None]
            match rule:
                case Least():
                    known[name] = min(values, default=None)
                case Greatest():
                    known[name] = max(values, default=None)
                case Newer(clock):
                    older = before[clock] is None or (row[clock] is not None and row[clock] > before[clock])
                    known[name] = row[name] if older else before[name]
                case _:
                    known[name] = max(values, default=None)
    return list(members.values())


@cache
def calendar(year: int) -> list[dict[str, Any]]:
    """Return every day of a year."""
    first = datetime(year, 1, 1)
    days = [first + timedelta(days=number) for number in range((datetime(year + 1, 1, 1) - first).days)]
    names = [column.name for column in loaded_columns("dim_date")]
    return [dict(zip(names, row, strict=True)) for row in star_of([Line(sold_at=day) for day in days], "")["dim_date"]]


def _audited(run_id: str, number: int, kind: Any, rows: int) -> QualityRecord:
    return QualityRecord(
        run_id=run_id,
        batch_id=batch(number),
        kind=kind,
        scored_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
        status="passed",
        overall=0.99,
        bar=0.85,
        rows_in=rows,
        rows_loaded=rows,
        rows_duplicate=0,
        rows_quarantined=0,
        rows_already_seen=0,
    )


class Lake:
    """Gold of one data folder; remembers which lines it has, as Silver does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lines: dict[Line, str] = {}

    def drop(self, number: int, lines: Iterable[Line], *, stage: bool = False) -> str:
        """Bring new lines to Gold as the `number`-th batch; return its run. With `stage`, fill staging too."""
        batch_id = batch(number)
        new = [line for line in dict.fromkeys(lines) if line not in self.lines]
        self.lines |= dict.fromkeys(new, batch_id)
        rows = self._rows(new, dict.fromkeys(new, batch_id))
        return self._run(number, "drop", [], [], new, rows, f"batch_id = '{batch_id}'", stage)

    def rebuild(self, number: int, day: date, lines: Iterable[Line], *, stage: bool = False) -> str:
        """Make `lines` all that Gold has of `day`; return the run."""
        sources = sorted({owner for line, owner in self.lines.items() if line.sold_at.date() == day})
        kept = {line: self.lines.get(line, sources[0]) for line in lines}
        self.lines = {line: owner for line, owner in self.lines.items() if line.sold_at.date() != day} | kept
        rows = self._rows(list(kept), kept)
        return self._run(number, "rebuild", [day], sources, list(kept), rows, f"date_key = {day:%Y%m%d}", stage)

    def _rows(self, lines: list[Line], owners: dict[Line, str]) -> dict[str, list[dict[str, Any]]]:
        made = star_of(lines, "")
        of_id = {line.sale_id.hex: owner for line, owner in owners.items()}
        found: dict[str, list[dict[str, Any]]] = {}
        for table in STAR:
            names = [column.name for column in loaded_columns(table)]
            rows = map(whole_fact, made[table]) if table == FACT else made[table]
            found[table] = [dict(zip(names, (*row, *[None] * (len(names) - len(row))), strict=True)) for row in rows]
        for row in found["dim_country"]:
            names = [column.name for column in loaded_columns("dim_country")][2:]
            row |= dict(zip(names, (*COUNTRY, ENRICHED_AT), strict=True))
        for row in found["dim_product"]:
            names = [column.name for column in loaded_columns("dim_product")][-6:]
            row |= dict(zip(names, (*CATEGORY, ENRICHED_AT), strict=True))
        found["dim_date"] = [dict(row) for year in {row["year"] for row in found["dim_date"]} for row in calendar(year)]
        for row in found[FACT]:
            row["batch_id"] = of_id[row["sale_id"]]
            if row["sold_at"].minute % 10 == 0:
                row["fx_missing"] = "no_rate_near_day"
            else:
                row |= {"fx_date": row["sold_at"].date(), "fx_source": "ecb"}
                row |= {f"rate_{name.lower()}": Decimal(RATES[name]) for name in CURRENCIES}
        return found

    def _run(
        self,
        number: int,
        kind: Any,
        days: list[date],
        sources: list[str],
        lines: list[Line],
        rows: dict[str, list[dict[str, Any]]],
        predicate: str,
        stage: bool,
    ) -> str:
        for table in STAR:
            self._write(table, rows[table], predicate)
        run_id = f"run_{number}"
        run = RunFolder(self.settings, run_id)
        amount = sum((line.amount for line in lines), Decimal(0))
        sha256 = f"{number:064x}"
        files = [ClaimedFile(name=f"{number}.csv", sha256=sha256, bytes=1, status="new")] if kind == "drop" else []
        reading = SourceReading(
            decisions=FileDecisions(format="csv"), rows=len(lines), defects={}, amount=amount, seconds=0.0
        )
        months = sorted({f"{line.sold_at:%Y-%m}" for line in lines} | {f"{day:%Y-%m}" for day in days})
        of_lines = [line.sold_at.date() for line in lines]
        run.save_manifest(
            Manifest(
                run_id=run_id,
                batch_id=batch(number),
                kind=kind,
                claimed_at=datetime(2026, 11, 24, tzinfo=UTC),
                files=files,
                days=days,
                source_batches=sources,
            )
        )
        staged_files = [StagedFile(name=file.name, sha256=file.sha256, reading=reading) for file in files]
        run.save_stage(
            "bronze",
            BronzeRecord(files=staged_files, rows=len(lines), amount=amount, table_version=None, seconds=0.0),
        )
        run.save_stage(
            "silver",
            SilverRecord(
                rows_in=len(lines),
                amount_in=amount,
                rows_loaded=len(lines),
                amount_loaded=amount,
                first_day=min(of_lines, default=None),
                last_day=max(of_lines, default=None),
                months=months,
            ),
        )
        run.save_stage("enrich", EnrichRecord())
        run.save_stage("audit", _audited(run_id, number, kind, len(lines)))
        run.save_stage("index", IndexRecord(status="off"))
        counts = {table: len(rows[table]) for table in STAR}
        run.save_stage("gold", GoldRecord(token=f"gold {number}", staged=stage, staged_rows=counts))
        if stage:
            self._stage(number, rows)
        return run_id

    def _write(self, table: str, rows: list[dict[str, Any]], predicate: str) -> None:
        uri = self.settings.table("gold", table)
        schema = gold_schema(table)
        write_deltalake(
            uri, schema.empty_table(), mode="ignore", partition_by=["invoice_month"] if table == FACT else None
        )
        if table == FACT:
            made = pa.Table.from_pylist([converted(row) for row in rows], schema=schema)
            write_deltalake(uri, made, mode="overwrite", predicate=predicate)
            return
        dimension = next(rule for rule in DIMENSION_RULES if rule.table == table)
        known = [
            {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in row.items()}
            for row in DeltaTable(uri).to_pyarrow_table().to_pylist()
        ]
        made = pa.Table.from_pylist(merged(dimension, [*known, *rows]), schema=schema)
        write_deltalake(uri, made, mode="overwrite")

    def _stage(self, number: int, rows: dict[str, list[dict[str, Any]]]) -> None:
        tuples: Rows = {
            table: [tuple(row[column.name] for column in loaded_columns(table)) for row in rows[table]]
            for table in STAR
        }
        with open_engine(self.settings) as engine:
            stage_rows(engine, self.settings, batch(number), tuples)
