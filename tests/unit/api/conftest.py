from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from include.settings import Settings
from retail_api.access.security import Caller
from retail_api.app import create_app
from retail_api.domain.errors import Refused


async def by_header(connection: HTTPConnection) -> Caller:
    """Take a caller's word for it: `X-Test-Caller` is `editor`, `reader`, `stale` or `nobody`."""
    who = connection.headers.get("X-Test-Caller")
    if who is None:
        raise Refused("missing", "Say who you are.")
    return Caller(
        username=who,
        method="basic",
        address="127.0.0.1",
        can_read=who != "nobody",
        can_edit=who in {"editor", "stale"},
        stale=who == "stale",
    )


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
