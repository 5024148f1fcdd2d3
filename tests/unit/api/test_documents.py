from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.failover import StateFile
from include.settings import Settings
from retail_api.domain.health import DataHealth
from retail_api.problems import ProblemDetails
from retail_api.resources import Resources
from tests.support.waiting import PATIENCE_SECONDS

Client = Callable[[str | None], TestClient]


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_the_description_is_whole(client: Client) -> None:
    document = client("reader").get("/openapi.json").json()
    assert document["servers"] == [{"url": "/"}]
    assert document["security"] == [{"basic": []}, {"token": []}, {"session": []}]
    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            for status in ("401", "403", "429", "500"):
                assert list(operation["responses"][status]["content"]) == ["application/problem+json"]


def test_errors_are_as_described(client: Client) -> None:
    for answer in (client(None).get("/health"), client("nobody").get("/health"), client("reader").get("/x")):
        ProblemDetails.model_validate_json(answer.content)


def test_the_page_loads_nothing_from_outside(client: Client) -> None:
    page = client("reader").get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for name in loaded:
        answer = client("reader").get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"].split(";")[0] in {"text/javascript", "text/css"}
        assert client(None).get(f"/{name}").status_code == 401
    assert "openapi.json" in client("reader").get("/docs/start.js").text


@pytest.mark.parametrize("path", ["/docs/..%2f..%2fsetup.py", "/docs/../README", "/docs/swagger-ui.css/x"])
def test_no_other_file_is_served(client: Client, path: str) -> None:
    assert client("reader").get(path).status_code == 404


def test_metrics_have_templates_for_labels(app: FastAPI, client: Client) -> None:
    for number in range(3):
        client("reader").get(f"/quality/secret_{number}")
        client("reader").get(f"/made/up/{number}")
    client("reader").request("PROPFIND", "/health")
    text = client("reader").get("/metrics").text
    assert 'retail_api_requests_total{method="GET",route="/quality/{run_id}",status="404"}' in text
    assert 'method="GET",route="unmatched",status="404"' in text
    assert 'method="OTHER"' in text
    assert "secret_" not in text
    assert "made" not in text
    assert "retail_warehouse_up 0.0" in text


def test_health_asks_everything_at_once(app: FastAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    async def silent() -> bool:
        await asyncio.to_thread(asked.wait)
        return False

    def slow(_: Resources) -> tuple[DataHealth, None, str]:
        asked.wait()
        return DataHealth(), None, "Reads are not answered."

    monkeypatch.setattr("retail_api.services.health._data", slow)
    app.state.retail.ping_airflow_database = silent
    found = client("reader").get("/health").json()
    assert found["airflow_metadata"]["answers"] is False
    assert found["problems"][-1] == "Airflow's database does not answer."


def test_health_names_no_hosts(client: Client, settings: Settings) -> None:
    with StateFile(settings).change() as noted:
        noted.change_state("failed_over", "No connection to the warehouse at db.internal:5432.")
    for path in ("/health", "/api/v1/supabase/health"):
        answer = client("reader").get(path)
        assert answer.status_code == 503
        assert "db.internal" not in answer.text
        assert str(settings.data_dir) not in answer.text


def test_health_of_a_system_without_a_warehouse(client: Client) -> None:
    answer = client("reader").get("/api/v1/health")
    found = answer.json()
    assert (answer.status_code, found["status"], found["warehouse"]["serves"]) == (503, "down", None)
    assert answer.headers["Retry-After"] == "5"
    assert found["airflow_metadata"] is None
    assert json.dumps(found["problems"]).count("does not answer")
