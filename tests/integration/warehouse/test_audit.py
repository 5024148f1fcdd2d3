from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select
from sqlalchemy.exc import ProgrammingError

from include.lake.connect_server import free_port
from include.settings import Settings
from include.warehouse.audit_trail import LONGEST, AuditEntry, save_entries, storable
from include.warehouse.connection.engine import WarehouseUnavailable, transaction
from include.warehouse.schema.migrations import upgrade
from include.warehouse.schema.tables import star_table
from retail_api.access import audit_trail as audit
from retail_api.access.audit_trail import AuditTrail
from tests.support.waiting import eventually

AUDIT = star_table("etl_audit")


def entry(**changes: object) -> AuditEntry:
    given = {"username": "ann", "address": "10.0.0.1", "action": "POST /api/v1/files", "target": "/api/v1/files"}
    return AuditEntry.model_validate(given | changes)


def rows(engine: Engine) -> list[dict[str, object]]:
    with transaction(engine) as connection:
        return [dict(row) for row in connection.execute(select(AUDIT).order_by(AUDIT.c.occurred_at)).mappings()]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"data_dir": tmp_path})


@pytest.fixture
def trail(settings: Settings) -> AuditTrail:
    return AuditTrail(settings)


def test_entries_go_to_the_warehouse_once(trail: AuditTrail, engine: Engine) -> None:
    first = entry(outcome="done", status=200, details={"files": ["a.csv"]})
    trail.begin(first)
    assert (trail.deliver(), trail.waiting()) == (0, 0)
    trail.finish(first)
    trail.finish(entry(outcome="refused", status=401, reason="wrong"))
    assert trail.waiting() == 2
    assert trail.deliver() == 2
    assert (trail.deliver(), trail.waiting()) == (0, 0)
    found = rows(engine)
    assert [(row["username"], row["outcome"], row["status"]) for row in found] == [
        ("ann", "done", 200),
        ("ann", "refused", 401),
    ]
    assert found[0]["details"] == {"files": ["a.csv"]}
    assert AuditEntry.model_validate(found[0]) == first


def test_an_entry_that_is_brought_again_changes_nothing(trail: AuditTrail, engine: Engine) -> None:
    first = entry(outcome="done")
    for _ in range(2):
        trail.finish(first)
        trail.deliver()
    assert len(rows(engine)) == 1


def test_entries_wait_while_the_warehouse_is_away(settings: Settings, engine: Engine) -> None:
    away = settings.model_copy(
        update={"database_url": SecretStr(f"postgresql+psycopg://u:p@127.0.0.1:{free_port()}/none")}
    )
    trail = AuditTrail(away)
    trail.finish(entry(outcome="done"))
    with pytest.raises(WarehouseUnavailable):
        trail.deliver()
    assert trail.waiting() == 1
    assert AuditTrail(settings).deliver() == 1
    assert len(rows(engine)) == 1


def test_entries_wait_for_the_migration(settings: Settings, engine: Engine) -> None:
    trail = AuditTrail(settings)
    trail.finish(entry(outcome="done"))
    with transaction(engine) as connection:
        AUDIT.drop(connection)
    with pytest.raises(ProgrammingError):
        trail.deliver()
    assert trail.waiting() == 1


def test_a_change_that_never_ended_is_brought_as_unknown(trail: AuditTrail, engine: Engine) -> None:
    long_ago = datetime.now(UTC) - timedelta(seconds=audit.ORPHANED_SECONDS + 1)
    trail.begin(entry(occurred_at=long_ago))
    trail.begin(entry())
    assert trail.deliver() == 1
    assert [row["outcome"] for row in rows(engine)] == ["unknown"]


def test_an_entry_that_is_refused_keeps_no_other(trail: AuditTrail, engine: Engine, settings: Settings) -> None:
    trail.finish(entry(outcome="done"))
    with sqlite3.connect(settings.api / "audit.sqlite") as connection:
        poisoned = entry().model_dump_json().replace('"status":null', '"status":99999999999')
        connection.execute("INSERT INTO entry VALUES ('poisoned', 0, 'closed', ?)", (poisoned,))
        connection.execute("INSERT INTO entry VALUES ('unreadable', 0, 'closed', '{}')")
    trail.finish(entry(outcome="failed"))
    trail.deliver()
    assert sorted(str(row["outcome"]) for row in rows(engine)) == ["done", "failed"]
    with sqlite3.connect(settings.api / "audit.sqlite") as connection:
        states = connection.execute("SELECT id, state FROM entry ORDER BY id").fetchall()
    assert states == [("poisoned", "rejected"), ("unreadable", "rejected")]


def test_the_thread_brings_entries_by_itself(trail: AuditTrail, engine: Engine) -> None:
    trail.start()
    try:
        trail.finish(entry(outcome="done"))
        eventually(lambda: rows(engine))
        trail.finish(entry(outcome="failed"))
    finally:
        trail.close()
    assert len(rows(engine)) == 2


def test_texts_of_requests_are_made_storable(engine: Engine, blank: Settings) -> None:
    upgrade(blank)
    nasty = entry(username="a\0b", target="/x" * LONGEST, details={"\0": ["\ud800", {"n": 1.5}], "path": Path("/a")})
    with transaction(engine) as connection:
        save_entries(connection, [nasty])
    (row,) = rows(engine)
    assert row["username"] == "a�b"
    assert len(str(row["target"])) == LONGEST
    assert row["details"] == {"�": ["?", {"n": 1.5}], "path": "/a"}
    assert storable(None) is None
