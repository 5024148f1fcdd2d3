"""Callers, held to a real Airflow: its users, its tokens, its sessions, its roles."""

from __future__ import annotations

import base64
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from werkzeug.security import generate_password_hash

from tests.support.api_server import AUTH_SECONDS, FAILURES, OPERATOR, WINDOW_SECONDS, Server
from tests.support.waiting import eventually

HEALTH = "/retail/health"
PATHS = ["/retail/health", "/retail/api/v1/health", "/retail/docs", "/retail/openapi.json", "/retail/metrics"]
PATHS += ["/retail/nothing/here", "/retail/quality/run", "/retail/docs/swagger-ui.css", "/retail/"]
TRICKS = ["/retail//health", "/retail/%2e%2e/retail/health", "/retail/health/", "/retail/health%00", "/retail/;/health"]


@pytest.mark.parametrize("path", PATHS + TRICKS)
def test_nobody_gets_in(server: Server, path: str) -> None:
    with server.client() as client:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            answer = client.request(method, path)
            assert answer.status_code == 401, method
            assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
            assert answer.headers["X-Correlation-Id"]
            if method != "HEAD":
                assert answer.json()["status"] == 401


@pytest.mark.parametrize("user", ["nobody", "public"])
def test_a_user_without_the_permission_gets_nowhere(server: Server, user: str) -> None:
    with server.client(user) as client:
        for path in PATHS:
            answer = client.get(path)
            assert answer.status_code == 403
            assert "can_read on Retail API" in answer.json()["detail"]


@pytest.mark.parametrize(("user", "edits"), [("viewer", False), ("user", False), (OPERATOR, True), ("admin", True)])
def test_stock_roles_may_read_or_edit(server: Server, user: str, edits: bool) -> None:
    with server.client(user) as client:
        assert client.get("/retail/api/v1/health").status_code == 200
        answer = client.post("/retail/api/v1/health")
    assert answer.status_code == (405 if edits else 403)


def test_names_are_taken_as_airflow_takes_them(server: Server) -> None:
    with server.client() as client:
        for name in ("Viewer", "VIEWER", "viewer@localhost"):
            assert client.get(HEALTH, auth=(name, server.passwords["viewer"])).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b":x").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b"admin\x00:x").decode(),
        "Basic " + base64.b64encode(b"a" * 5000 + b":x").decode(),
        "Bearer",
        "Bearer x.y.z",
        "Digest username=admin",
        "Basic " + base64.b64encode(b"' OR 1=1 --:x").decode(),
    ],
)
def test_headers_that_prove_nothing(server: Server, header: str) -> None:
    with server.client(address="127.0.0.20") as client:
        assert client.get(HEALTH, headers={"Authorization": header}).status_code == 401


def test_a_token_of_airflows(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token('viewer')}"}
    with server.client() as client:
        assert client.get(HEALTH, headers=headers).status_code == 200
        assert client.post(HEALTH, headers=headers).status_code == 403
        head, body, signature = headers["Authorization"].split(".")
        forged = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
        assert client.get(HEALTH, headers={"Authorization": forged}).status_code == 401


def test_a_token_is_worth_nothing_once_its_owner_has_signed_out(server: Server) -> None:
    token = server.token("viewer")
    with server.client() as client:
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get(HEALTH, headers=headers).status_code == 200
        client.get("/api/v2/auth/logout", headers=headers)
        assert client.get(HEALTH, headers=headers).status_code == 401


SAME, OTHER = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "same-site"}


def test_the_session_of_the_web_interface(server: Server) -> None:
    with server.client(cookies={"_token": server.token(OPERATOR)}) as client:
        assert client.get(HEALTH).status_code == 200
        assert client.get(HEALTH, headers=OTHER).status_code == 200
        own = {"Origin": server.url}
        for headers in (SAME, own, SAME | own):
            assert client.post(HEALTH, headers=headers).status_code == 405
        foreign = {"Origin": "http://evil.example"}
        for headers in ({}, OTHER, foreign, OTHER | own, {"Origin": "null"}, {"Sec-Fetch-Site": "none"}):
            answer = client.post(HEALTH, headers=headers)
            assert answer.status_code == 403
            assert "own pages" in answer.json()["detail"]


def test_a_password_that_a_browser_sends_by_itself(server: Server) -> None:
    with server.client(OPERATOR) as client:
        for headers in ({}, SAME, {"Origin": server.url}):
            assert client.post(HEALTH, headers=headers).status_code == 405
        assert client.get(HEALTH, headers=OTHER).status_code == 200
        for headers in (OTHER, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert client.post(HEALTH, headers=headers).status_code == 403


def test_a_header_goes_before_a_session(server: Server) -> None:
    with server.client(cookies={"_token": server.token(OPERATOR)}, address="127.0.0.21") as client:
        assert client.get(HEALTH, auth=("viewer", "wrong")).status_code == 401


def test_the_quality_page_of_a_run_by_session(server: Server) -> None:
    page = server.settings.data_dir / "quality" / "a_run.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<h1>Good</h1>")
    with server.client(cookies={"_token": server.token("viewer")}) as client:
        answer = client.get("/retail/quality/a_run")
        assert (answer.status_code, answer.text) == (200, "<h1>Good</h1>")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert client.get("/retail/quality/no_run").status_code == 404
    with server.client(cookies={"_token": server.token("nobody")}) as client:
        assert client.get("/retail/quality/a_run").status_code == 403


def change_password(server: Server, user: str) -> None:
    server.metadata("UPDATE ab_user SET password = %s WHERE username = %s", generate_password_hash("new"), user)


def deactivate(server: Server, user: str) -> None:
    server.metadata("UPDATE ab_user SET active = false WHERE username = %s", user)


def take_roles(server: Server, user: str) -> None:
    server.metadata("DELETE FROM ab_user_role WHERE user_id = (SELECT id FROM ab_user WHERE username = %s)", user)


@pytest.mark.parametrize(("change", "status"), [(change_password, 401), (deactivate, 401), (take_roles, 403)])
def test_a_change_of_a_user_takes_effect_within_the_time_set(
    server: Server, change: Callable[[Server, str], None], status: int
) -> None:
    user = change.__name__
    server.add_user(user, "Viewer")
    token = server.token(user)
    with server.client(user, address=f"127.0.3.{len(user)}") as client, server.client() as bearer:
        for _ in range(6):  # both workers
            assert client.get(HEALTH).status_code == 200
            assert bearer.get(HEALTH, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        change(server, user)
        time.sleep(AUTH_SECONDS)
        for _ in range(FAILURES):
            assert client.get(HEALTH).status_code == status
            if change is not change_password:  # which ends no token of Airflow's
                assert bearer.get(HEALTH, headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_verified_passwords_are_not_hashed_again(server: Server) -> None:
    server.add_user("newcomer", "Viewer")
    for _ in range(8):  # both workers
        with server.client("viewer") as fresh:
            assert fresh.get(HEALTH).status_code == 200
    logins = sqlite3.connect(server.settings.api / "logins.sqlite", isolation_level=None)
    with closing(logins), server.client("viewer") as client, server.client("newcomer") as new:
        logins.execute("BEGIN IMMEDIATE")  # no password is hashed from here on, as no sign-in can be counted
        assert new.get(HEALTH).status_code == 503
        for _ in range(30):
            assert client.get("/retail/docs").status_code == 200
        logins.execute("ROLLBACK")
        assert new.get(HEALTH).status_code == 200


def test_a_user_who_is_not_there_takes_as_much_work_as_one_who_is(server: Server) -> None:
    work: dict[str, list[float]] = {"viewer": [], "never.seen": []}
    for number in range(10):
        for name, measured in work.items():
            with server.client(address=f"127.0.1.{number + 1}") as client:
                before = server.cpu_seconds()
                client.get(HEALTH, auth=(name, "wrong"))
                measured.append(server.cpu_seconds() - before)
    known, unknown = (statistics.median(measured) for measured in work.values())
    assert known > 0.03
    assert abs(known - unknown) < 0.25 * known


def test_failures_are_counted_for_both_workers_by_user_and_address(server: Server) -> None:
    server.add_user("target", "Viewer")
    with server.client("target", address="127.0.0.30") as client, server.client(address="127.0.0.31") as attacker:
        assert client.get(HEALTH).status_code == 200  # known at its address from now on
        answers = [attacker.get(HEALTH, auth=("target", f"wrong {number}")) for number in range(FAILURES + 3)]
        assert [answer.status_code for answer in answers] == [401] * FAILURES + [429] * 3
        assert 0 < int(answers[-1].headers["Retry-After"]) <= WINDOW_SECONDS
        assert attacker.get(HEALTH, auth=("target", server.passwords["target"])).status_code == 429
        # The address itself may still try others, until it has failed too often altogether.
        others = [attacker.get(HEALTH, auth=(f"other {number}", "x")).status_code for number in range(4 * FAILURES)]
        assert others == [401] * (3 * FAILURES) + [429] * FAILURES
        # The user goes on elsewhere, with a password that is not remembered any more too.
        time.sleep(AUTH_SECONDS)
        assert client.get(HEALTH).status_code == 200
        time.sleep(WINDOW_SECONDS)
        assert attacker.get(HEALTH, auth=("target", server.passwords["target"])).status_code == 200


def test_failures_from_everywhere_hold_up_new_addresses_alone(server: Server) -> None:
    server.add_user("popular", "Viewer")
    with server.client("popular", address="127.0.0.40") as client:
        assert client.get(HEALTH).status_code == 200
    for number in range(4 * FAILURES):
        with server.client(address=f"127.0.2.{number + 1}") as attacker:
            assert attacker.get(HEALTH, auth=("popular", "wrong")).status_code == 401
    server.metadata("UPDATE ab_user SET password = %s WHERE username = 'popular'", generate_password_hash("changed"))
    time.sleep(AUTH_SECONDS)
    with server.client(address="127.0.0.40") as known, server.client(address="127.0.0.41") as new:
        assert new.get(HEALTH, auth=("popular", "changed")).status_code == 429
        assert known.get(HEALTH, auth=("popular", "changed")).status_code == 200
        time.sleep(WINDOW_SECONDS)
        assert new.get(HEALTH, auth=("popular", "changed")).status_code == 200


def entries(server: Server, correlation_id: str) -> list[tuple[object, ...]]:
    return server.warehouse(
        "SELECT username, method, address, action, target, outcome, status, reason FROM retail_dwh.etl_audit "
        "WHERE correlation_id = %s",
        correlation_id,
    )


def test_changes_and_refused_callers_are_in_the_audit_trail(server: Server) -> None:
    with server.client(OPERATOR, headers={"X-Correlation-Id": "change-1"}) as client:
        assert client.delete("/retail/api/v1/health?a=b%00").headers["X-Correlation-Id"] == "change-1"
    with server.client(address="127.0.0.50", headers={"X-Correlation-Id": "refused-1"}) as client:
        client.get(HEALTH, auth=("intruder", "wrong"))
    with server.client("viewer", headers={"X-Correlation-Id": "refused-2"}) as client:
        client.delete(HEALTH)
    assert eventually(lambda: entries(server, "change-1")) == [
        (OPERATOR, "basic", "127.0.0.1", "DELETE /api/v1/health", "/retail/api/v1/health?a=b%00", "refused", 405, "")
    ]
    assert eventually(lambda: entries(server, "refused-1")) == [
        ("intruder", "", "127.0.0.50", "GET unmatched", HEALTH, "refused", 401, "wrong")
    ]
    assert eventually(lambda: entries(server, "refused-2")) == [
        ("viewer", "", "127.0.0.1", "DELETE unmatched", HEALTH, "refused", 403, "forbidden")
    ]
    log = server.log.read_text(errors="replace")
    assert '"correlation_id":"refused-1"' in log
    for secret in server.passwords.values():
        assert secret not in log


def test_metrics_of_both_workers_by_route(server: Server) -> None:
    def counted(client: httpx.Client) -> float:
        name = 'retail_api_requests_total{method="GET",route="/quality/{run_id}",status="404"} '
        lines = client.get("/retail/metrics").text.splitlines()
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

    with server.client("viewer") as client:
        before = counted(client)
    for number in range(20):
        with server.client("viewer") as client:
            assert client.get(f"/retail/quality/none_{number}").status_code == 404
    for _ in range(6):
        with server.client("viewer") as client:
            assert counted(client) == before + 20
            text = client.get("/retail/metrics").text
    assert "none_1" not in text
    for name in (
        'retail_api_auth_failures_total{reason="wrong"}',
        "retail_api_request_seconds_bucket",
        'retail_api_pool_connections{state="used"}',
        "retail_warehouse_up 1.0",
        'retail_warehouse_serves{side="primary"} 1.0',
    ):
        assert name in text


def test_health_while_all_is_well(server: Server) -> None:
    with server.client("viewer") as client:
        answer = client.get("/retail/api/v1/health")
    found = answer.json()
    assert (answer.status_code, found["status"], found["problems"]) == (200, "ok", [])
    assert answer.headers["X-Warehouse"] == found["warehouse"]["serves"] == "primary"
    assert found["airflow_metadata"]["answers"]
    assert found["data"]["newest_batch"]


def test_a_stopped_postgresql_costs_readers_nothing_and_changes_an_excuse(server: Server) -> None:
    with server.client(OPERATOR) as client, server.client("viewer", address="127.0.0.60") as late:
        for _ in range(8):  # both workers
            with server.client(OPERATOR) as fresh:
                assert fresh.get(HEALTH).status_code == 200
        with server.victim.stopped():
            # A machine that is slow takes longer to find out than a check of health may wait.
            eventually(lambda: client.get(HEALTH).json()["status"] == "degraded")
            for _ in range(12):
                answer = client.get(HEALTH)
                found = answer.json()
                assert (answer.status_code, found["status"]) == (200, "degraded")
                assert found["warehouse"]["serves"] == answer.headers["X-Warehouse"] == "replica"
                assert not found["warehouse"]["primary"]["answers"]
                time.sleep(0.3)
            # Callers verified before go on reading; others, and changes, have to wait.
            refused = late.get(HEALTH, auth=("new", "comer"))
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            assert not client.get("/retail/api/v1/health").json()["airflow_metadata"]["answers"]
            changed = client.delete(HEALTH, headers={"X-Correlation-Id": "while-away"})
            assert changed.status_code == 503
        eventually(lambda: client.get(HEALTH).json()["status"] == "ok")


def test_audit_entries_of_an_outage_are_delivered_after_it(server: Server) -> None:
    with server.client(OPERATOR) as client:
        eventually(lambda: client.get(HEALTH).status_code == 200)
        assert client.get(HEALTH).status_code == 200
        server.victim.kill()
        try:
            # Verified a moment ago: this one change is let through, and refused for what it is.
            answer = client.delete(HEALTH, headers={"X-Correlation-Id": "outage"})
        finally:
            server.victim.start()
        if answer.status_code == 405:
            (entry,) = eventually(lambda: entries(server, "outage"))
            assert entry[0] == OPERATOR
        else:
            assert answer.status_code == 503


def test_only_the_api_server_loads_the_app(server: Server) -> None:
    folder = Path(__file__).parents[3] / "plugins"
    assert "retail_api/" in (folder / ".airflowignore").read_text().splitlines()
