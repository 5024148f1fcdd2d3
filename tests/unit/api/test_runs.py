"""Runs asked of Airflow: what is sent is what its API takes, and its refusals reach the caller."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.api_fastapi.core_api.datamodels.backfills import BackfillPostBody
from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from retail_api.access.security import Reader
from retail_api.data import airflow_api as module
from retail_api.data.airflow_api import AirflowApi
from retail_api.routes.runs import airflow_api
from retail_api.services.runs import DAG_ID

RUN: dict[str, Any] = {
    "dag_run_id": "manual__2026-11-24T08:00:00+00:00",
    "state": "queued",
    "run_type": "manual",
    "logical_date": None,
    "queued_at": "2026-11-24T08:00:00Z",
    "start_date": None,
    "end_date": None,
    "triggering_user_name": "editor",
    "conf": {},
    "note": None,
}
BACKFILL = {
    "id": 1,
    "from_date": "2010-12-01T00:00:00Z",
    "to_date": "2010-12-03T00:00:00Z",
    "reprocess_behavior": "none",
    "max_active_runs": 4,
    "is_paused": False,
    "created_at": "2026-11-24T08:00:00Z",
    "completed_at": None,
}


class FakeAirflow:
    """Airflow's API as far as it is asked; remembers each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any], Any, str]] = []
        self.refuses: tuple[int, Any] | None = None
        self.silent = False
        self.app = FastAPI()
        self.app.add_api_route("/api/v2/{path:path}", self._answer, methods=["GET", "POST"])

    async def _answer(self, request: Request, path: str) -> JSONResponse:
        body = await request.body()
        self.asked.append(
            (
                request.method,
                path,
                dict(request.query_params),
                json.loads(body) if body else None,
                request.headers["Authorization"],
            )
        )
        if self.silent:
            await asyncio.sleep(5)
        if self.refuses is not None:
            return JSONResponse({"detail": self.refuses[1]}, self.refuses[0])
        if path == "backfills":
            return JSONResponse(BACKFILL if body else {"backfills": [BACKFILL], "total_entries": 1})
        if request.method == "POST" or not path.endswith("dagRuns"):
            return JSONResponse(RUN)
        return JSONResponse({"dag_runs": [RUN], "total_entries": 41})


@pytest.fixture
def airflow(app: FastAPI) -> FakeAirflow:
    fake = FakeAirflow()

    def asked(caller: Reader) -> AirflowApi:
        return AirflowApi(fake.app, lambda who: f"token of {who.username}", caller)

    app.dependency_overrides[airflow_api] = asked
    return fake


def test_a_run_is_started_as_the_caller(airflow: FakeAirflow, client: Any) -> None:
    answer = client("editor").post("/api/v1/runs", json={"files": ["jan.csv"], "note": "why"})
    assert (answer.status_code, answer.json()["run_id"]) == (201, RUN["dag_run_id"])
    [(method, path, _, body, authorization)] = airflow.asked
    assert (method, path, authorization) == ("POST", f"dags/{DAG_ID}/dagRuns", "Bearer token of editor")
    taken = TriggerDAGRunPostBody.model_validate(body)
    assert (taken.conf, taken.note, taken.logical_date) == ({"files": ["jan.csv"]}, "why", None)


def test_a_day_is_rebuilt_and_nothing_takes_all_files(airflow: FakeAirflow, client: Any) -> None:
    editor: TestClient = client("editor")
    assert editor.post("/api/v1/runs", json={"rebuild_day": "2010-12-01"}).status_code == 201
    assert editor.post("/api/v1/runs").status_code == 201
    assert [TriggerDAGRunPostBody.model_validate(body).conf for _, _, _, body, _ in airflow.asked] == [
        {"rebuild_day": "2010-12-01"},
        {},
    ]


def test_a_backfill_is_started(airflow: FakeAirflow, client: Any) -> None:
    wanted = {"date_from": "2010-12-01", "date_to": "2010-12-03", "reprocess": "failed", "newest_first": True}
    assert client("editor").post("/api/v1/backfills", json=wanted).status_code == 201
    [(_, path, _, body, _)] = airflow.asked
    taken = BackfillPostBody.model_validate(body)
    assert path == "backfills"
    assert (taken.dag_id, taken.run_backwards, taken.reprocess_behavior.value) == (DAG_ID, True, "failed")
    assert (taken.from_date.isoformat(), taken.to_date.tzinfo is None) == ("2010-12-01T00:00:00+00:00", False)


def test_runs_are_listed(airflow: FakeAirflow, client: Any) -> None:
    reader: TestClient = client("reader")
    page = reader.get("/api/v1/runs", params={"size": 20, "page": 2, "state": "success"}).json()
    assert (page["total"], page["pages"]) == (41, 3)
    assert airflow.asked[0][2] == {"limit": "20", "offset": "20", "order_by": "-run_after", "state": "success"}
    assert reader.get("/api/v1/runs/manual__2026-11-24T08:00:00+00:00").json()["triggered_by"] == "editor"
    assert reader.get("/api/v1/backfills").json()["items"][0]["paused"] is False


@pytest.mark.parametrize("path", ["runs", "backfills"])
def test_no_more_is_asked_for_than_airflow_gives(airflow: FakeAirflow, client: Any, path: str) -> None:
    reader: TestClient = client("reader")
    assert reader.get(f"/api/v1/{path}?size=100").status_code == 200
    assert reader.get(f"/api/v1/{path}?size=101").status_code == 422
    assert len(airflow.asked) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs", {"files": ["../x"]}),
        ("runs", {"files": ["a.csv"], "rebuild_day": "2010-12-01"}),
        ("runs", {"conf": {}}),
        ("runs", {"rebuild_day": 1}),
        ("backfills", {"date_from": "2010-12-02", "date_to": "2010-12-01"}),
        ("backfills", {"date_from": "1990-01-01", "date_to": "2010-12-01"}),
        ("backfills", {"date_from": "2010-12-01"}),
    ],
)
def test_what_cannot_be_is_not_asked(airflow: FakeAirflow, client: Any, path: str, body: dict[str, Any]) -> None:
    assert client("editor").post(f"/api/v1/{path}", json=body).status_code == 422
    assert airflow.asked == []


def test_a_path_stays_a_run(airflow: FakeAirflow, client: Any) -> None:
    assert client("reader").get("/api/v1/runs/..%2f..%2fvariables").status_code in {404, 422}
    assert client("reader").get("/api/v1/runs/a%3Fb").status_code == 422
    assert airflow.asked == []


@pytest.mark.parametrize(
    ("status", "detail", "answered"),
    [
        (403, "Forbidden", 403),
        (404, "Dag not found", 404),
        (409, "There is another backfill", 409),
        (422, [{"msg": "Field required"}], 422),
        (401, "Not authenticated", 502),
        (500, "Oh", 502),
    ],
)
def test_refusals_of_airflow_reach_the_caller(
    airflow: FakeAirflow, client: Any, status: int, detail: Any, answered: int
) -> None:
    airflow.refuses = (status, detail)
    answer = client("editor").post("/api/v1/runs")
    assert answer.status_code == answered
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (status in module.PASSED_ON) == ("Airflow refuses" in answer.json()["detail"])


def test_a_silent_airflow_is_not_waited_for(airflow: FakeAirflow, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    airflow.silent = True
    answer = client("reader").get("/api/v1/runs")
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


def test_who_may_only_read_starts_nothing(airflow: FakeAirflow, client: Any) -> None:
    for path in ("runs", "backfills"):
        assert client("reader").post(f"/api/v1/{path}", json={}).status_code == 403
    assert airflow.asked == []
