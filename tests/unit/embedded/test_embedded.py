"""The embedded system's parts that need no running Airflow."""

from __future__ import annotations

import configparser
import shlex
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.embedded import jars, supervisor
from deploy.embedded.state import Instance
from include.settings import Settings


def test_secrets_are_made_once_and_are_the_owners(instance: Instance) -> None:
    first = instance.secrets()
    assert instance.secrets() == first
    folder = instance.services / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600


def test_a_warehouse_of_the_users_own_goes_first(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert instance.environment()["DATABASE_URL"] == instance.postgres().url("warehouse")
    theirs = "postgresql://u:p@db.example/w"
    other = Instance(Settings(data_dir=instance.settings.data_dir, database_url=SecretStr(theirs)))
    assert other.environment()["DATABASE_URL"] == theirs


def test_the_supervisor_is_configured_without_secrets(instance: Instance) -> None:
    text = supervisor.render(instance)
    known = instance.secrets()
    assert not any(value in text for value in known.model_dump().values())
    parsed = configparser.RawConfigParser()
    parsed.read_string(text)
    programs = {name.removeprefix("program:") for name in parsed.sections() if name.startswith("program:")}
    assert programs == {"postgres", "typesense", supervisor.SPARK, *supervisor.COMPONENTS}
    assert parsed["unix_http_server"]["chmod"] == "0600"
    assert shlex.split(parsed["program:scheduler"]["command"])[1:] == ["scheduler", "--skip-serve-logs"]
    assert str(instance.services / "postgres") in shlex.split(parsed["program:postgres"]["command"])


def test_a_jar_that_differs_from_the_lock_is_refused(tmp_path: Path) -> None:
    names = sorted(jars.DELTA.digests())
    (tmp_path / names[0]).write_bytes(b"not the jar")
    problems = jars.verify(tmp_path, [jars.DELTA])
    assert f"{names[0]} differs from its checksum" in problems
    assert f"{names[1]} is missing" in problems


def test_secrets_that_an_earlier_version_lacked_are_added_once(instance: Instance) -> None:
    first = instance.secrets()
    path = instance.services / "secrets" / "secrets.json"
    path.write_text(first.model_dump_json(exclude={"typesense_api_key"}))
    second = instance.secrets()
    assert second.model_copy(update={"typesense_api_key": first.typesense_api_key}) == first
    assert instance.secrets() == second
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_key_of_the_search_is_in_a_file_of_the_owner_alone(instance: Instance) -> None:
    search = instance.search()
    assert search is not None
    search.initialise()
    path = instance.services / "typesense" / "server.ini"
    assert instance.secrets().typesense_api_key in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    environment = instance.environment()
    assert environment["TYPESENSE_NODES"] == search.node
    assert environment["TYPESENSE_SEARCH_KEY"] not in {"", environment["TYPESENSE_API_KEY"]}
