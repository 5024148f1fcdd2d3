from __future__ import annotations

from pathlib import Path

import pytest

from include.settings import Settings
from include.warehouse import GoldStar
from tests.benchmarks.real_gold import write

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"


@pytest.mark.integration
def test_the_gold_that_benchmarks_measure_is_what_the_warehouse_reads(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    csv = tmp_path / "sales.csv"
    csv.write_text(f"{HEADER}\n536365,85123A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850,France\n")
    write(settings, csv)
    with GoldStar(settings) as gold:
        amounts = gold.connection.execute("SELECT amount, original_amount, currency FROM fact_sales").fetchall()
    assert [(str(amount), str(original), currency) for amount, original, currency in amounts] == [
        ("15.300000", "15.300000", "GBP")
    ]
