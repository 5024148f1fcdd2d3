"""An embedded instance of which nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.state import Instance
from include.settings import Settings, get_settings


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    """Return an instance that the command line finds too; no port of the developer's own is set."""
    for name in (
        "RETAIL_API_PORT",
        "RETAIL_POSTGRES_PORT",
        "RETAIL_SEARCH_PORT",
        "RETAIL_SEARCH_PEERING_PORT",
        "TYPESENSE_NODES",
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "data folder"
    monkeypatch.setenv("RETAIL_DATA_DIR", str(folder))
    get_settings.cache_clear()
    yield Instance(Settings(data_dir=folder))
    get_settings.cache_clear()
