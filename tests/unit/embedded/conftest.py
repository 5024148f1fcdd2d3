"""An embedded instance of which nothing runs, and a stand-in for its supervisor."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from deploy.embedded.addresses import control_socket
from deploy.embedded.state import Instance
from include.settings import Settings, get_settings


class Pretending(Protocol):
    """Makes an instance look as if its supervisor ran."""

    def __call__(self, instance: Instance) -> AbstractContextManager[None]: ...


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


@pytest.fixture
def pretending_to_run() -> Pretending:
    @contextmanager
    def pretend(instance: Instance) -> Iterator[None]:
        path = control_socket(instance.services)
        path.parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as control:
            control.bind(str(path))
            control.listen()
            yield
        path.unlink()

    return pretend
