"""Row-level security on a PostgreSQL that has Supabase's roles, and an owner that is no superuser."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from include.operate import main
from include.settings import Settings, get_settings
from include.warehouse.audit_trail import AuditEntry, save_entries
from include.warehouse.connection.engine import WarehouseMisconfigured, make_engine, open_engine, transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.quality import save_scores
from include.warehouse.receipts import save_receipt
from include.warehouse.schema.marts import MARTS
from include.warehouse.schema.migrations import downgrade, secure, upgrade
from include.warehouse.schema.security import ROLES, unsecured
from include.warehouse.schema.tables import PRIVATE_TABLES, WarehouseTable
from tests.support.batches import batch, lines_of, stage
from tests.support.records import receipt, score
from tests.support.warehouses import REVISIONS

TABLES = sorted(table.name for table in WarehouseTable.metadata.sorted_tables)
PUBLIC_TABLES = [name for name in TABLES if name not in PRIVATE_TABLES]
VIEWS = sorted(mart.name for mart in MARTS)
DENIED = "permission denied"


@pytest.fixture(scope="module")
def roles(postgres_url: str) -> Iterator[dict[str, str]]:
    """Supabase's roles, and the names and passwords of two that may connect: `authenticator` and `owner`."""
    passwords = {"authenticator": secrets.token_hex(8), "owner": secrets.token_hex(8)}
    database = make_url(postgres_url).database
    made = [
        *[f"CREATE ROLE {role} NOLOGIN NOINHERIT" for role in ROLES],
        f"CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD '{passwords['authenticator']}'",
        f"GRANT {', '.join(ROLES)} TO authenticator",
        f"CREATE ROLE owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{passwords['owner']}'",
        f"GRANT CREATE ON DATABASE {database} TO owner",
    ]
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in made:
            connection.execute(text(statement))
    yield passwords
    with engine.connect() as connection:
        for role in ("owner", "authenticator", *ROLES):
            connection.execute(text(f"DROP OWNED BY {role} CASCADE"))
            connection.execute(text(f"DROP ROLE {role}"))
    engine.dispose()


@pytest.fixture
def supabase(blank: Settings, roles: dict[str, str]) -> Settings:
    """Settings of the owner of a warehouse that has not been made yet."""
    url = make_url(blank.database_url.get_secret_value()).set(username="owner", password=roles["owner"])
    return blank.model_copy(
        update={
            "database_type": "supabase",
            "supabase_url": "http://127.0.0.1:54321",
            "database_url": SecretStr(url.render_as_string(hide_password=False)),
        }
    )


@pytest.fixture
def loaded(engine: Engine, supabase: Settings) -> Settings:
    """Settings of a warehouse that its owner made, loaded and published into."""
    upgrade(supabase)
    with open_engine(supabase) as own:
        stage(own, supabase, batch(1), lines_of(30))
        publish(own, supabase, batch(1), "run", "drop", "t")
        save_receipt(own, receipt())
        save_scores(own, [score()])
        with transaction(own) as connection:
            save_entries(connection, [AuditEntry(username="ann", address="10.0.0.1", action="POST /", target="/")])
    return supabase


class Door:
    """Connections as Supabase makes them: as authenticator, which takes a role for one transaction."""

    def __init__(self, settings: Settings, password: str) -> None:
        url = make_url(settings.database_url.get_secret_value()).set(username="authenticator", password=password)
        self.engine = make_engine(
            settings.model_copy(update={"database_url": SecretStr(url.render_as_string(hide_password=False))})
        )
        self.schema = settings.warehouse_schema

    @contextmanager
    def opened(self, role: str) -> Iterator[Connection]:
        with transaction(self.engine) as connection:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
            yield connection

    def rows(self, role: str, relation: str) -> int:
        with self.opened(role) as connection:
            found: int = connection.execute(text(f"SELECT count(*) FROM {self.schema}.{relation}")).scalar_one()
            return found

    def refuses(self, role: str, statement: str) -> bool:
        with pytest.raises(ProgrammingError, match=DENIED), self.opened(role) as connection:
            connection.execute(text(statement.format(self.schema)))
        return True


@pytest.fixture
def door(loaded: Settings, roles: dict[str, str]) -> Iterator[Door]:
    made = Door(loaded, roles["authenticator"])
    yield made
    made.engine.dispose()


WRITES = (
    "INSERT INTO {}.dim_country (country_key, country) VALUES (1, 'Utopia')",
    "UPDATE {}.dim_country SET region = 'Europe'",
    "DELETE FROM {}.fact_sales",
    "TRUNCATE {}.fact_sales",
)


def test_anon_reads_nothing_and_writes_nothing(door: Door) -> None:
    for relation in (*TABLES, "alembic_version", *VIEWS):
        assert door.refuses("anon", f"SELECT * FROM {{}}.{relation}")
    assert all(door.refuses("anon", statement) for statement in WRITES)


def test_anon_sees_no_row_even_where_somebody_granted_access(door: Door, loaded: Settings) -> None:
    schema = loaded.warehouse_schema
    with open_engine(loaded) as own, transaction(own) as connection:
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO PUBLIC"))
        connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO anon"))
    assert {relation: door.rows("anon", relation) for relation in (*TABLES, *VIEWS)} == dict.fromkeys(
        (*TABLES, *VIEWS), 0
    )
    with pytest.raises(ProgrammingError, match="row-level security"), door.opened("anon") as connection:
        connection.execute(text(WRITES[0].format(schema)))
    assert any("FROM anon" in change for change in secure(loaded).changes)
    assert door.refuses("anon", "SELECT * FROM {}.fact_sales")


def test_anon_reads_if_the_setting_says_so_and_stops_when_it_no_longer_does(door: Door, loaded: Settings) -> None:
    secure(loaded.model_copy(update={"supabase_anon_access": "read"}))
    assert all(door.rows("anon", relation) > 0 for relation in (*PUBLIC_TABLES, *VIEWS))
    assert all(door.refuses("anon", f"SELECT * FROM {{}}.{relation}") for relation in PRIVATE_TABLES)
    assert all(door.refuses("anon", statement) for statement in WRITES)
    secure(loaded)
    assert all(door.refuses("anon", f"SELECT * FROM {{}}.{relation}") for relation in (*TABLES, *VIEWS))


def test_authenticated_reads_and_cannot_write(door: Door) -> None:
    assert all(door.rows("authenticated", relation) > 0 for relation in (*PUBLIC_TABLES, *VIEWS))
    assert all(door.refuses("authenticated", f"SELECT * FROM {{}}.{relation}") for relation in PRIVATE_TABLES)
    assert door.rows("authenticated", "fact_sales") == 30
    assert all(door.refuses("authenticated", statement) for statement in WRITES)


@pytest.mark.parametrize("bypass", ["BYPASSRLS", "NOBYPASSRLS"])
def test_service_role_reads_and_writes(door: Door, engine: Engine, bypass: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text(f"ALTER ROLE service_role {bypass}"))
    assert all(door.rows("service_role", relation) > 0 for relation in (*TABLES, *VIEWS))
    with door.opened("service_role") as connection:
        for statement in WRITES[:3]:
            assert connection.execute(text(statement.format(door.schema))).rowcount > 0
    assert door.rows("service_role", "fact_sales") == 0


def test_nobody_reaches_staging(door: Door, loaded: Settings) -> None:
    with open_engine(loaded) as own:
        stage(own, loaded, batch(2), lines_of(3))
    table = f"{loaded.staging_schema}.dim_date__20261124t000002_00000002"
    assert all(door.refuses(role, f"SELECT * FROM {table}") for role in ROLES)


def test_the_owner_still_loads_and_publishes(loaded: Settings) -> None:
    with open_engine(loaded) as own:
        stage(own, loaded, batch(2), lines_of(50))
        assert publish(own, loaded, batch(2), "run", "drop", "t").rows_written["fact_sales"] == 20


def fingerprint(engine: Engine, settings: Settings) -> list[tuple[Any, ...]]:
    """Return the versions of the catalogue's rows; any statement that changes one makes a new version."""
    query = """
        SELECT 'class', oid, xmin::text FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace)
        UNION ALL SELECT 'policy', p.oid, p.xmin::text FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
            WHERE c.relnamespace = CAST(:schema AS regnamespace)
        UNION ALL SELECT 'schema', oid, xmin::text FROM pg_namespace
            WHERE oid IN (CAST(:schema AS regnamespace), CAST(:staging AS regnamespace))
        ORDER BY 1, 2"""
    parameters = {"schema": settings.warehouse_schema, "staging": settings.staging_schema}
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query), parameters)]


def test_a_second_time_changes_nothing(engine: Engine, loaded: Settings) -> None:
    before = fingerprint(engine, loaded)
    report = secure(loaded)
    upgrade(loaded)
    assert report.changes == []
    assert report.tables == sorted([*TABLES, "alembic_version"])
    assert report.views == VIEWS
    assert fingerprint(engine, loaded) == before


def test_what_somebody_changed_is_put_right_and_foreign_policies_are_told(loaded: Settings) -> None:
    schema = loaded.warehouse_schema
    with open_engine(loaded) as own, transaction(own) as connection:
        for statement in (
            "ALTER TABLE {}.fact_sales DISABLE ROW LEVEL SECURITY",
            "ALTER VIEW {}.mart_daily_sales RESET (security_invoker)",
            "DROP POLICY retail_authenticated_reads ON {}.dim_date",
            "ALTER POLICY retail_service_role_does_all ON {}.dim_date USING (false)",
            "CREATE POLICY everybody ON {}.dim_country FOR SELECT USING (true)",
            "GRANT INSERT ON {}.dim_date TO authenticated",
        ):
            connection.execute(text(statement.format(schema)))
        assert unsecured(connection, loaded) == ["fact_sales", "mart_daily_sales"]
    report = secure(loaded)
    assert [re.sub(r'"', "", change.replace(f'"{schema}".', "")) for change in report.changes] == [
        "REVOKE INSERT ON TABLE dim_date FROM authenticated",
        "DROP POLICY retail_service_role_does_all ON dim_date",
        "CREATE POLICY retail_authenticated_reads ON dim_date FOR SELECT TO authenticated USING (true)",
        "CREATE POLICY retail_service_role_does_all ON dim_date FOR ALL TO service_role USING (true) WITH CHECK (true)",
        "ALTER TABLE fact_sales ENABLE ROW LEVEL SECURITY",
        "ALTER VIEW mart_daily_sales SET (security_invoker = true)",
    ]
    assert report.other_policies == ["dim_country: everybody"]
    assert secure(loaded).changes == []


def test_the_commands_check_and_secure(
    loaded: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "DATABASE_TYPE": "supabase",
        "DATABASE_URL": loaded.database_url.get_secret_value(),
        "SUPABASE_URL": loaded.supabase_url,
        "SUPABASE_SCHEMA": loaded.warehouse_schema,
        "RETAIL_STAGING_SCHEMA": loaded.staging_schema,
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    assert main(["check"]) == 0
    with open_engine(loaded) as own, transaction(own) as connection:
        connection.execute(text(f"ALTER TABLE {loaded.warehouse_schema}.fact_sales DISABLE ROW LEVEL SECURITY"))
    assert main(["check"]) == 1
    assert "Not under row-level security: fact_sales. Run `python -m" in capsys.readouterr().err
    assert main(["secure"]) == 0
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert change.endswith('"fact_sales" ENABLE ROW LEVEL SECURITY')
    assert main(["check"]) == 0
    get_settings.cache_clear()


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_revision_has_every_table_and_view_secured(engine: Engine, supabase: Settings, revision: str) -> None:
    assert upgrade(supabase, revision) == revision
    with transaction(engine) as connection:
        assert unsecured(connection, supabase) == []
    assert upgrade(supabase) == REVISIONS[-1]
    assert downgrade(supabase, revision) == revision
    with transaction(engine) as connection:
        assert unsecured(connection, supabase) == []


def test_a_table_that_a_later_migration_makes_is_secured_by_it(engine: Engine, loaded: Settings) -> None:
    with open_engine(loaded) as own, transaction(own) as connection:
        connection.execute(text(f"CREATE TABLE {loaded.warehouse_schema}.dim_shop (shop_key bigint)"))
        assert unsecured(connection, loaded) == ["dim_shop"]
    upgrade(loaded)
    with transaction(engine) as connection:
        assert unsecured(connection, loaded) == []


def test_without_the_setting_nothing_is_secured(engine: Engine, supabase: Settings) -> None:
    open_to_all = supabase.model_copy(update={"enable_supabase_rls": False})
    upgrade(open_to_all)
    with transaction(engine) as connection:
        assert set(TABLES) <= set(unsecured(connection, open_to_all))
    with pytest.raises(WarehouseMisconfigured, match="set DATABASE_TYPE to supabase and ENABLE_SUPABASE_RLS to true"):
        secure(open_to_all)


def test_another_role_than_the_owner_is_told_so(loaded: Settings, roles: dict[str, str]) -> None:
    with open_engine(loaded) as own, transaction(own) as connection:
        connection.execute(text(f"ALTER TABLE {loaded.warehouse_schema}.fact_sales DISABLE ROW LEVEL SECURITY"))
    url = make_url(loaded.database_url.get_secret_value())
    stranger = url.set(username="authenticator", password=roles["authenticator"]).render_as_string(hide_password=False)
    with pytest.raises(WarehouseMisconfigured, match="Let DATABASE_URL connect as the role that owns"):
        secure(loaded.model_copy(update={"database_url": SecretStr(stranger)}))
