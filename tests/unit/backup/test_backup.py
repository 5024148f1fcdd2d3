from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

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
