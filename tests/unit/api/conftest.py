from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.settings import Settings
from retail_api.app import create_app
from tests.support.callers import by_header


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings without a warehouse."""
    return Settings(_env_file=None, data_dir=tmp_path, api_body_bytes=2048, api_upload_bytes=8192)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """The app, whose callers are believed."""
    return create_app(settings, by_header)


@pytest.fixture
def client(app: FastAPI) -> Callable[[str | None], TestClient]:
    """Return a function that makes a client for a kind of caller."""

    def made(who: str | None = "editor") -> TestClient:
        headers = {"X-Test-Caller": who} if who else {}
        return TestClient(app, headers=headers, raise_server_exceptions=False)

    return made
