from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from include.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty lake."""
    return Settings(_env_file=None, data_dir=tmp_path)


@pytest.fixture
def with_warehouse(settings: Settings, postgres_url: str) -> Settings:
    """Settings of an empty lake and a warehouse in schemas of its own, not made yet."""
    suffix = uuid.uuid4().hex[:12]
    changes = {
        "database_url": SecretStr(postgres_url),
        "warehouse_schema": f"dwh_{suffix}",
        "staging_schema": f"staging_{suffix}",
    }
    return settings.model_copy(update=changes)
