from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine

from include.operate import main
from include.receipts.model import Receipt, ReceiptUnbalanced
from include.settings import Settings, get_settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.queries import latest_sales, totals
from include.warehouse.receipts import save_receipt
from include.warehouse.schema.tables import star_table
from tests.support.batches import Line, batch, lines_of, stage, table_rows
from tests.support.records import receipt
from tests.support.warehouses import REVISIONS


def test_the_latest_sales_come_with_their_dimensions(engine: Engine, settings: Settings) -> None:
    new = Line(sold_at=datetime(2011, 12, 9, 12, 50), customer=None, description=None, price=Decimal("0.1234"))
    stage(engine, settings, batch(1), [*lines_of(20), new])
    publish(engine, settings, batch(1), "run", "drop", "t")
    with transaction(engine) as connection:
        newest, second = latest_sales(connection, 2)
        everything = latest_sales(connection, 100)
        with pytest.raises(ValueError, match="1 or more"):
            latest_sales(connection, 0)
    assert newest == {
        "invoice_no": "536365",
        "stock_code": "85123A",
        "description": None,
        "quantity": 6,
        "unit_price": Decimal("0.1234"),
        "amount": Decimal("0.7404"),
        "kind": "sale",
        "sold_at": new.sold_at,
        "customer_id": "(unknown)",
        "country": "United Kingdom",
    }
    assert second["sold_at"] == max(line.sold_at for line in lines_of(20))
    assert len(everything) == 21


def test_totals_are_by_kind_and_exact(engine: Engine, settings: Settings) -> None:
    with transaction(engine) as connection:
        assert totals(connection) == {"rows": 0, "amount": Decimal(0), "by_kind": {}}
    back = Line(quantity=-2, kind="return", price=Decimal("0.0001"))
    stage(engine, settings, batch(1), [Line(), back])
    publish(engine, settings, batch(1), "run", "drop", "t")
    with transaction(engine) as connection:
        found = totals(connection)
    assert found == {
        "rows": 2,
        "amount": Decimal("15.2998"),
        "by_kind": {
            "return": {"rows": 1, "amount": Decimal("-0.0002")},
            "sale": {"rows": 1, "amount": Decimal("15.3000")},
        },
    }


def test_a_receipt_is_one_row_a_run(engine: Engine, settings: Settings) -> None:
    save_receipt(engine, receipt())
    save_receipt(engine, receipt().model_copy(update={"status": "rejected"}))
    with transaction(engine) as connection:
        row = connection.execute(star_table("etl_receipt").select()).mappings().one()
    assert row["status"] == "rejected"
    assert (row["rows_in"], row["rows_quarantined"], row["amount_in"]) == (10, 3, Decimal("100.1001"))
    assert row["finished_at"] == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert Receipt.model_validate(row["document"]) == receipt().model_copy(update={"status": "rejected"})


def test_an_unbalanced_receipt_is_not_saved(engine: Engine, settings: Settings) -> None:
    with pytest.raises(ReceiptUnbalanced):
        save_receipt(engine, receipt().model_copy(update={"rows_in": 11}))
    assert table_rows(engine, "etl_receipt") == []


@pytest.fixture
def environment(blank: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("RETAIL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", blank.database_url.get_secret_value())
    monkeypatch.setenv("RETAIL_WAREHOUSE_SCHEMA", blank.warehouse_schema)
    monkeypatch.setenv("RETAIL_STAGING_SCHEMA", blank.staging_schema)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("environment")
def test_the_command_line(engine: Engine, blank: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert json.loads(capsys.readouterr().out)["revision"] == REVISIONS[-1]
    stage(engine, blank, batch(1), [Line()])
    assert main(["publish", batch(1), "--run-id", "run", "--token", "t"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_written"]["fact_sales"] == 1
    assert main(["publish", batch(2), "--run-id", "run", "--token", "t"]) == 1
    assert "Run gold again" in capsys.readouterr().err
    assert main(["totals", "--latest", "1"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["amount"], shown["latest"][0]["stock_code"]) == ("15.3000", "85123A")
    rows = stage(engine, blank, batch(3), [Line(quantity=1)])
    assert rows["fact_sales"] == 1
    assert main(["publish", batch(3), "--run-id", "r", "--token", "t", "--rebuild-day", "2010-12-01"]) == 0
    assert json.loads(capsys.readouterr().out)["facts_deleted"] == 1
    stage(engine, blank, batch(4), [])
    assert main(["purge-staging", "--older-than-days", "-1"]) == 0
    assert len(json.loads(capsys.readouterr().out)["dropped"]) == 6
    assert main(["migrate", "--down"]) == 1
    assert "--revision" in capsys.readouterr().err
    assert main(["migrate", "--down", "--revision", "base"]) == 0


def test_help_needs_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "purge-staging" in capsys.readouterr().out
