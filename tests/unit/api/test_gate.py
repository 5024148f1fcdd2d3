from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount
from starlette.websockets import WebSocketDisconnect

from include.settings import Settings
from include.warehouse import WarehouseUnavailable
from retail_api.access.audit_trail import AuditTrail, note
from retail_api.access.security import Caller, Editor
from retail_api.app import create_app
from retail_api.domain.errors import Conflict, Refused

Client = Callable[[str | None], TestClient]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def routes_of(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from routes_of(route.routes, prefix + route.path)
        else:
            yield prefix + str(getattr(route, "path", "")), set(getattr(route, "methods", None) or METHODS)


def every_path(app: FastAPI) -> list[str]:
    found = sorted({re.sub(r"\{[^}]*\}", "1", path) for path, _ in routes_of(app.routes)})
    assert {"/health", "/api/v1/health", "/docs", "/openapi.json", "/metrics"} <= set(found)
    return [*found, "/", "/nothing", "/api/v1/nothing", "/docs/nothing"]


def test_every_route_is_closed_to_who_is_not_known(app: FastAPI, client: Client) -> None:
    for path in every_path(app):
        for method in METHODS:
            answer = client(None).request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="Retail Lakehouse", charset="UTF-8"'


def test_every_route_is_closed_to_who_may_not_read(app: FastAPI, client: Client) -> None:
    for path in every_path(app):
        for method in METHODS:
            assert client("nobody").request(method, path).status_code == 403, (method, path)


def test_every_change_is_closed_to_who_may_only_read(app: FastAPI, client: Client) -> None:
    for path, methods in routes_of(app.routes):
        for method in methods - {"GET", "HEAD", "OPTIONS"}:
            answer = client("reader").request(method, re.sub(r"\{[^}]*\}", "1", path))
            assert answer.status_code == 403, (method, path)
            assert "can_edit on Retail API" in answer.json()["detail"]


def test_every_route_says_who_may_use_it(app: FastAPI) -> None:
    """The gate is enough; that routes take their caller too makes a route without the gate closed."""
    for route in app.routes:
        assert isinstance(route, APIRoute)
        dependencies = {str(used.call) for used in route.dependant.dependencies}
        assert any("_reader" in name or "_editor" in name for name in dependencies), route.path


def test_nobody_gets_a_websocket(client: Client) -> None:
    with pytest.raises(WebSocketDisconnect), client("editor").websocket_connect("/health"):
        pass


class Body(BaseModel):
    words: list[str]


@pytest.fixture
def extended(app: FastAPI) -> FastAPI:
    """The app with routes that go wrong."""
    router = APIRouter()

    @router.get("/t/fails")
    def fails() -> None:
        raise RuntimeError("secret of the machine room")

    @router.get("/t/warehouse")
    def warehouse() -> None:
        raise WarehouseUnavailable("No connection to the warehouse at db.internal:5432.")

    @router.get("/t/gone")
    def gone() -> None:
        raise HTTPException(410, "It was here once.", headers={"X-Extra": "kept"})

    @router.get("/t/problem")
    def problem() -> None:
        raise Conflict("Two at once.", retry_seconds=1, side="replica", run_id="r1")

    @router.get("/t/parameters")
    def parameters(page: int = 1, kind: str = "") -> int:
        return page

    @router.post("/t/change/{name}")
    def change(name: str, body: Body, caller: Editor, request: Request) -> int:
        note(request, files=body.words, name="with\0nul")
        return len(body.words)

    @router.post("/api/v1/files/t")
    async def upload(request: Request) -> int:
        return len(await request.body())

    app.include_router(router)
    return app


@pytest.fixture
def editor(extended: FastAPI, client: Client) -> TestClient:
    return client("editor")


def test_an_unexpected_error_tells_nothing(editor: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = editor.get("/t/fails", headers={"X-Correlation-Id": "abc-1"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Correlation-Id"] == answer.json()["correlation_id"] == "abc-1"
    assert "secret" not in answer.text
    assert "secret" in caplog.text
    assert "abc-1" in caplog.text


def test_a_warehouse_that_does_not_answer(editor: TestClient) -> None:
    answer = editor.get("/t/warehouse")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "db.internal" not in answer.text


def test_problems_carry_what_they_were_given(editor: TestClient) -> None:
    answer = editor.get("/t/problem")
    expected = {
        "type": "urn:retail-lakehouse:problem:conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "Two at once.",
        "instance": "/t/problem",
        "run_id": "r1",
        "correlation_id": answer.headers["X-Correlation-Id"],
    }
    assert (answer.json(), answer.headers["Retry-After"]) == (expected, "1")
    assert answer.headers["X-Warehouse"] == "replica"
    gone = editor.get("/t/gone")
    assert (gone.json()["detail"], gone.headers["X-Extra"]) == ("It was here once.", "kept")
    assert editor.put("/t/gone").json()["detail"] == "This path takes GET."
    assert "/retail/docs" in editor.get("/t/none").json()["detail"]


@pytest.mark.parametrize("given", ["", "a" * 65, "with space", "new\tline", "<script>"])
def test_a_correlation_id_that_is_not_plain_is_replaced(editor: TestClient, given: str) -> None:
    answer = editor.get("/t/gone", headers={"X-Correlation-Id": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Correlation-Id"])


@pytest.mark.parametrize(
    ("query", "parameter", "word"),
    [
        ("pgae=2", "pgae", "no such parameter"),
        ("page=2&page=3", "page", "more than once"),
        ("page=two", "page", "valid integer"),
        ("page=1&Kind=sale", "Kind", "no such parameter"),
    ],
)
def test_parameters_are_taken_as_described_only(editor: TestClient, query: str, parameter: str, word: str) -> None:
    answer = editor.get(f"/t/parameters?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["in"], error["parameter"]) == ("query", parameter)
    assert word in error["problem"]
    assert parameter in answer.json()["detail"]
    assert editor.get("/t/parameters?page=2&kind=sale").json() == 2


def test_large_bodies_are_refused_unread(editor: TestClient) -> None:
    def chunks(size: int) -> Iterator[bytes]:
        yield b'{"words": ["'
        for _ in range(size // 100):
            yield b"x" * 100
        yield b'"]}'

    assert editor.post("/t/change/a", json={"words": ["x" * 1000]}).json() == 1
    assert editor.post("/t/change/a", json={"words": ["x" * 3000]}).status_code == 413
    assert editor.post("/t/change/a", content=chunks(1000), headers={"Content-Type": "application/json"}).json() == 1
    answer = editor.post("/t/change/a", content=chunks(3000), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert "2,048 bytes" in answer.json()["detail"]
    assert editor.post("/api/v1/files/t", content=b"x" * 8000).json() == 8000
    assert editor.post("/api/v1/files/t", content=b"x" * 9000).status_code == 413
    assert editor.post("/t/change/a", content=b"x", headers={"Content-Length": "-1"}).status_code == 413


def test_nothing_is_changed_on_an_old_proof(extended: FastAPI, client: Client) -> None:
    answer = client("stale").post("/t/change/a", json={"words": []})
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert client("stale").get("/t/parameters").status_code == 200


def kept(settings: Settings) -> list[dict[str, Any]]:
    with sqlite3.connect(settings.api / "audit.sqlite") as connection:
        rows = connection.execute("SELECT state, document FROM entry ORDER BY at").fetchall()
    return [json.loads(document) | {"state": state} for state, document in rows]


def test_changes_are_kept_with_what_they_changed(
    editor: TestClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="retail_api.access.audit_trail")
    assert editor.post("/t/change/a?x", json={"words": ["one.csv"]}).status_code == 422
    assert editor.post("/t/change/a%2Fb", json={"words": ["one.csv"]}).status_code == 404
    assert editor.post("/t/change/ab", json={"words": ["one.csv"]}).status_code == 200
    refused, unknown, done = kept(settings)
    assert (done["action"], done["outcome"], done["status"]) == ("POST /t/change/{name}", "done", 200)
    assert done["details"] == {"files": ["one.csv"], "name": "with�nul"}
    assert (done["username"], done["method"], done["target"]) == ("editor", "basic", "/t/change/ab")
    assert (refused["outcome"], refused["status"], refused["target"]) == ("refused", 422, "/t/change/a?x")
    assert (unknown["action"], unknown["state"]) == ("POST unmatched", "closed")
    logged = [record.getMessage() for record in caplog.records if record.name == "retail_api.access.audit_trail"]
    assert json.loads(logged[-1].removeprefix("audit "))["status"] == 200
    editor.get("/t/parameters")
    assert len(kept(settings)) == 3


def test_a_change_that_cannot_be_kept_is_not_made(
    extended: FastAPI, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(AuditTrail, "begin", full)
    answer = client("editor").post("/t/change/a", json={"words": []})
    assert (answer.status_code, answer.json()["detail"]) == (503, "The change cannot be recorded, so it was not made.")
    assert client("editor").get("/t/parameters").status_code == 200


def test_a_change_whose_process_dies_stays_known(extended: FastAPI, settings: Settings) -> None:
    async def scenario() -> None:
        sent = asyncio.Event()

        async def receive() -> dict[str, Any]:
            sent.set()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(_: object) -> None:
            raise AssertionError

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/t/change/ab",
            "raw_path": b"/t/change/ab",
            "query_string": b"",
            "headers": [(b"x-test-caller", b"editor"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "scheme": "http",
            "http_version": "1.1",
        }
        task = asyncio.ensure_future(extended(scope, receive, send))
        await sent.wait()
        assert [entry["state"] for entry in kept(settings)] == ["open"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
    (entry,) = kept(settings)
    assert (entry["outcome"], entry["target"]) == ("unknown", "/t/change/ab")


def test_refusals_that_cost_nothing_fill_no_disk(client: Client, settings: Settings) -> None:
    for _ in range(5):
        client(None).get("/health")
    assert not (settings.api / "audit.sqlite").exists()
    nobody = client("nobody")
    for _ in range(5):
        nobody.get("/health")
        nobody.post("/health")
    assert [entry["target"] for entry in kept(settings)] == ["/health"] * 6
    assert {(entry["username"], entry["reason"], entry["status"]) for entry in kept(settings)} == {
        ("nobody", "forbidden", 403)
    }


def test_names_and_addresses_made_up_fill_no_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retail_api.access.gate.MAX_REPEATED", 3)

    async def throttled(connection: HTTPConnection) -> Caller:
        raise Refused("throttled", "Wait.", username=connection.headers["X-Name"], retry_seconds=1)

    app = create_app(settings, throttled)
    for address in range(9):
        client = TestClient(app, client=(f"10.0.0.{address}", 1))
        for number in range(5):
            assert client.get("/health", headers={"X-Name": f"made up {number}"}).status_code == 429
    found = kept(settings)
    assert [entry["address"] for entry in found] == [f"10.0.0.{number}" for number in range(4)]
    assert {entry["username"] for entry in found} == {""}


def test_the_entry_after_a_pause_counts_the_others(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = client("nobody")
    for _ in range(4):
        nobody.get("/health")
    monkeypatch.setattr("retail_api.access.gate.REPEATED_SECONDS", 0.2)
    time.sleep(0.2)
    nobody.get("/health")
    assert [entry["details"] for entry in kept(settings)] == [{}, {"unaudited_before": 3}]
