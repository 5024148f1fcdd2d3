"""UCI Online Retail II, whole, against DuckDB. Runs where RETAIL_REAL_FILE names the unpacked csv (1,067,371 rows)."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from sqlalchemy import text

from include.receipts.model import Receipt
from include.settings import Settings, get_settings
from include.warehouse import open_engine, transaction, upgrade
from tests.benchmarks import duckdb_pipeline
from tests.end_to_end.stages import load

REAL_FILE = os.environ.get("RETAIL_REAL_FILE", "")
pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not REAL_FILE, reason="RETAIL_REAL_FILE is not set"),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Settings:
    found = Settings.model_validate(
        {
            "data_dir": tmp_path_factory.mktemp("data"),
            "database_url": postgres_url,
            "settle_seconds": 0,
            "spark_jars_dir": get_settings().jars,
        }
    )
    upgrade(found)
    return found


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    return duckdb_pipeline.run(Path(REAL_FILE), tmp_path_factory.mktemp("duckdb"))


@pytest.fixture(scope="module")
def receipt(settings: Settings) -> Receipt:
    return load(settings, "real", Path(REAL_FILE))


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...]
    (row,) = connection.execute(query).fetchall()
    return row


def test_receipt_balances_to_the_row_and_the_penny(receipt: Receipt, oracle: duckdb.DuckDBPyConnection) -> None:
    rows, amount = one(oracle, "SELECT count(*), sum(amount) FROM lines")
    distinct, loaded = one(oracle, "SELECT count(*), sum(amount) FROM fact_sales")
    assert (receipt.rows_in, receipt.amount_in) == (rows, amount)
    assert (receipt.rows_loaded, receipt.amount_loaded) == (distinct, loaded)
    assert (receipt.rows_duplicate, receipt.amount_duplicate) == (rows - distinct, amount - loaded)
    assert (receipt.rows_quarantined, receipt.rows_already_seen) == ({}, 0)
    assert (rows, rows - distinct) == (1_067_371, 34_335)
    assert amount.quantize(Decimal("0.01")) == Decimal("19287250.57")


BY_MONTH = (
    "SELECT strftime(sold_at, '%Y-%m'), count(*), sum(quantity)::BIGINT, sum(amount) FROM {} GROUP BY 1 ORDER BY 1"
)


def test_delta_agrees(settings: Settings, receipt: Receipt, oracle: duckdb.DuckDBPyConnection) -> None:
    with duckdb.connect() as connection:
        for name in ("fact_sales", "dim_product", "dim_customer", "dim_invoice", "dim_country"):
            connection.register(name, DeltaTable(settings.table("gold", name)).to_pyarrow_dataset())
            if name != "fact_sales":
                assert one(connection, f"SELECT count(*) FROM {name}") == one(oracle, f"SELECT count(*) FROM {name}")
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(BY_MONTH.format("fact_sales")).fetchall()
    assert found == oracle.execute(BY_MONTH.format("fact_sales")).fetchall()


def test_warehouse_agrees(settings: Settings, receipt: Receipt, oracle: duckdb.DuckDBPyConnection) -> None:
    with open_engine(settings) as engine, transaction(engine) as connection:
        rows = connection.execute(
            text(
                "SELECT c.country, p.stock_code, count(*), sum(f.quantity)::bigint, sum(f.amount) "
                "FROM retail_dwh.fact_sales f JOIN retail_dwh.dim_country c USING (country_key) "
                "JOIN retail_dwh.dim_product p USING (product_key) GROUP BY 1, 2"
            )
        ).all()
    expected = oracle.execute(
        "SELECT country, stock_code, count(*), sum(quantity)::BIGINT, sum(amount) FROM fact_sales GROUP BY 1, 2"
    ).fetchall()
    assert sorted(map(tuple, rows)) == sorted(expected)


@pytest.mark.parametrize("name", list(duckdb_pipeline.AGGREGATES))
def test_json_agrees(settings: Settings, receipt: Receipt, oracle: duckdb.DuckDBPyConnection, name: str) -> None:
    result = oracle.execute(duckdb_pipeline.AGGREGATES[name])
    columns = [column[0] for column in result.description or []]
    expected = [dict(zip(columns, map(str, row), strict=True)) for row in result.fetchall()]
    found = json.loads((settings.data_dir / "gold" / f"{name}.json").read_text())
    assert [{key: str(row[key]) for key in columns} for row in found] == expected
