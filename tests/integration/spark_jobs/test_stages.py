"""The stages on real Spark, Delta and PostgreSQL: every row and penny ends in exactly one place."""

from __future__ import annotations

import json
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pydantic import SecretStr
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sqlalchemy import text

from deploy.embedded.postgres import PostgresServer
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.enrichment import fx
from include.enrichment.batch import RateMissing
from include.enrichment.reference import FX_RATES
from include.failover import compare_sides
from include.lake import connect_server
from include.pipeline import aggregate, audit, claim, enrich, index, receipt
from include.receipts.model import Receipt
from include.runs.folder import RunFolder
from include.runs.landing import landing
from include.runs.records import Balance, BronzeRecord, SilverRecord, StagedFile
from include.settings import EMBEDDED, Settings, get_settings
from include.warehouse import open_engine, totals, transaction, upgrade
from spark_jobs import bronze, gold, silver
from spark_jobs.session import LakeOutdated, Table, bronze_table, silver_table
from tests.support.steps import publish
from tests.support.workbooks import published_workbook

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
FIRST_DAY = [
    "536365,85123A,WHITE MUG,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
    "536365,85123A,WHITE MUG,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
    "536366,71053,TIN LAMP,1,2010-12-01 08:28:00,3.39,,EIRE",
    "C536379,D,Discount,-1,2010-12-01 09:41:00,27.50,14527.0,United Kingdom",
    "536370,POST,POSTAGE,3,2010-12-01 08:45:00,18.00,12583.0,France",
    "536371,22086,PAPER CHAIN,many,2010-12-01 09:00:00,2.55,13748.0,United Kingdom",
    "536372,22632,HAND WARMER,6,2010-12-01 09:01:00,1.85",
]
SECOND_DAY = [
    "536366,71053,TIN LAMP,1,2010-12-01 08:28:00,3.39,,EIRE",
    "536400,71053,TIN LAMP RED,2,2010-12-02 10:00:00,3.39,CUST-001,EIRE",
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Settings:
    data_dir: Path = tmp_path_factory.mktemp("data")
    found = Settings.model_validate({"data_dir": data_dir, "database_url": postgres_url, "settle_seconds": 0})
    upgrade(found)
    return found


def run(spark: SparkSession, settings: Settings, run_id: str, times: int = 1) -> Receipt:
    """Run every stage after the claim, each as often as `times`: a retried task changes nothing."""
    found = run_until(spark, settings, run_id, times=times)
    assert found is not None
    return found


def run_until(
    spark: SparkSession, settings: Settings, run_id: str, until: str = "receipt", times: int = 1
) -> Receipt | None:
    """Run the stages after the claim up to `until`, `silver`, `gold` or `receipt`; return the receipt, if reached."""
    folder = RunFolder(settings, run_id)
    manifest = folder.manifest()
    if manifest.has_work:
        staged: list[StagedFile] = []
        version = None
        for _ in range(times):
            folder.staged.mkdir(parents=True, exist_ok=True)
            staged = bronze.stage(manifest.new_files, folder)
            version = bronze.write(spark, settings, folder, staged) if manifest.kind == "drop" else None
        folder.save_stage("bronze", bronze.record(staged, version, seconds=0))
        for _ in range(times):
            unpublished = folder.note_unpublished(manifest)
            folder.save_stage("silver", silver.refine(spark, settings, manifest, unpublished))
        if until == "silver":
            return None
        enriched = enrich(settings, run_id)
        audit(settings, run_id)
        for _ in range(times):
            refined = folder.stage("silver", SilverRecord)
            folder.save_stage("gold", gold.build(spark, settings, manifest, refined, enriched))
        if until == "gold":
            return None
        for _ in range(times):
            publish_with_sums(settings, run_id)
        index(settings, run_id)
    return receipt(settings, run_id)


def publish_with_sums(settings: Settings, run_id: str) -> None:
    """Publish a batch, then bring replica and aggregates up to it."""
    publish(settings, run_id)
    aggregate(settings, run_id)


def dropped(settings: Settings, run_id: str, **files: list[str]) -> None:
    for name, lines in files.items():
        (landing(settings) / f"{name}.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    claim(settings, run_id)


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_drops_overlaps_repeats_and_rebuilds(spark: SparkSession, settings: Settings) -> None:
    dropped(settings, "first", day_one=FIRST_DAY)
    first = run(spark, settings, "first", times=2)
    assert (first.rows_in, first.rows_loaded, first.rows_duplicate) == (7, 4, 1)
    assert first.rows_quarantined == {"malformed_quantity": 1, "too_few_columns": 1}
    assert first.amount_loaded == Decimal("45.19")
    assert first.amount_duplicate == Decimal("15.30")
    report = (settings.data_dir / str(first.files[0].report)).read_text(encoding="utf-8-sig")
    assert "day_one.csv,,,7,,malformed_quantity,many,The quantity cannot be read. It is text: 'many'." in report

    dropped(settings, "second", day_two=SECOND_DAY)
    second = run(spark, settings, "second")
    assert (second.rows_loaded, second.rows_already_seen) == (1, 1)

    dropped(settings, "third", same_bytes=FIRST_DAY)
    third = run(spark, settings, "third")
    assert (third.status, third.rows_in, third.rows_already_seen, third.rows_loaded) == ("nothing_new", 7, 7, 0)

    with open_engine(settings) as engine:
        with transaction(engine) as connection:
            before = totals(connection)
        claim(settings, "rebuilt", day=date(2010, 12, 1))
        rebuilt = run(spark, settings, "rebuilt")
        assert (rebuilt.kind, rebuilt.rows_loaded) == ("rebuild", 4)
        with transaction(engine) as connection:
            assert totals(connection) == before

    daily = json.loads((settings.data_dir / "gold" / "daily_sales.json").read_text())
    assert [(row["invoice_day"], row["lines"], row["revenue"]) for row in daily] == [
        ("2010-12-01", 4, "45.1900"),
        ("2010-12-02", 1, "6.7800"),
    ]


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_a_rejected_file_does_not_stop_the_others(spark: SparkSession, settings: Settings) -> None:
    (landing(settings) / "binary.csv").write_bytes(bytes(range(256)) * 8)
    dropped(settings, "mixed", good=["600000,22086,PAPER CHAIN,1,2011-01-04 10:00:00,1.00,,France"])
    found = run(spark, settings, "mixed")
    assert {file.name: file.status for file in found.files} == {"binary.csv": "rejected", "good.csv": "loaded"}
    rejected = next(file for file in found.files if file.status == "rejected")
    assert (settings.data_dir / str(rejected.report)).exists()
    assert found.rows_loaded == 1


@pytest.mark.integration
def test_a_drop_of_nothing_readable_is_answered_without_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path, settle_seconds=0, spark_remote=SecretStr(EMBEDDED))
    for stage in (bronze, silver):
        monkeypatch.setattr(stage, "get_settings", lambda: settings)
    # A server that is kept and never becomes ready.
    monkeypatch.setattr(connect_server, "is_kept", lambda settings: True)
    monkeypatch.setattr(connect_server, "running_server", lambda settings: None)
    (landing(settings) / "binary.csv").write_bytes(bytes(range(256)) * 8)
    (landing(settings) / "empty.csv").write_bytes(b"")
    claim(settings, "bad")
    for _ in range(2):
        bronze.main("bad")
        record = RunFolder(settings, "bad").stage("bronze", BronzeRecord)
        assert {file.name: file.code for file in record.files} == {"binary.csv": "not_text", "empty.csv": "empty_file"}
        assert (record.rows, record.amount, record.table_version) == (0, Decimal(0), None)
    silver.main("bad")
    folder = RunFolder(settings, "bad").quarantine
    names = ["binary.csv", "binary.csv.report.json", "empty.csv", "empty.csv.report.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    audit(settings, "bad")
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.integration
def test_a_rejected_file_has_its_report_before_the_others_are_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, settle_seconds=0)
    (landing(settings) / "binary.csv").write_bytes(bytes(range(256)) * 8)
    dropped(settings, "mixed", good=LINES)
    run_folder = RunFolder(settings, "mixed")
    run_folder.staged.mkdir(parents=True)
    staged = bronze.stage(run_folder.manifest().new_files, run_folder)
    assert [file.reading is None for file in staged] == [True, False]
    report = json.loads((run_folder.quarantine / "binary.csv.report.json").read_text(encoding="utf-8"))
    assert (report["name"], report["code"], report["rows_loaded"]) == ("binary.csv", "not_text", 0)


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_a_lake_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    write_deltalake(settings.table("bronze", "invoice_lines"), pa.table({"invoice": ["1"], "date_order": ["dmy"]}))
    with pytest.raises(LakeOutdated, match=r"earlier version.*archive again"):
        bronze_table(settings)


def test_rows_that_runs_add_to_a_table_side_by_side_are_all_kept(spark: SparkSession, tmp_path: Path) -> None:
    table = Table(str(tmp_path / "table"))

    def total(rows: DataFrame) -> DataFrame:
        return rows.groupBy("key").agg(F.sum("id").alias("id"))

    def add(number: int) -> None:
        table.rewrite(spark, spark.range(number, number + 1).select(F.lit("all").alias("key"), "id"), total)

    with ThreadPoolExecutor(max_workers=3) as pool:
        list(pool.map(add, range(1, 7)))
    assert [row.id for row in table.read(spark).collect()] == [1 + 2 + 3 + 4 + 5 + 6]


def fact_rows(settings: Settings) -> list[tuple[object, ...]]:
    """Return invoice, batch and the converted amounts of each fact in Delta, and that the warehouse has the same."""
    wanted = "sale_id, batch_id, fx_date, fx_source, fx_missing, rate_usd, amount_usd, amount_jpy, unit_price_eur"
    with duckdb.connect() as connection:
        facts = DeltaTable(settings.table("gold", "fact_sales")).to_pyarrow_dataset()
        connection.register("facts", facts)
        lake = connection.execute(f"SELECT {wanted} FROM facts").fetchall()
    with open_engine(settings) as engine, transaction(engine) as connection:
        live = connection.execute(text(f"SELECT {wanted} FROM {settings.warehouse_schema}.fact_sales")).all()
    warehouse = {row.sale_id.hex: tuple(row)[1:] for row in live}
    assert {row[0]: row[2:] for row in lake} == {key: row[1:] for key, row in warehouse.items()}
    return sorted(lake)


@pytest.fixture
def fresh(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    name = f"warehouse_{uuid.uuid4().hex[:12]}"
    postgres_server.create_database(name)
    url = postgres_server.url(name)
    found = Settings.model_validate({"data_dir": tmp_path / "data", "database_url": url, "settle_seconds": 0})
    found = found.model_copy(update={"spark_jars_dir": get_settings().jars})
    upgrade(found)
    return found


LINES = [
    "730001,22086,PAPER CHAIN,1,2011-03-01 10:00:00,10.00,,France",
    "730002,22086,PAPER CHAIN,1,2011-03-02 10:00:00,23.00,,France",
]


def documents(settings: Settings) -> list[tuple[str, int]]:
    daily = json.loads((settings.data_dir / "gold" / "daily_sales.json").read_text())
    return [(row["invoice_day"], row["lines"]) for row in daily]


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_codes_and_names_of_one_country_are_one_member(spark: SparkSession, fresh: Settings) -> None:
    written = ["GB", "UK", "United Kingdom", "EIRE", "Ireland", "united kingdom", "Atlantis", ""]
    lines = [
        f"{number},22086,PAPER CHAIN,1,2011-03-01 10:00:00,1.00,1,{name}" for number, name in enumerate(written, 730001)
    ]
    dropped(fresh, "codes", a=lines)
    found = run(spark, fresh, "codes")
    assert (found.rows_loaded, found.amount_loaded) == (8, Decimal(8))
    assert found.enrichment is not None
    assert found.enrichment.missing["countries"] == {"unknown_country": 1, "not_stated": 1}

    claim(fresh, "rebuilt", day=date(2011, 3, 1))
    assert run(spark, fresh, "rebuilt").rows_loaded == 8
    with open_engine(fresh) as engine, transaction(engine) as connection:
        members = connection.execute(
            text(
                f"SELECT country, iso2, count(*) FROM {fresh.warehouse_schema}.fact_sales "
                f"JOIN {fresh.warehouse_schema}.dim_country USING (country_key) GROUP BY 1, 2 ORDER BY 1"
            )
        ).all()
    assert [tuple(row) for row in members] == [
        ("Atlantis", None, 1),
        ("Ireland", "IE", 2),
        ("United Kingdom", "GB", 4),
        ("Unspecified", None, 1),
    ]
    kept = DeltaTable(fresh.table("silver", "invoice_lines")).to_pyarrow_table(
        columns=["invoice_no", "country_as_written"]
    )
    by_invoice = sorted(zip(*kept.to_pydict().values(), strict=True))
    assert [name for _, name in by_invoice] == [name or None for name in written]


@pytest.mark.integration
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("reached", [pytest.param("silver", marks=pytest.mark.thorough), "gold"])
def test_lines_of_a_run_that_failed_are_loaded_by_the_next_that_brings_them(
    spark: SparkSession, fresh: Settings, reached: str
) -> None:
    dropped(fresh, "failed", a=[*LINES, LINES[0].replace("730001", "730003")])
    run_until(spark, fresh, "failed", until=reached)
    dropped(fresh, "other", b=["730009,22087,BUNTING,1,2011-03-01 11:00:00,4.00,,France"])
    assert run(spark, fresh, "other").rows_loaded == 1
    assert documents(fresh) == [("2011-03-01", 1)]
    dropped(fresh, "again", c=LINES)
    again = run(spark, fresh, "again", times=2)
    assert (again.rows_loaded, again.rows_already_seen, again.amount_loaded) == (2, 0, Decimal("33.00"))
    assert documents(fresh) == [("2011-03-01", 2), ("2011-03-02", 1)]
    if reached == "gold":
        publish_with_sums(fresh, "failed")
        index(fresh, "failed")
        late = receipt(fresh, "failed")
    else:
        late = run(spark, fresh, "failed")
    assert (late.rows_in, late.rows_loaded, late.rows_already_seen) == (3, 1, 2)
    assert documents(fresh) == [("2011-03-01", 3), ("2011-03-02", 1)]
    assert len({row[0] for row in fact_rows(fresh)}) == len(fact_rows(fresh)) == 4


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_a_rebuild_leaves_lines_that_are_not_published_to_their_own_run(spark: SparkSession, fresh: Settings) -> None:
    dropped(fresh, "held", a=LINES)
    run_until(spark, fresh, "held", until="silver")
    dropped(fresh, "other", b=["730009,22087,BUNTING,1,2011-03-01 11:00:00,4.00,,France"])
    run(spark, fresh, "other")
    claim(fresh, "rebuild", day=date(2011, 3, 1))
    rebuilt = run(spark, fresh, "rebuild")
    assert (rebuilt.rows_in, rebuilt.rows_loaded, rebuilt.rows_already_seen) == (2, 1, 1)
    assert documents(fresh) == [("2011-03-01", 1)]
    assert run(spark, fresh, "held").rows_loaded == 2
    assert documents(fresh) == [("2011-03-01", 2), ("2011-03-02", 1)]


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_a_batch_published_after_another_has_taken_its_lines_over_keeps_them(
    spark: SparkSession, fresh: Settings
) -> None:
    dropped(fresh, "first", a=LINES)
    run_until(spark, fresh, "first", until="gold")
    dropped(fresh, "second", b=[*LINES, "730009,22087,BUNTING,1,2011-03-01 11:00:00,4.00,,France"])
    run_until(spark, fresh, "second", until="silver")
    publish_with_sums(fresh, "first")
    index(fresh, "first")
    assert receipt(fresh, "first").rows_loaded == 2
    live = fact_rows(fresh)
    claim(fresh, "rebuild", day=date(2011, 3, 1))
    run(spark, fresh, "rebuild")
    assert fact_rows(fresh) == live
    assert documents(fresh) == [("2011-03-01", 1), ("2011-03-02", 1)]
    second = run(spark, fresh, "second")
    assert (second.rows_loaded, second.rows_already_seen) == (1, 2)
    assert documents(fresh) == [("2011-03-01", 2), ("2011-03-02", 1)]
    assert len({row[0] for row in fact_rows(fresh)}) == len(fact_rows(fresh)) == 3
    assert compare_sides(fresh).whole


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_rates_that_were_missing_reach_the_facts_of_earlier_batches(spark: SparkSession, fresh: Settings) -> None:
    days = [date(2011, 3, 1), date(2011, 3, 2)]
    gap = [
        {"invoice_day": day, "missing": "no_rate_near_day", "base": "GBP", "recorded_at": datetime.now(UTC)}
        for day in days
    ]
    dropped(fresh, "first", a=LINES)
    manifest = RunFolder(fresh, "first").manifest()
    with pytest.MonkeyPatch.context() as patched:
        # Stands for a day beyond the history while the service is down.
        patched.setattr(fx, "rates", lambda wanted, client, base: [])
        FX_RATES.upsert(fresh, gap)
        run(spark, fresh, "first")
    assert [row[2:6] for row in fact_rows(fresh)] == [(None, None, "no_rate_near_day", None)] * 2
    dropped(fresh, "second", b=["730009,22087,BUNTING,1,2011-03-01 11:00:00,4.00,,France"])
    second = run(spark, fresh, "second")
    assert second.rows_loaded == 1
    facts = fact_rows(fresh)
    assert {row[2:5] for row in facts} == {(day, "ecb", None) for day in days}
    assert [row[1] for row in facts].count(manifest.batch_id) == 2


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_the_same_bytes_under_two_names_in_one_drop_are_accounted_for_once_each(
    spark: SparkSession, fresh: Settings
) -> None:
    for name in ("bad.csv", "bad copy.csv"):
        (landing(fresh) / name).write_bytes(bytes(range(256)) * 8)
    dropped(fresh, "twins", good=LINES, good_copy=LINES)
    found = run(spark, fresh, "twins")
    entries = {file.name: (file.status, file.rows, file.amount) for file in found.files}
    assert entries["good.csv"] == ("loaded", 2, Decimal("33.00"))
    assert entries["good_copy.csv"] == ("already_seen", 2, Decimal("33.00"))
    assert {entries["bad.csv"], entries["bad copy.csv"]} == {("rejected", 0, Decimal(0))}
    assert (found.rows_in, found.rows_loaded, found.rows_already_seen) == (4, 2, 2)
    again = receipt(fresh, "twins")
    assert again.model_dump(exclude={"finished_at", "seconds"}) == found.model_dump(exclude={"finished_at", "seconds"})


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_fractions_are_exact_from_the_file_to_both_sides_of_the_warehouse(spark: SparkSession, fresh: Settings) -> None:
    dropped(
        fresh,
        "fractions",
        a=[
            "740001,85123A,HEART (kg),1.5,2011-03-01 08:26:00,2.55,17850,United Kingdom",
            "740002,85123A,HEART,6,2011-03-01 08:26:00,2.55123,17850,United Kingdom",
            "740003,85123A,HEART,1.0001,2011-03-01 08:26:00,0.33333,17850,United Kingdom",
        ],
    )
    found = run(spark, fresh, "fractions", times=2)
    assert (found.amount_in, found.amount_loaded) == (Decimal("19.13238"), Decimal("19.13238"))
    assert found.rows_quarantined == {"amount_too_precise": 1}
    assert found.model_dump(mode="json")["amount_loaded"] == "19.13238"
    assert compare_sides(fresh).whole
    with open_engine(fresh) as engine, transaction(engine) as connection:
        facts = connection.execute(
            text(f"SELECT quantity, unit_price, amount FROM {fresh.warehouse_schema}.fact_sales ORDER BY amount")
        ).all()
    assert [tuple(map(str, row)) for row in facts] == [
        ("1.5000", "2.550000", "3.825000"),
        ("6.0000", "2.551230", "15.307380"),
    ]
    [day] = json.loads((fresh.data_dir / "gold" / "daily_sales.json").read_text())
    assert (day["units"], day["revenue"]) == (7.5, "19.13238")


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_a_workbook_brings_the_lines_of_the_csv_that_it_was_made_from(
    spark: SparkSession, fresh: Settings, tmp_path: Path
) -> None:
    data = tmp_path / "sales.csv"
    write_sample(generate_lines(300, 7, date(2011, 3, 7), 5, defects=False), data, "csv", SampleStyle(defects=False))
    published_workbook(data, tmp_path / "sales.xlsx", first_rows=140)
    shutil.copyfile(data, landing(fresh) / data.name)
    claim(fresh, "csv")
    first = run(spark, fresh, "csv")
    before = fact_rows(fresh)
    shutil.copyfile(tmp_path / "sales.xlsx", landing(fresh) / "sales.xlsx")
    claim(fresh, "workbook")
    again = run(spark, fresh, "workbook")
    assert (again.rows_in, again.amount_in) == (first.rows_in, first.amount_in)
    assert (again.rows_loaded, again.rows_quarantined) == (0, {})
    assert (again.rows_duplicate, again.rows_already_seen) == (first.rows_duplicate, first.rows_loaded)
    assert fact_rows(fresh) == before


@pytest.mark.integration
def test_silver_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    old = pa.table({"sale_id": ["a"], "quantity": pa.array([6], pa.int32())})
    write_deltalake(settings.table("silver", "invoice_lines"), old)
    with pytest.raises(LakeOutdated, match=r"written by an earlier version.*Start with an empty data folder"):
        silver_table(settings)


@pytest.mark.integration
@pytest.mark.timeout(1800)
def test_lines_in_another_currency_are_kept_in_it_and_added_up_in_the_base_currency(
    spark: SparkSession, fresh: Settings
) -> None:
    lines = [
        "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,Germany,EUR",
        "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,Germany,EUR",
        "536366,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,Germany,GBP",
        "536367,85123A,HEART,many,2010-12-01 08:26:00,2.55,17850,Germany,USD",
    ]
    (landing(fresh) / "a.csv").write_text("\n".join([f"{HEADER},Currency", *lines]) + "\n")
    claim(fresh, "currencies")
    found = run(spark, fresh, "currencies", times=2)
    assert (found.amount_in, found.amount_loaded) == (Decimal("15.30"), Decimal("15.30"))
    assert found.other_currencies == {
        "EUR": Balance(amount_in=Decimal("30.60"), amount_loaded=Decimal("15.30"), amount_duplicate=Decimal("15.30")),
        "USD": Balance(),
    }
    assert compare_sides(fresh).whole
    columns = "currency, original_amount, base_rate, unit_price, amount, amount_eur, amount_usd"
    with open_engine(fresh) as engine, transaction(engine) as connection:
        facts = connection.execute(
            text(f"SELECT {columns} FROM {fresh.warehouse_schema}.fact_sales ORDER BY amount")
        ).all()
    euro, pound = (tuple(map(str, row)) for row in facts)
    # The ECB's rates of the day: a euro is 0.8393 pounds and 1.3115 dollars.
    assert euro == ("EUR", "15.300000", "0.839300000000", "2.140215", "12.840000", "15.30", "20.06")
    assert pound == ("GBP", "15.300000", "1.000000000000", "2.550000", "15.300000", "18.23", "23.91")
    [day] = json.loads((fresh.data_dir / "gold" / "daily_sales.json").read_text())
    assert (day["revenue"], day["currency"]) == ("28.1400", "GBP")


@pytest.mark.integration
def test_a_batch_with_a_currency_that_has_no_rate_is_held(spark: SparkSession, fresh: Settings) -> None:
    line = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,Tunisia,TND"
    (landing(fresh) / "a.csv").write_text(f"{HEADER},Currency\n{line}\n")
    claim(fresh, "held")
    run_until(spark, fresh, "held", until="silver")
    with pytest.raises(RateMissing, match=r"no exchange rate to GBP of TND on 2010-12-01.*ENABLE_EXTERNAL_ENRICHMENT"):
        enrich(fresh, "held")
