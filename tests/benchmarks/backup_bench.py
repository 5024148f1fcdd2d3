"""Time backup and restore of a whole file: `python -m tests.benchmarks.backup_bench FILE.csv`.

Gold is made by DuckDB; PostgreSQL is an embedded server in a temporary folder.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from deploy.embedded.postgres import PostgresServer
from include.backup import back_up, list_backups, restore
from include.backup.manifest import read_manifest
from include.failover import StateFile, catch_up, compare_sides, publish, refresh_replica, update_replica
from include.lake.connect_server import free_port
from include.settings import Settings
from include.warehouse import GoldBatch, open_engine, transaction, upgrade
from tests.benchmarks.failover_bench import small_batch
from tests.benchmarks.real_gold import BATCH_ID, write


def destroy(settings: Settings) -> None:
    """Lose the schema, the replica and the lake."""
    with open_engine(settings) as engine, transaction(engine) as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {settings.warehouse_schema} CASCADE")
    shutil.rmtree(settings.replica)
    shutil.rmtree(settings.lake)


def main(source: Path) -> None:
    """Measure and print."""
    table = Table("what", "seconds", "found")

    def measure(name: str, work: Callable[[], Any], found_in: Callable[[Any], object]) -> Any:
        started = time.monotonic()
        found = work()
        table.add_row(name, f"{time.monotonic() - started:.1f}", str(found_in(found)))
        return found

    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder) / "cluster", free_port(), secrets.token_urlsafe(16))
        server.initialise()
        server.start()
        server.create_database("bench")
        settings = Settings(_env_file=None, data_dir=Path(folder) / "data", database_url=SecretStr(server.url("bench")))
        upgrade(settings)
        try:
            write(settings, source)
            with StateFile(settings).change() as record:
                batch = GoldBatch(batch_id=BATCH_ID, run_id="all", kind="drop", token="1")
                record.note_batch(batch, "pending", "measured")
                record.change_state("failed_over", "measured")
            refresh_replica(settings)
            catch_up(settings)
            made = measure(
                "backup", lambda: back_up(settings), lambda done: f"{done.bytes / 1e6:.0f} MB, {done.batches} batches"
            )
            table.add_row("  publishes wait for it", f"{made.locked_seconds:.1f}", "")
            sizes: dict[str, int] = {}
            for name, file in read_manifest(made.path).files.items():
                part = name.partition("/")[0]
                sizes[part] = sizes.get(part, 0) + file.bytes
            for part, size in sizes.items():
                table.add_row(f"  {part}", "", f"{size / 1e6:.0f} MB")
            measure("list, every byte read", lambda: list_backups(settings), lambda found: found.whole)
            destroy(settings)
            done = measure("restore of everything, lost", lambda: restore(settings), lambda done: done.whole)
            table.add_row("  parts put in place", f"{done.replaced_seconds:.1f}", "")
            measure("compare, both sides", lambda: compare_sides(settings), lambda found: found.whole)
            publish(settings, small_batch(settings, 1))
            update_replica(settings)
            measure(
                "restore of the primary alone, caught up",
                lambda: restore(settings, made.path.name, replace=True, only_primary=True),
                lambda done: done.whole,
            )
        finally:
            server.stop()
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
