from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from include.settings import Settings
from include.warehouse.connection.configuration import (
    is_local,
    masked,
    problems,
    read_url,
    server_url,
    transaction_pooler,
)
from include.warehouse.connection.engine import WarehouseMisconfigured, make_engine, warehouse_url

PASSWORD = "sEcr3t-pass"
PROJECT = "abcdefghijklmnopqrst"
LOCAL = f"postgresql://u:{PASSWORD}@127.0.0.1/w"
DIRECT = f"postgresql://postgres:{PASSWORD}@db.{PROJECT}.supabase.co:5432/postgres"
SHARED = f"postgresql://postgres.{PROJECT}:{PASSWORD}@aws-0-eu-west-2.pooler.supabase.com:6543/postgres"


def token(role: str, project: str = PROJECT) -> str:
    parts = [{"alg": "HS256"}, {"iss": "supabase", "ref": project, "role": role}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


SUPABASE: dict[str, Any] = {
    "database_type": "supabase",
    "database_url": DIRECT,
    "supabase_url": f"https://{PROJECT}.supabase.co",
    "supabase_anon_key": token("anon"),
    "supabase_service_key": token("service_role"),
}


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def test_the_environment_names_are_those_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "DATABASE_TYPE": "supabase",
        "DATABASE_URL": f" {DIRECT}\n",
        "DATABASE_POOLER": "transaction",
        "DATABASE_POOL_SIZE": "7",
        "DATABASE_CONNECT_TIMEOUT": "9",
        "DATABASE_STATEMENT_TIMEOUT": "1.5",
        "DATABASE_LOCK_TIMEOUT": "2",
        "SUPABASE_URL": f"https://{PROJECT}.supabase.co/",
        "SUPABASE_ANON_KEY": token("anon"),
        "SUPABASE_SERVICE_KEY": token("service_role"),
        "SUPABASE_SCHEMA": "shop",
        "SUPABASE_ANON_ACCESS": "read",
        "ENABLE_SUPABASE_RLS": "false",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = Settings(_env_file=None)
    assert problems(found) == []
    assert found.database_url.get_secret_value() == DIRECT
    shown = masked(found)
    secret = {"DATABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY"}
    assert {name: shown[name] for name in variables.keys() - secret} == {
        name: variables[name] for name in variables.keys() - secret
    } | {"DATABASE_LOCK_TIMEOUT": "2.0"}
    assert found.row_level_security is False


def test_the_schema_has_two_names_and_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SCHEMA", "")
    assert Settings(_env_file=None).warehouse_schema == "retail_dwh"
    monkeypatch.setenv("RETAIL_WAREHOUSE_SCHEMA", "shop")
    assert Settings(_env_file=None).warehouse_schema == "shop"
    monkeypatch.setenv("SUPABASE_SCHEMA", "supa")
    assert Settings(_env_file=None).warehouse_schema == "supa"


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"database_type": "oracle"}, "set DATABASE_TYPE to postgresql, supabase or sqlite"),
        ({"database_pooler": "session"}, "set DATABASE_POOLER to auto, none or transaction"),
        ({"database_pool_size": 0}, "set DATABASE_POOL_SIZE to a whole number"),
        ({"connect_timeout_seconds": 1}, "set DATABASE_CONNECT_TIMEOUT to a whole number"),
        ({"statement_timeout_seconds": 0}, "set DATABASE_STATEMENT_TIMEOUT to a number"),
        ({"lock_timeout_seconds": "long"}, "set DATABASE_LOCK_TIMEOUT to a number"),
        ({"warehouse_schema": 'x"; DROP'}, "set SUPABASE_SCHEMA or RETAIL_WAREHOUSE_SCHEMA to a name"),
        ({"staging_schema": "1x"}, "set RETAIL_STAGING_SCHEMA to a name"),
        ({"supabase_url": f"https://u:{PASSWORD}@x.supabase.co"}, "set SUPABASE_URL to the address of the project"),
        ({"enable_supabase_rls": "perhaps"}, "set ENABLE_SUPABASE_RLS to true or false"),
        ({"supabase_anon_access": "write"}, "set SUPABASE_ANON_ACCESS to none or read"),
    ],
)
def test_a_value_that_cannot_be_used_is_answered_with_the_remedy(values: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(database_url=LOCAL, supabase_service_key=PASSWORD, **values)
    assert remedy in str(caught.value)
    assert PASSWORD not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        LOCAL,
        "postgresql://u:p@localhost/w?sslmode=disable",
        "postgresql://u:p@[::1]/w",
        "postgresql://u:p@127.8.8.8:1/w",
        "postgresql:///w?host=/run/postgresql",
        "postgresql:///w?host=@abstract",
        "postgresql:///w",
    ],
)
def test_this_machine_may_be_spoken_to_in_the_clear(url: str) -> None:
    found = warehouse_url(settings(database_url=url))
    assert is_local(found)
    assert "sslmode" not in found.query or found.query["sslmode"] == "disable"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db.example/w",
        "postgresql://u:p@localhost.example/w",
        "postgresql://u:p@192.0.2.7/w",
        "postgresql://u:p@[2001:db8::1]/w",
        "postgresql:///w?host=db.example",
        "postgresql://u:p@localhost/w?hostaddr=192.0.2.7",
    ],
)
def test_another_machine_is_spoken_to_over_tls(url: str) -> None:
    assert warehouse_url(settings(database_url=url)).query["sslmode"] == "require"
    for mode in ("disable", "allow", "prefer"):
        weak = f"{url}{'&' if '?' in url else '?'}sslmode={mode}"
        with pytest.raises(WarehouseMisconfigured, match="DATABASE_URL asks for sslmode") as caught:
            make_engine(settings(database_url=weak))
        assert "verify-full with sslrootcert" in str(caught.value)


def test_a_stronger_mode_of_the_url_stays(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.touch()
    for mode in ("verify-ca", "verify-full"):
        url = f"postgresql://u:p@db.example/w?sslmode={mode}&sslrootcert={authority}"
        assert warehouse_url(settings(database_url=url)).query["sslmode"] == mode


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=strong", "has an unknown sslmode: use one of disable"),
        ("sslmode=verify-full", "without saying whose certificates to trust: add sslrootcert"),
        ("sslmode=verify-full&sslrootcert=/no/ca.crt", "sslrootcert=/no/ca.crt, which is no file here"),
        ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("sslmode=require&sslmode=disable", "states sslmode more than once"),
        (f"password={PASSWORD}", "has the parameter password, which is not taken: write it before the host"),
        (f"sslpassword={PASSWORD}", "has the parameter sslpassword"),
        ("service=prod", "has the parameter service"),
        ("host=other.example", "names several hosts: name one"),
    ],
)
def test_a_url_that_cannot_work_is_answered_with_the_remedy(
    query: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = settings(database_url=f"postgresql://u:{PASSWORD}@db.example/w?{query}")
    with pytest.raises(WarehouseMisconfigured, match="DATABASE_URL") as caught:
        make_engine(found)
    assert said in str(caught.value)
    assert PASSWORD not in str(caught.value) + str(masked(found)) + repr(found)


def test_a_password_with_an_at_sign_is_not_taken_for_the_host() -> None:
    with pytest.raises(WarehouseMisconfigured, match="write it as %40") as caught:
        make_engine(settings(database_url=f"postgresql://u:p@{PASSWORD}@db.example/w"))
    assert PASSWORD not in str(caught.value)


def test_masked_settings_hide_every_secret() -> None:
    shown = masked(settings(**SUPABASE))
    assert shown["DATABASE_URL"] == DIRECT.replace(PASSWORD, "***").replace("postgresql:", "postgresql+psycopg:")
    assert (shown["SUPABASE_ANON_KEY"], shown["SUPABASE_SERVICE_KEY"]) == ("***", "***")
    assert masked(settings(database_url=f"no url {PASSWORD}"))["DATABASE_URL"] == "***"
    assert masked(settings(database_url=""))["SUPABASE_ANON_KEY"] == ""
    assert PASSWORD not in repr(settings(**SUPABASE))
    assert token("anon") not in repr(settings(**SUPABASE))


def test_schemas_have_to_differ() -> None:
    (found,) = problems(settings(database_url=LOCAL, warehouse_schema="x", staging_schema="x"))
    assert "set RETAIL_STAGING_SCHEMA to another name" in found


def test_sqlite_has_no_server() -> None:
    assert problems(settings(database_type="sqlite", database_url="")) == []
    (found,) = problems(settings(database_type="sqlite", database_url=LOCAL))
    assert found.startswith("DATABASE_TYPE is sqlite but DATABASE_URL is set: remove DATABASE_URL")
    with pytest.raises(WarehouseMisconfigured, match="set DATABASE_TYPE to postgresql or supabase"):
        make_engine(settings(database_type="sqlite"))


@pytest.mark.parametrize("url", [DIRECT, SHARED, LOCAL])
def test_a_supabase_project_that_works(url: str) -> None:
    assert problems(settings(**SUPABASE | {"database_url": url})) == []
    publishable = {"supabase_anon_key": "sb_publishable_x", "supabase_service_key": "sb_secret_x"}
    assert problems(settings(**SUPABASE | publishable)) == []
    assert problems(settings(**SUPABASE | {"supabase_anon_key": "", "supabase_service_key": ""})) == []
    assert problems(settings(**SUPABASE | {"supabase_url": "http://127.0.0.1:54321"})) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"supabase_url": ""}, "SUPABASE_URL is not set"),
        ({"supabase_url": f"http://{PROJECT}.supabase.co"}, "let it begin with https://"),
        ({"supabase_url": "https://zzzzzzzzzzzzzzzzzzzz.supabase.co"}, "copy both from the same project's settings"),
        ({"database_url": SHARED.replace(f".{PROJECT}:", ":")}, "write the user as postgres.<project>"),
        ({"database_url": SHARED.replace(PROJECT, "other")}, "DATABASE_URL leads to the project other"),
        ({"database_url": ""}, "DATABASE_URL is not set"),
        ({"supabase_anon_key": token("service_role")}, "SUPABASE_ANON_KEY is a key of another role"),
        ({"supabase_service_key": token("anon")}, "SUPABASE_SERVICE_KEY is a key of another role"),
        ({"supabase_service_key": "sb_publishable_x"}, "SUPABASE_SERVICE_KEY does not look like"),
        ({"supabase_anon_key": token("anon", "other")}, "SUPABASE_ANON_KEY is a key of another project"),
        ({"supabase_anon_key": "a.b!.c"}, "SUPABASE_ANON_KEY does not look like"),
        ({"warehouse_schema": "public"}, "SUPABASE_SCHEMA is public"),
        ({"staging_schema": "storage"}, "RETAIL_STAGING_SCHEMA is storage"),
    ],
)
def test_a_supabase_project_that_cannot_work(values: dict[str, Any], said: str) -> None:
    found = problems(settings(**SUPABASE | values))
    assert any(said in problem for problem in found)
    for value in (PASSWORD, *(str(values[name]) for name in values if name.endswith("_key"))):
        assert value not in " ".join(found)


@pytest.mark.parametrize(
    ("url", "pooler", "expected"),
    [
        (LOCAL, "auto", False),
        (SHARED, "auto", True),
        (SHARED, "none", False),
        (LOCAL, "transaction", True),
    ],
)
def test_a_transaction_pooler_is_known_by_port_or_by_setting(url: str, pooler: str, expected: bool) -> None:
    found = settings(database_url=url, database_pooler=pooler)
    assert transaction_pooler(found, read_url(found)) is expected


def test_supabase_is_not_taken_for_any_postgresql() -> None:
    for url in (DIRECT, SHARED):
        (found,) = problems(settings(database_url=url))
        assert "set DATABASE_TYPE to supabase" in found


def test_a_url_without_host_leads_to_this_machine() -> None:
    assert server_url(settings(database_url="postgresql:///w")).host == "localhost"
    assert server_url(settings(database_url="postgresql:///w?host=/run/postgresql")).host is None
