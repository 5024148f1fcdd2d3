"""The service down, hanging and back."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from deploy.embedded.search import TypesenseServer
from include.lake.connect_server import free_port
from include.pipeline import index
from include.runs.folder import RunFolder
from include.runs.records import IndexRecord
from include.search.__main__ import app
from include.search.entities import NotIndexed, SearchMisconfigured, SearchRequest, SearchUnavailable
from include.search.index import bring_up_to_date
from include.search.last_indexing import pending
from include.search.service import SearchService
from include.settings import Settings, get_settings
from tests.support.shop import Line, catalogue, write_shop

BRITISH = SearchRequest(country="United Kingdom", q="candle")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TypesenseServer, Settings]]:
    """A server that may be stopped, and settings for it."""
    folder = tmp_path_factory.mktemp("own")
    key = secrets.token_urlsafe(16)
    server = TypesenseServer(folder / "search", free_port(), free_port(), key)
    settings = Settings(
        _env_file=None,
        data_dir=folder / "data",
        typesense_nodes=server.node,
        typesense_api_key=SecretStr(key),
        typesense_index_timeout_seconds=2,
    )
    write_shop(settings, catalogue())
    yield server, settings
    server.stop()


def test_a_service_that_is_down_is_caught_up_by_the_next_run(own: tuple[TypesenseServer, Settings]) -> None:
    server, settings = own
    record = index(settings, "r1")
    assert record.status == "pending"
    assert RunFolder(settings, "r1").stage("index", IndexRecord).reason == record.reason
    marker = pending(settings)
    assert marker is not None
    assert marker.runs == ["r1"]
    server.start()
    with SearchService(settings) as service, pytest.raises(NotIndexed):
        service.search(BRITISH)
    assert index(settings, "r2").documents == len(catalogue())
    assert pending(settings) is None
    with SearchService(settings) as service:
        assert service.search(BRITISH).found


def test_nothing_but_the_loopback_is_listened_on(own: tuple[TypesenseServer, Settings]) -> None:
    server, _ = own
    assert server._process is not None
    (process,) = [one for one in psutil.process_iter() if one.pid == server._process.pid]
    listening = {one.laddr for one in process.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {server.port, server.peering_port}
    assert server._api_key not in " ".join(process.cmdline())


def test_a_service_that_hangs_is_given_up(own: tuple[TypesenseServer, Settings]) -> None:
    server, settings = own
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        for connected in (False, True):
            with SearchService(settings) as service:
                if connected:
                    os.kill(server._process.pid, signal.SIGCONT)
                    assert service.search(BRITISH).found
                    os.kill(server._process.pid, signal.SIGSTOP)
                with pytest.raises(SearchUnavailable) as raised:
                    service.search(BRITISH)
                assert raised.value.retry_after_seconds > 0
        write_shop(settings, [*catalogue(), Line("30001", "PAPER KITE")])
        assert bring_up_to_date(settings, "r3").status == "pending"
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
    assert bring_up_to_date(settings, "r4").upserted == 1


def test_the_command_line_catches_up(own: tuple[TypesenseServer, Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    server, settings = own
    for name, value in {
        "RETAIL_DATA_DIR": str(settings.data_dir),
        "TYPESENSE_NODES": server.node,
        "TYPESENSE_API_KEY": settings.typesense_api_key.get_secret_value(),
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()

    def says(action: str, code: int, text: str) -> bool:
        done = CliRunner().invoke(app, [action])
        return done.exit_code == code and text in (done.stderr if action == "status" and code else done.stdout)

    try:
        assert says("catch-up", 0, "brought up to date")
        assert says("rebuild", 0, "rebuilt")
        assert says("status", 0, '"version": "0.24.1"')
        server.stop()
        assert says("status", 1, "does not answer")
        assert says("catch-up", 1, "pending")
    finally:
        get_settings.cache_clear()


def test_a_search_without_a_service_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SearchMisconfigured, match="TYPESENSE_NODES"):
        SearchService(Settings(_env_file=None, data_dir=tmp_path))
