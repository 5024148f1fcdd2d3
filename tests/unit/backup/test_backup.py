from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from include.backup import programs
from include.backup.manifest import BackupFailed
from include.settings import Settings


def settings(tmp_path: Path, **changes: Any) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "data", **changes)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RETAIL_BACKUP_KEEP", "0", "set RETAIL_BACKUP_KEEP to a whole number of backups from 1 to 1000"),
        ("RETAIL_BACKUP_KEEP", "many", "set RETAIL_BACKUP_KEEP to a whole number of backups from 1 to 1000"),
        ("RETAIL_BACKUP_KEEP_DAYS", "-1", "set RETAIL_BACKUP_KEEP_DAYS to a whole number of days"),
        ("RETAIL_BACKUP_SCHEDULE", "daily", "set RETAIL_BACKUP_SCHEDULE to five fields of cron"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=re.escape(said)):
        Settings(_env_file=None)


@pytest.mark.parametrize("inside", ["data/lake/backups", "data/runs", "data/archive/x", "data/services/replica/b"])
def test_backups_may_not_lie_in_what_they_are_made_of(tmp_path: Path, inside: str) -> None:
    with pytest.raises(ValidationError, match="RETAIL_BACKUP_DIR lies in"):
        settings(tmp_path, backup_dir=tmp_path / inside)
    assert settings(tmp_path).backups == tmp_path / "data" / "backups"
    assert settings(tmp_path, backup_dir=tmp_path / "elsewhere").backups == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("lake", "local"), [("", True), ("/lake", True), ("file:///lake", True), ("s3a://bucket/lake", False)]
)
def test_a_lake_is_local_unless_it_is_in_an_object_store(tmp_path: Path, lake: str, local: bool) -> None:
    assert (settings(tmp_path, lake_uri=lake).local_lake is not None) is local


def test_the_password_goes_by_the_environment_and_tls_stays_in_the_url(tmp_path: Path) -> None:
    url = SecretStr("postgresql+psycopg://retail:p%40ss@db.example.org:5433/warehouse?application_name=x")
    bare, environment = programs._connection(settings(tmp_path, database_url=url))
    assert environment["PGPASSWORD"] == "p@ss"
    assert bare.startswith("postgresql://retail@db.example.org:5433/warehouse?")
    assert "sslmode=require" in bare
    assert "ss@" not in bare.replace("retail@", "")


def test_a_transaction_pooler_is_refused(tmp_path: Path) -> None:
    url = SecretStr("postgresql+psycopg://retail:x@db.example.org:6543/warehouse")
    with pytest.raises(BackupFailed, match="session pooler"):
        programs.require_session(settings(tmp_path, database_url=url))


def fake(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
    path.chmod(0o755)
    return path


def test_the_first_program_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = programs.program("pg_dump", 15)
    assert programs.version_of(bundled) == 18
    newer = fake(tmp_path, "pg_dump", "21.2")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert programs.program("pg_dump", 15) == bundled
    assert programs.program("pg_dump", 21) == newer
    fake(tmp_path, "pg_dump", "17beta1")
    with pytest.raises(
        BackupFailed, match=r"PostgreSQL 19 or newer is needed: .*is of version 17\. .*postgresql-client"
    ):
        programs.program("pg_dump", 19)
