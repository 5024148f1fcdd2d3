"""The whole of a system under test: all that a restore has to bring back, and losing it."""

from __future__ import annotations

import os
import shutil
import signal
from importlib import import_module
from typing import Any

from sqlalchemy import select

from include.backup import back_up, restore
from include.failover import (
    SIDES,
    StateFile,
    open_side,
)
from include.lake.in_use import lake_in_use
from include.settings import Settings
from include.warehouse import (
    AuditEntry,
    open_engine,
    recorded_batches,
    star_table,
    transaction,
)
from tests.support.sides import contents

AUDITED = [
    AuditEntry(
        username="ann\u00e9",
        address="10.0.0.1",
        action="POST /api/v1/files",
        target=f"/api/v1/files?n={number}",
        outcome="done",
        status=201,
        details={"files": [f"{number}.csv"], "rows": number},
    )
    for number in range(3)
]


def everything(settings: Settings) -> dict[str, Any]:
    """Return the row hashes of all three, the batches and receipts of both sides, and the record."""
    found: dict[str, Any] = {side: contents(settings, side) for side in SIDES} | {"gold": contents(settings, None)}
    with open_side(settings, "primary") as connection:
        trail = star_table("etl_audit")
        found["audit"] = [tuple(row) for row in connection.execute(select(trail).order_by(trail.c.audit_id))]
    for side in SIDES:
        with open_side(settings, side) as connection:
            found[f"{side} batches"] = recorded_batches(connection)
            schema = "retail_dwh." if side == "primary" else ""
            for table in ("etl_receipt", "etl_quality"):
                query = f"SELECT * FROM {schema}{table} ORDER BY 1, 2, 3"
                found[f"{side} {table}"] = [tuple(row) for row in connection.exec_driver_sql(query)]
    record = StateFile(settings).read()
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


def killed_in(what: str, module: str, name: str, number: int = 1) -> None:
    """Back up or restore, and kill this process when it calls a function for the `number`-th time."""
    calls: list[None] = []
    place = import_module(module)
    real = getattr(place, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(place, name, dying)
    if what == "backup":
        back_up(Settings())
    else:
        restore(Settings(), replace=True)


def killed_step() -> None:
    """Kill this process while it works on the lake, as a step of a run does."""
    with lake_in_use(Settings()):
        os.kill(os.getpid(), signal.SIGKILL)
