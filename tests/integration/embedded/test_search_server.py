"""The search server under the project's supervisor, with PostgreSQL and without Airflow."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from deploy.embedded import supervisor
from deploy.embedded.addresses import save_ports
from deploy.embedded.state import Instance
from include.lake.connect_server import free_port
from include.search.server import SearchServer
from include.settings import Settings


def test_it_starts_comes_back_and_stops_with_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TYPESENSE_NODES", "TYPESENSE_API_KEY", "TYPESENSE_SEARCH_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("API", "POSTGRES", "SEARCH", "SEARCH_PEERING"):
        monkeypatch.setenv(f"RETAIL_{name}_PORT", str(free_port()))
    instance = Instance(Settings(_env_file=None, data_dir=tmp_path / "data folder"))
    search = instance.search()
    assert search is not None
    instance.postgres().initialise()
    search.initialise()
    save_ports(instance.services, instance.ports)
    supervisor.start(instance)
    try:
        search.wait()
        environment = instance.environment()
        for name in ("TYPESENSE_NODES", "TYPESENSE_PROTOCOL", "TYPESENSE_API_KEY", "TYPESENSE_SEARCH_KEY"):
            monkeypatch.setenv(name, environment[name])
        settings = Settings(_env_file=None, data_dir=tmp_path)
        with SearchServer(settings, indexing=True) as server:
            server.add_search_key(environment["TYPESENSE_SEARCH_KEY"], settings.search_alias)
        with SearchServer(settings) as server:
            assert server.features().version == "0.24.1"
        (process,) = [one for one in psutil.process_iter(["cmdline"]) if _is_ours(one, search.data_dir)]
        listening = [one.laddr.ip for one in process.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1", "127.0.0.1"]
        process.kill()
        process.wait(10)
        time.sleep(0.2)
        search.wait()
    finally:
        supervisor.stop(instance)
    assert not search.healthy()


def test_a_search_elsewhere_is_used_instead(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, data_dir=tmp_path, typesense_nodes="search.example:443", typesense_api_key="theirs"
    )
    instance = Instance(settings)
    assert instance.search() is None
    assert "[program:typesense]" not in supervisor.render(instance)


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    words = process.info["cmdline"] or []
    return bool(words) and words[0].endswith("typesense-server") and f"--config={folder / 'server.ini'}" in words
