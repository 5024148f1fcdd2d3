from __future__ import annotations

import shutil
from datetime import date
from typing import Any

import pytest

from include.pipeline import publish, receipt
from include.settings import Settings
from include.warehouse.backup.making import back_up
from include.warehouse.backup.restoring import restore
from include.warehouse.engine import open_engine, transaction
from include.warehouse.integrity import SIDES, check_integrity, compare_sides, open_side
from include.warehouse.record import RecordFile
from include.warehouse.replica import recorded_batches
from tests.integration.failover.lake import Lake
from tests.integration.failover.test_failover import contents
from tests.integration.warehouse.batches import batch, lines_of

DAY = date(2010, 12, 2)


@pytest.fixture(autouse=True)
def published(lake: Lake, settings: Settings) -> None:
    for number, start in ((1, 0), (2, 40)):
        publish(settings, lake.drop(number, lines_of(40, start=start)))
        receipt(settings, f"run_{number}")


def everything(settings: Settings) -> dict[str, Any]:
    """Return the row hashes of all three, the batches and receipts of both sides, and the record."""
    found: dict[str, Any] = {side: contents(settings, side) for side in SIDES} | {"gold": contents(settings, None)}
    for side in SIDES:
        with open_side(settings, side) as connection:
            found[f"{side} batches"] = recorded_batches(connection)
            schema = "retail_dwh." if side == "primary" else ""
            query = f"SELECT run_id, amount_loaded FROM {schema}etl_receipt ORDER BY 1"
            found[f"{side} receipts"] = [row[0] for row in connection.exec_driver_sql(query)]
    record = RecordFile(settings).read()
    files = {
        path: path.read_bytes() for name in ("runs", "receipts") for path in (settings.data_dir / name).rglob("*.json")
    }
    return found | {"state": record.state, "open": record.batches, "files": files}


def destroy(settings: Settings) -> None:
    """Lose the schema, the replica, the lake and the records."""
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql("DROP SCHEMA retail_dwh CASCADE")
        connection.exec_driver_sql("DROP SCHEMA retail_staging CASCADE")
    shutil.rmtree(settings.replica)
    shutil.rmtree(settings.data_dir / "lake")
    for name in ("runs", "receipts"):
        shutil.rmtree(settings.data_dir / name)


def test_everything_lost_comes_back_to_the_row(lake: Lake, settings: Settings) -> None:
    before = everything(settings)
    made = back_up(settings)
    assert made.warnings == []
    assert made.parts == {"primary": 80, "replica": 80, "gold": 80}
    assert made.newest_batch == batch(2)
    destroy(settings)
    done = restore(settings)
    assert done.whole
    assert {name: (part.rows, part.differences) for name, part in done.parts.items()} == {
        name: (80, []) for name in ("primary", "replica", "gold")
    }
    assert everything(settings) == before
    assert before["primary"] == before["replica"] == before["gold"]
    assert all(check_integrity(settings, side).whole for side in SIDES)
    assert compare_sides(settings).whole
    third = publish(settings, lake.drop(3, lines_of(20, start=70)))
    assert third is not None
    assert (third.warehouse, third.warnings) == ("primary", [])
    assert compare_sides(settings).whole
