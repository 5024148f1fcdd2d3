"""Time the publish of a whole file, statement by statement: `python -m tests.benchmarks.publish_bench FILE.csv`.

Gold is made by DuckDB and staged by COPY; PostgreSQL is an embedded server in a temporary folder. The batch is
published twice into an empty warehouse, first with the indices of the facts in place, then without. Beside the seconds
that passed stand those of the processor, as the publish's server process had it; parallel workers are not in them.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from deploy.embedded.postgres import PostgresServer
from include.lake.connect_server import free_port
from include.settings import Settings
from include.warehouse import FACT, GoldBatch, GoldStar, downgrade, open_engine, stage_picked, upgrade
from include.warehouse.publishing import indices
from include.warehouse.publishing.publish import publish
from tests.benchmarks.real_gold import BATCH_ID, write

BATCH = GoldBatch(batch_id=BATCH_ID, run_id="all", kind="drop", token="1")
SHOWN_SECONDS = 0.3


def processor_seconds(process: int) -> float:
    """Return the processor time a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(settings: Settings, name: str) -> Table:
    """Publish all of Gold into an empty warehouse; return the statements that took longest."""
    downgrade(settings, "base")
    upgrade(settings)
    table = Table(name, "seconds", "of the processor")
    begun: tuple[float, float] = (0.0, 0.0)
    total = 0.0

    def now(conn: Any) -> tuple[float, float]:
        return time.monotonic(), processor_seconds(conn.connection.driver_connection.info.backend_pid)

    def before(conn: Any, *_: Any) -> None:
        nonlocal begun
        begun = now(conn)

    def after(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal total
        seconds, processor = (end - start for start, end in zip(begun, now(conn), strict=True))
        total += processor
        if seconds >= SHOWN_SECONDS:
            table.add_row(" ".join(statement.split())[:45], f"{seconds:.1f}", f"{processor:.1f}")

    with open_engine(settings) as engine:
        with GoldStar(settings) as gold:
            gold.pick_batch(BATCH)
            rows = stage_picked(engine, settings, BATCH_ID, gold)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")
        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
        started = time.monotonic()
        publish(engine, settings, BATCH_ID, "all", "drop", "1", staged_rows=rows)
        table.add_row(f"all of it, {rows[FACT]} facts", f"{time.monotonic() - started:.1f}", f"{total:.1f}")
    return table


def main(source: Path) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder) / "cluster", free_port(), secrets.token_urlsafe(16))
        server.initialise()
        server.start()
        try:
            server.create_database("bench")
            url = SecretStr(server.url("bench"))
            settings = Settings(_env_file=None, data_dir=Path(folder) / "data", database_url=url)
            upgrade(settings)
            write(settings, source)
            with patch.object(indices, "_outweighs_live", return_value=False):
                Console().print(measured(settings, "with indices"))
            Console().print(measured(settings, "without"))
        finally:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
