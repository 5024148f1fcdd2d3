from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text

from include.operate import main
from include.settings import Settings, get_settings
from include.warehouse import health as probing
from include.warehouse.connection.engine import WarehouseUnavailable, make_engine, open_engine, transaction
from include.warehouse.health import connection_health, statistics
from include.warehouse.publishing.publish import publish
from include.warehouse.schema.tables import WarehouseTable
from tests.support.batches import batch, lines_of, stage
from tests.support.warehouses import REVISIONS


def test_statistics_of_a_loaded_warehouse(engine: Engine, settings: Settings) -> None:
    for number, lines in ((1, lines_of(30)), (2, lines_of(20, start=30))):
        stage(engine, settings, batch(number), lines)
        report = publish(engine, settings, batch(number), f"run {number}", "drop", "t")
    found = statistics(engine, settings)
    tables = {table.name: table for table in found.tables}
    assert set(tables) == {table.name for table in WarehouseTable.metadata.sorted_tables} | {"alembic_version"}
    assert (tables["fact_sales"].rows, tables["etl_batch"].rows, tables["etl_receipt"].rows) == (50, 2, 0)
    assert all(table.counted for table in found.tables)
    assert tables["fact_sales"].bytes_total > tables["fact_sales"].bytes_indices > 0
    assert found.bytes_database > sum(table.bytes_total for table in found.tables)
    assert found.newest_batch is not None
    assert (found.newest_batch.batch_id, found.newest_batch.run_id, found.newest_batch.facts) == (batch(2), "run 2", 20)
    assert found.newest_batch.amount == report.amount
    assert found.cache_hit_ratio is not None
    assert 0 < found.cache_hit_ratio <= 1
    assert found.connections["active"] >= 1
    assert found.connections_allowed == 120
    assert (found.schema_name, found.revision) == (settings.warehouse_schema, REVISIONS[-1])


def test_a_large_table_is_estimated(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(engine, settings, batch(1), lines_of(30))
    publish(engine, settings, batch(1), "run", "drop", "t")
    with transaction(engine) as connection:
        connection.execute(text(f"ANALYZE {settings.warehouse_schema}.fact_sales"))
    monkeypatch.setattr(probing, "COUNTED_ROWS", 29)
    facts = {table.name: table for table in statistics(engine, settings).tables}["fact_sales"]
    assert (facts.rows, facts.counted) == (30, False)


def test_statistics_of_a_database_without_warehouse(engine: Engine, blank: Settings) -> None:
    found = statistics(engine, blank)
    assert (found.tables, found.newest_batch, found.revision) == ([], None, None)


def test_a_connection_that_is_up(engine: Engine, settings: Settings) -> None:
    found = connection_health(engine, settings)
    assert (found.status, found.error, found.route, found.read_only, found.tls) == ("up", None, "direct", False, False)
    assert found.latency_ms is not None
    assert 0 < found.latency_ms < 1000
    assert found.server_version is not None
    assert found.server_version.startswith("18")
    assert (found.sslmode, found.transaction_pooler) == ("prefer", False)
    password = make_url(settings.database_url.get_secret_value()).password
    assert password is not None
    assert password not in found.model_dump_json()
    assert found.settings["DATABASE_URL"].split("@")[0].endswith(":***")


def read_only(settings: Settings) -> Settings:
    url = make_url(settings.database_url.get_secret_value())
    url = url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    return settings.model_copy(update={"database_url": SecretStr(url.render_as_string(hide_password=False))})


def test_a_server_that_takes_no_writes(settings: Settings) -> None:
    with open_engine(read_only(settings)) as standby:
        assert connection_health(standby, settings).read_only is True


@pytest.fixture
def nowhere(blank: Settings) -> Iterator[Settings]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://u:s3cr3t@127.0.0.1:{closed.getsockname()[1]}/w"
        yield blank.model_copy(update={"database_url": SecretStr(url)})


def test_a_server_that_is_not_there(nowhere: Settings) -> None:
    engine = make_engine(nowhere)
    found = connection_health(engine, nowhere)
    assert found.status == "down"
    assert found.error is not None
    assert "Connection refused" in found.error
    assert "s3cr3t" not in found.model_dump_json()
    with pytest.raises(WarehouseUnavailable):
        statistics(engine, nowhere)


def test_a_server_that_does_not_answer_in_time(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_SERVER", "SELECT pg_sleep(9)")
    found = connection_health(engine, settings.model_copy(update={"connect_timeout_seconds": 0.1}))
    assert found.status == "down"
    assert (
        found.error == f"The warehouse at {found.server} does not answer: canceling statement due to statement timeout."
    )


@pytest.fixture
def environment(blank: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("DATABASE_URL", blank.database_url.get_secret_value())
    monkeypatch.setenv("SUPABASE_SCHEMA", blank.warehouse_schema)
    monkeypatch.setenv("RETAIL_STAGING_SCHEMA", blank.staging_schema)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    get_settings.cache_clear()
    code = main(arguments)
    shown = capsys.readouterr()
    return code, json.loads(shown.out) if code == 0 else shown.err


def test_the_commands_check_and_statistics(
    engine: Engine, blank: Settings, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, "check")[1]["status"] == "up"
    assert command(capsys, "migrate")[0] == 0
    stage(engine, blank, batch(1), lines_of(3))
    publish(engine, blank, batch(1), "run", "drop", "t")
    code, found = command(capsys, "statistics")
    assert (code, found["newest_batch"]["facts"]) == (0, 3)
    assert Decimal(found["newest_batch"]["amount"]) == sum(line.amount for line in lines_of(3))
    assert datetime.fromisoformat(found["newest_batch"]["published_at"]) < datetime.now(UTC)

    environment.setenv("DATABASE_URL", read_only(blank).database_url.get_secret_value())
    code, said = command(capsys, "check")
    assert (code, "takes no writes: let DATABASE_URL lead to the primary" in said) == (1, True)


def test_the_command_check_tells_every_problem_by_its_variable(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("DATABASE_TYPE", "supabase")
    environment.setenv("DATABASE_URL", "postgresql://u:s3cr3t@db.example/w?sslmode=disable")
    environment.setenv("SUPABASE_ANON_KEY", "s3cr3t")
    code, said = command(capsys, "check")
    assert code == 1
    assert [line.split()[0] for line in said.splitlines()] == ["DATABASE_URL", "SUPABASE_URL", "SUPABASE_ANON_KEY"]
    assert "s3cr3t" not in said
    environment.setenv("DATABASE_POOL_SIZE", "many")
    code, said = command(capsys, "check")
    assert said.startswith("DATABASE_POOL_SIZE: ")
    assert (code, said.count("\n")) == (1, 1)


def test_the_command_check_of_sqlite(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environment.setenv("DATABASE_TYPE", "sqlite")
    environment.setenv("DATABASE_URL", "")
    assert command(capsys, "check")[1]["settings"]["DATABASE_TYPE"] == "sqlite"


def test_the_command_secure_is_for_supabase(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = command(capsys, "secure")
    assert (code, "set DATABASE_TYPE to supabase" in said) == (1, True)
