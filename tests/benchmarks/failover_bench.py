"""Time what failover and integrity cost on a whole file: `python -m tests.benchmarks.failover_bench FILE.csv`.

Gold is made by DuckDB; PostgreSQL is an embedded server in a temporary folder.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from deltalake import DeltaTable, write_deltalake
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from deploy.embedded.postgres import PostgresServer
from include.failover import (
    SIDES,
    StateFile,
    catch_up,
    check_integrity,
    compare_sides,
    publish,
    refresh_replica,
    repair,
    status,
    update_replica,
)
from include.lake.connect_server import free_port
from include.settings import Settings
from include.warehouse import GoldBatch, upgrade
from tests.benchmarks.real_gold import BATCH_ID, write

DAY = date(2011, 12, 8)


def small_batch(settings: Settings, number: int) -> GoldBatch:
    """Bring Gold a batch of the lines of one day again, under other identities."""
    batch_id = f"20261124T{8 + number:02}0000-0a1b2c3d"
    uri = settings.table("gold", "fact_sales")
    chosen = [
        ("invoice_month", "=", f"{DAY:%Y-%m}"),
        ("date_key", "=", int(f"{DAY:%Y%m%d}")),
        ("batch_id", "=", BATCH_ID),
    ]
    day = DeltaTable(uri).to_pyarrow_table(filters=chosen)
    columns = {name: day[name] for name in day.column_names}
    columns["sale_id"] = [f"{value}"[number:] + f"{value}"[:number] for value in day["sale_id"].to_pylist()]
    columns["batch_id"] = [batch_id] * day.num_rows
    write_deltalake(uri, day.from_pydict(columns, schema=day.schema), mode="append")
    return GoldBatch(batch_id=batch_id, run_id=f"run_{number}", kind="drop", token="1", months=[f"{DAY:%Y-%m}"])


def main(source: Path) -> None:
    """Measure and print."""
    table = Table("what", "seconds", "found")

    def measure(name: str, work: Callable[[], Any], told: Callable[[Any], object]) -> None:
        started = time.monotonic()
        found = work()
        table.add_row(name, f"{time.monotonic() - started:.1f}", str(told(found)))

    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder) / "cluster", free_port(), secrets.token_urlsafe(16))
        server.initialise()
        server.start()
        server.create_database("bench")
        settings = Settings(_env_file=None, data_dir=Path(folder) / "data", database_url=SecretStr(server.url("bench")))
        upgrade(settings)
        try:
            measure("Gold by DuckDB", lambda: write(settings, source), lambda rows: rows["fact_sales"])
            with StateFile(settings).change() as record:
                batch = GoldBatch(batch_id=BATCH_ID, run_id="all", kind="drop", token="1")
                record.note_batch(batch, "pending", "measured")
                record.change_state("failed_over", "measured")
            measure("full refresh", lambda: refresh_replica(settings), lambda done: done.rows["fact_sales"])
            measure("catch-up with all of it", lambda: catch_up(settings), lambda done: done.serves)
            small = small_batch(settings, 1)
            measure("small publish, primary", lambda: publish(settings, small), lambda done: done.rows_staged)
            measure("update of the replica with it", lambda: update_replica(settings), lambda done: done.batches)
            measure("status", lambda: status(settings), lambda done: done.serves)
            measure("compare, both sides", lambda: compare_sides(settings), lambda done: done.whole)
            for side in SIDES:
                measure(f"integrity, {side}", partial(check_integrity, settings, side), lambda done: done.whole)
            measure("repair of a day", lambda: repair(settings, [DAY]), lambda done: done.written)
            server.stop()
            small = small_batch(settings, 2)
            measure("small publish, primary dead", lambda: publish(settings, small), lambda done: done.warehouse)
            server.start()
            measure("catch-up with it", lambda: catch_up(settings), lambda done: done.batches)
        finally:
            server.stop()
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
