"""Everything the pipeline does, through a transaction pooler and over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import py4j.java_gateway
import pyspark
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, Engine, text

from include.lake.submitting import JarsMissing, jar_paths
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable, make_engine, open_engine, transaction
from include.warehouse.health import connection_health, statistics
from include.warehouse.publishing.publish import publish
from include.warehouse.publishing.staging import create_staging, jdbc_options, purge_staging, qualified_staging_table
from include.warehouse.queries import totals
from include.warehouse.receipts import save_receipt
from include.warehouse.schema.migrations import downgrade, upgrade
from include.warehouse.schema.tables import FACT, STAR, loaded_columns
from tests.support.batches import batch, lines_of, stage, star_of, whole_fact
from tests.support.pooler import BINARY, CERTIFIED, SERVERS, certificate, pooler
from tests.support.records import receipt

pytestmark = pytest.mark.skipif(BINARY is None, reason="pgbouncer is not installed (Debian: apt-get install pgbouncer)")


def leading(settings: Settings, url: URL, **values: Any) -> Settings:
    secret = SecretStr(url.render_as_string(hide_password=False))
    return settings.model_copy(update={"database_url": secret, "database_pooler": "transaction"} | values)


@pytest.fixture
def pooled(blank: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings that lead through a transaction pooler of two server connections."""
    with pooler(tmp_path, blank.database_url.get_secret_value()) as url:
        yield leading(blank, url)


@pytest.fixture
def through(engine: Engine, pooled: Settings) -> Iterator[Engine]:
    """Engine on a migrated warehouse, through the pooler."""
    upgrade(pooled)
    with open_engine(pooled) as made:
        yield made


def session_state(engine: Engine) -> set[tuple[Any, ...]]:
    """Return what the server connections behind the pooler remember, asking often enough to meet each."""
    query = text(
        "SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements), "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), current_setting('session_replication_role'), "
        "current_setting('work_mem'), current_setting('default_transaction_isolation'), "
        "current_setting('idle_in_transaction_session_timeout'), pg_sleep(0.05)"
    )

    def ask(_: int) -> tuple[Any, ...]:
        with transaction(engine) as connection:
            return tuple(connection.execute(query).one())[:-1]

    with ThreadPoolExecutor(max_workers=4) as workers:
        return set(workers.map(ask, range(16)))


CLEAN = (0, 0, "origin", "32MB", "read committed", "0")


def test_a_batch_from_migration_to_totals(through: Engine, pooled: Settings) -> None:
    assert upgrade(pooled) == "0003"
    rows = stage(through, pooled, batch(1), lines_of(30))
    published = publish(through, pooled, batch(1), "run", "drop", "t", staged_rows=rows)
    assert publish(through, pooled, batch(1), "run", "drop", "t") == published
    save_receipt(through, receipt())
    with transaction(through) as connection:
        assert totals(connection)["rows"] == 30
    assert {table.name: table.rows for table in statistics(through, pooled).tables}["fact_sales"] == 30
    create_staging(through, pooled, "20101201T082600-0a1b2c3d")
    assert purge_staging(through, pooled) == []
    assert downgrade(pooled, "base") is None
    state = session_state(through)
    assert {found[1:] for found in state} == {CLEAN}
    assert 1 <= len(state) <= SERVERS


def test_publishes_at_once(through: Engine, pooled: Settings) -> None:
    lines = lines_of(120)
    for number in range(8):
        stage(through, pooled, batch(number), lines[number * 10 : number * 10 + 40])
    with ThreadPoolExecutor(max_workers=8) as workers:
        reports = list(
            workers.map(lambda number: publish(through, pooled, batch(number), f"run {number}", "drop", "t"), range(8))
        )
    assert sum(report.rows_written["fact_sales"] for report in reports) == 110
    with transaction(through) as connection:
        assert totals(connection)["rows"] == 110
    assert {found[1:] for found in session_state(through)} == {CLEAN}


def test_the_pooler_is_found(through: Engine, pooled: Settings) -> None:
    found = connection_health(through, pooled)
    assert (found.status, found.route, found.transaction_pooler) == ("up", "pooler", True)


@pytest.fixture
def jvm() -> Iterator[Any]:
    """A Java process that has the warehouse's driver."""
    try:
        jars = jar_paths(Settings())
    except JarsMissing as error:
        pytest.skip(str(error))
    (bridge,) = (Path(pyspark.__file__).parent / "jars").glob("py4j-*.jar")
    port = py4j.java_gateway.launch_gateway(jarpath=str(bridge), classpath=":".join(map(str, jars)), die_on_exit=True)
    gateway = py4j.java_gateway.JavaGateway(
        gateway_parameters=py4j.java_gateway.GatewayParameters(port=port, auto_convert=True)
    )
    yield gateway.jvm
    gateway.shutdown()


class Writer:
    """A connection that writes as Spark's JDBC writer does: batches of inserts, one transaction."""

    def __init__(self, jvm: Any, url: str, properties: dict[str, str]) -> None:
        known = jvm.java.util.Properties()
        for name, value in properties.items():
            if name not in {"driver", "batchsize", "isolationLevel", "queryTimeout"}:  # Spark keeps these to itself
                known.setProperty(name, value)
        self.connection = jvm.org.postgresql.Driver().connect(url, known)
        self.connection.setAutoCommit(False)
        assert properties.get("isolationLevel", "READ_COMMITTED") == "READ_COMMITTED"
        self.connection.setTransactionIsolation(2)
        self.seconds = int(properties.get("queryTimeout", 0))

    def write(self, table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        """Write rows as text, which the driver leaves to the server to read."""
        places = ", ".join("?" * len(columns))
        statement = self.connection.prepareStatement(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})")
        statement.setQueryTimeout(self.seconds)
        for first in range(0, len(rows), 4):
            for row in rows[first : first + 4]:
                for place, value in enumerate(row, 1):
                    statement.setString(place, str(value))
                statement.addBatch()
            statement.executeBatch()
        statement.close()
        self.connection.commit()


COUNTRIES = [(number, f"Country {number}") for number in range(64)]


def taking_turns(jvm: Any, settings: Settings, options: tuple[str, dict[str, str]]) -> None:
    """Let two connections write in turn, so that each meets a server the other has used."""
    table = qualified_staging_table(settings, "dim_country", batch(1))
    first, second = (Writer(jvm, *options) for _ in range(2))
    try:
        for turn in range(4):
            for number, writer in enumerate((first, second)):
                start = turn * 16 + number * 8
                writer.write(table, ["country_key", "country"], COUNTRIES[start : start + 8])
    finally:
        first.connection.close()
        second.connection.close()


def test_sparks_driver_loads_through_the_pooler(blank: Settings, engine: Engine, tmp_path: Path, jvm: Any) -> None:
    upgrade(blank)
    with pooler(tmp_path, blank.database_url.get_secret_value(), servers=1) as url:
        pooled = leading(blank, url)
        with open_engine(pooled) as through:
            create_staging(through, pooled, batch(1))
            taking_turns(jvm, pooled, jdbc_options(pooled))
            table = qualified_staging_table(pooled, "dim_country", batch(1))
            with transaction(through) as connection:
                assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == len(COUNTRIES)
            assert {found[1:] for found in session_state(through)} == {CLEAN}


def test_a_driver_that_prepares_would_fail(blank: Settings, engine: Engine, tmp_path: Path, jvm: Any) -> None:
    upgrade(blank)
    with pooler(tmp_path, blank.database_url.get_secret_value(), servers=1) as url:
        pooled = leading(blank, url)
        with open_engine(pooled) as through:
            create_staging(through, pooled, batch(1))
        address, properties = jdbc_options(pooled)
        del properties["prepareThreshold"]
        with pytest.raises(Exception, match="prepared statement"):
            taking_turns(jvm, pooled, (address, properties))


def test_sparks_driver_fills_the_star_directly(settings: Settings, engine: Engine, jvm: Any) -> None:
    create_staging(engine, settings, batch(1))
    address, properties = jdbc_options(settings)
    assert "options" in properties
    writer = Writer(jvm, address, properties)
    rows = star_of(lines_of(12), batch(1))
    rows[FACT] = [tuple(value for value in whole_fact(row) if value is not None) for row in rows[FACT]]
    for table in STAR:
        columns = {"dim_country": 2, "dim_product": 8}.get(table, 99)
        names = [column.name for column in loaded_columns(table)][:columns]
        if table == FACT:  # without what enrichment adds
            names = names[:12] + names[-5:]
        writer.write(qualified_staging_table(settings, table, batch(1)), names, rows[table])
    writer.connection.close()
    assert publish(engine, settings, batch(1), "run", "drop", "t").rows_written["fact_sales"] == 12


def remote(settings: Settings, url: URL, name: str = CERTIFIED, **query: str) -> Settings:
    """Return settings that take the pooler for another machine, which its certificate may or may not name."""
    url = url.set(host=name).update_query_dict({"hostaddr": "127.0.0.1"} | query)
    return leading(settings, url)


def test_another_machine_is_spoken_to_over_tls(settings: Settings, tmp_path: Path) -> None:
    known = certificate(tmp_path)
    with pooler(tmp_path, settings.database_url.get_secret_value(), tls=known) as url:
        trusting = {"sslmode": "verify-full", "sslrootcert": str(known.public)}
        for query in ({}, trusting):
            there = remote(settings, url, **query)
            with open_engine(there) as engine:
                found = connection_health(engine, there)
            assert (found.status, found.tls, found.sslmode) == ("up", True, query.get("sslmode", "require"))


def test_a_machine_that_cannot_prove_its_name_is_refused(settings: Settings, tmp_path: Path) -> None:
    known = certificate(tmp_path)
    with pooler(tmp_path, settings.database_url.get_secret_value(), tls=known) as url:
        trusting = {"sslmode": "verify-full", "sslrootcert": str(known.public)}
        elsewhere = make_engine(remote(settings, url, "elsewhere.example", **trusting))
        with pytest.raises(WarehouseUnavailable, match="does not match host name"), transaction(elsewhere):
            pass
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with pooler(tmp_path, settings.database_url.get_secret_value(), tls=certificate(stranger)) as url:
        untrusted = make_engine(remote(settings, url, **trusting))
        with pytest.raises(WarehouseUnavailable, match="certificate verify failed"), transaction(untrusted):
            pass


def test_a_machine_without_tls_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pooler(tmp_path, settings.database_url.get_secret_value()) as url:
        engine = make_engine(remote(settings, url))
        with pytest.raises(WarehouseUnavailable, match="server does not support SSL"), transaction(engine):
            pass


def test_sparks_driver_speaks_tls_and_asks_for_proof(settings: Settings, tmp_path: Path, jvm: Any) -> None:
    known = certificate(tmp_path)
    with pooler(tmp_path, settings.database_url.get_secret_value(), tls=known) as url:
        trusted = url.update_query_dict({"sslmode": "verify-full", "sslrootcert": str(known.public)})
        Writer(jvm, *jdbc_options(leading(settings, trusted))).connection.close()
        nameless = trusted.update_query_dict({"sslrootcert": str(certificate(tmp_path.parent).public)})
        with pytest.raises(Exception, match="SSL error"):
            Writer(jvm, *jdbc_options(leading(settings, nameless)))
