"""What earlier starts have left, and a start that fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy.exc import TimeoutError as PoolExhausted

from include.settings import Settings
from retail_api import app as module
from retail_api import metrics
from retail_api.access.audit_trail import AuditTrail
from retail_api.app import create_app
from retail_api.resources import Resources
from retail_plugin import RetailPlugin
from tests.unit.api.conftest import by_header


def test_an_api_that_cannot_be_made_leaves_airflow_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("no settings")

    monkeypatch.setattr(module, "create_app", broken)
    [mounted] = RetailPlugin().fastapi_apps
    client = TestClient(mounted["app"])
    for method, path in (("GET", "/health"), ("POST", "/api/v1/files"), ("DELETE", "/x")):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert (answer.json()["status"], answer.json()["instance"]) == (503, path)
    assert "no settings" in caplog.text


def test_numbers_of_an_earlier_process_with_our_number_are_forgotten_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(tmp_path))
    left = tmp_path / f"counter_{os.getpid()}.db"
    left.write_bytes(b"torn")
    metrics.Metrics(settings)
    assert not left.exists()
    left.write_bytes(b"ours")
    metrics.Metrics(settings)
    assert left.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", b"\xff\xff\xff\x7f" * 25, b"\x28\0\0\0\0\0\0\0\x08\0\0\0notjson!" + bytes(40)],
    ids=["empty", "short", "noise", "no JSON"],
)
def test_a_torn_file_of_numbers_costs_itself_alone(
    client: Callable[[str], TestClient], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader = client("reader")
    reader.get("/health")
    torn = Path(os.environ[metrics.FOLDER_VARIABLE]) / f"counter_{os.getppid()}.db"
    torn.write_bytes(content)
    try:
        answer = reader.get("/metrics")
    finally:
        torn.unlink()
    assert answer.status_code == 200
    assert "retail_api_requests_total" in answer.text
    assert str(torn) in caplog.text


@pytest.mark.parametrize("error", [OSError("no space left"), PoolExhausted("none is free")])
def test_the_audit_thread_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    asked: list[int] = []
    again = threading.Event()

    def deliver(_: AuditTrail) -> int:
        asked.append(1)
        if len(asked) == 1:
            raise error
        again.set()
        return 0

    monkeypatch.setattr("retail_api.access.audit_trail.RETRY_SECONDS", 0.05)
    monkeypatch.setattr(AuditTrail, "deliver", deliver)
    trail = AuditTrail(settings)
    trail.start()
    try:
        assert again.wait(5)
    finally:
        trail.close()


def test_health_says_that_a_worker_warms_up(
    app: FastAPI, client: Callable[[str], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(Resources, "_prepare", lambda _: done.wait(10))
    with client("reader") as reader:
        assert "warming up" in reader.get("/health").json()["warnings"][0]
        done.set()
        app.state.retail._warm_up.join()
        assert reader.get("/health").json()["warnings"] == []


def test_a_warm_up_that_fails_keeps_nobody_from_starting(
    app: FastAPI, client: Callable[[str], TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    with client("reader") as reader:
        app.state.retail._warm_up.join()
        assert reader.get("/health").status_code == 503  # as there is no warehouse
    assert "The first requests will take longer: " in caplog.text


@pytest.mark.parametrize(("search_key", "warnings"), [("", 1), ("searches-only", 0)])
def test_health_warns_of_searches_that_use_the_key_of_the_indexing(
    settings: Settings, search_key: str, warnings: int
) -> None:
    keys = {"typesense_api_key": SecretStr("admin"), "typesense_search_key": SecretStr(search_key)}
    changed = settings.model_copy(update={"typesense_nodes": "search.invalid:8108", **keys})
    reader = TestClient(create_app(changed, by_header), headers={"X-Test-Caller": "reader"})
    found = reader.get("/health").json()["warnings"]
    assert [("TYPESENSE_SEARCH_KEY" in text, "admin" in text) for text in found] == [(True, False)] * warnings
