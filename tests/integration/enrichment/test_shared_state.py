"""Breaker, budget, rate limit and cache are one for all processes and outlive them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from include.enrichment.client import ServiceClient
from include.enrichment.service import Service, ServiceUnavailable
from include.settings import Settings
from tests.support.services import FakeServer, Handler, MakeClient, as_json, status
from tests.support.waiting import PATIENCE_SECONDS

ANY: TypeAdapter[object] = TypeAdapter(object)
GOOD = as_json({"pong": 1})


def service(settings: Settings) -> Service:
    return Service(name="fake", base_url=settings.datamuse_url, per_second=1000, cache_seconds=3600)


def budgeted(settings: Settings) -> Service:
    return Service(
        name="fake",
        base_url=settings.datamuse_url,
        per_second=1000,
        cache_seconds=3600,
        monthly_budget=settings.fx_monthly_budget,
    )


def outcome(client: ServiceClient, path: str = "ping") -> str:
    try:
        client.get(path, ANY)
    except ServiceUnavailable as unavailable:
        return unavailable.reason
    return "ok"


def start(fake: FakeServer, data_dir: Path, paths: list[str], **service: Any) -> subprocess.Popen[str]:
    """Start another process that asks for `paths`."""
    settings = {
        "data_dir": str(data_dir),
        "enable_external_enrichment": True,
        "breaker_reset_seconds": 60,
        "http_timeout_seconds": 20,
        "enrichment_batch_size": 1000,
    }
    description = {"name": "fake", "base_url": fake.url, "per_second": 1000, "cache_seconds": 3600, **service}
    command = [sys.executable, "-m", "tests.support.asking"]
    return subprocess.Popen(
        [*command, json.dumps(settings), json.dumps(description), *paths],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd(), "NO_PROXY": "127.0.0.1"},
    )


def account_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    account: dict[str, Any] = json.loads(printed)
    return account


def break_service(fake: FakeServer, make_client: MakeClient, failures: int = 3, **settings: Any) -> None:
    """Let the breaker count failures of the service, each in another process."""
    fake.behaviour = status(403)
    for _ in range(failures):
        assert outcome(make_client(service, **settings)) == "http_403"


def test_the_breaker_opens_after_the_threshold_and_a_call_asks_nothing(
    fake: FakeServer, make_client: MakeClient
) -> None:
    break_service(fake, make_client, failures=2)
    client = make_client(service)
    assert outcome(client) == "http_403"
    assert client.metrics().breaker == "open"
    assert [outcome(client) for _ in range(20)] == ["breaker_open"] * 20
    assert len(fake.requests) == 3


def test_a_success_resets_the_count(fake: FakeServer, make_client: MakeClient) -> None:
    break_service(fake, make_client, failures=2)
    fake.behaviour = GOOD
    assert outcome(make_client(service)) == "ok"
    fake.behaviour = status(403)
    assert outcome(make_client(service), "other") == "http_403"
    assert make_client(service).metrics().breaker is None
    assert outcome(make_client(service), "another") == "http_403"


def test_an_open_breaker_stays_open_in_another_process(
    fake: FakeServer, make_client: MakeClient, tmp_path: Path
) -> None:
    break_service(fake, make_client)
    fake.behaviour = GOOD
    account = account_of(start(fake, tmp_path / "data", ["ping"]))
    assert account["outcomes"] == ["breaker_open"]
    assert account["metrics"]["breaker"] == "open"
    assert len(fake.requests) == 3


def later(data_dir: Path, seconds: float) -> None:
    """Let the breaker believe that so much time has passed."""
    with sqlite3.connect(data_dir / "services" / "http" / "breakers.sqlite") as connection:
        connection.execute("UPDATE breaker SET opened_at = opened_at - :by, probe_until = probe_until - :by", [seconds])


def test_after_the_reset_time_one_success_closes_it(fake: FakeServer, make_client: MakeClient, tmp_path: Path) -> None:
    break_service(fake, make_client)
    assert outcome(make_client(service)) == "breaker_open"
    later(tmp_path / "data", 60)
    fake.behaviour = GOOD
    client = make_client(service)
    assert outcome(client) == "ok"
    assert client.metrics().breaker == "closed"


def test_after_the_reset_time_one_failure_opens_it_again(
    fake: FakeServer, make_client: MakeClient, tmp_path: Path
) -> None:
    break_service(fake, make_client)
    later(tmp_path / "data", 60)
    client = make_client(service)
    assert [outcome(client), outcome(client)] == ["http_403", "breaker_open"]
    assert len(fake.requests) == 4


def test_only_one_process_makes_the_trial_call(fake: FakeServer, make_client: MakeClient, tmp_path: Path) -> None:
    break_service(fake, make_client)
    later(tmp_path / "data", 60)
    asked, answered = threading.Event(), threading.Event()

    def answer_when_allowed(handler: Handler) -> None:
        asked.set()
        assert answered.wait(PATIENCE_SECONDS)
        GOOD(handler)

    fake.behaviour = answer_when_allowed
    trying, other = (make_client(service, http_timeout_seconds=PATIENCE_SECONDS) for _ in range(2))
    trial = threading.Thread(target=outcome, args=(trying,))
    trial.start()
    assert asked.wait(PATIENCE_SECONDS)
    assert outcome(other) == "breaker_open"
    assert len(fake.requests) == 4
    answered.set()
    trial.join()
    assert outcome(other, "another") == "ok"


def test_a_trial_call_that_was_killed_does_not_hold_the_breaker_for_ever(
    fake: FakeServer, make_client: MakeClient, tmp_path: Path
) -> None:
    break_service(fake, make_client)
    with sqlite3.connect(tmp_path / "data" / "services" / "http" / "breakers.sqlite") as connection:
        connection.execute(
            "UPDATE breaker SET state = 'half-open', probe_owner = 'killed', probe_until = ?", (time.time() + 130,)
        )
    later(tmp_path / "data", 65)
    fake.behaviour = GOOD
    client = make_client(service)
    assert outcome(client) == "breaker_open"
    later(tmp_path / "data", 65)
    assert outcome(client) == "ok"


def test_breakers_are_separate(fake: FakeServer, make_client: MakeClient) -> None:
    break_service(fake, make_client)

    def other(settings: Settings) -> Service:
        return Service(name="other", base_url=settings.datamuse_url, per_second=1000, cache_seconds=3600)

    fake.behaviour = GOOD
    assert outcome(make_client(other)) == "ok"


def test_the_cache_answers_while_the_breaker_is_open(fake: FakeServer, make_client: MakeClient) -> None:
    fake.script = [GOOD]
    assert outcome(make_client(service), "known") == "ok"
    break_service(fake, make_client)
    assert outcome(make_client(service), "known") == "ok"


def test_the_budget_survives_and_stops_calls(fake: FakeServer, make_client: MakeClient, tmp_path: Path) -> None:
    fake.behaviour = GOOD
    first = make_client(budgeted, fx_monthly_budget=3)
    assert [outcome(first, "1"), outcome(first, "2"), outcome(first, "1")] == ["ok", "ok", "ok"]
    assert first.metrics().budget_left == 1
    account = account_of(start(fake, tmp_path / "data", ["3", "4", "1"], monthly_budget=3))
    assert account["outcomes"] == ["ok", "budget_used_up", "ok"]
    assert account["metrics"]["budget_left"] == 0
    assert len(fake.requests) == 3


def test_the_budget_counts_retries(fake: FakeServer, make_client: MakeClient) -> None:
    fake.behaviour = status(500)
    client = make_client(budgeted, fx_monthly_budget=2)
    assert outcome(client) == "http_500"
    assert len(fake.requests) == 2
    assert outcome(client) == "budget_used_up"


def test_calls_older_than_a_month_no_longer_count(fake: FakeServer, make_client: MakeClient, tmp_path: Path) -> None:
    fake.behaviour = GOOD
    assert outcome(make_client(budgeted, fx_monthly_budget=1), "1") == "ok"
    assert outcome(make_client(budgeted, fx_monthly_budget=1), "2") == "budget_used_up"
    month = 31 * 86_400_000
    with sqlite3.connect(tmp_path / "data" / "services" / "http" / "limits.sqlite") as connection:
        connection.execute("UPDATE budget_fake SET item_timestamp = item_timestamp - ?", (month,))
    client = make_client(budgeted, fx_monthly_budget=1)
    assert outcome(client, "2") == "ok"
    assert client.metrics().budget_left == 0


def test_processes_share_the_rate_limit(fake: FakeServer, tmp_path: Path) -> None:
    fake.behaviour = GOOD
    per_second, each = 10, 15
    processes = [
        start(fake, tmp_path / "data", [f"{name}/{number}" for number in range(each)], per_second=per_second)
        for name in ("a", "b")
    ]
    accounts = [account_of(process) for process in processes]
    assert all(account["outcomes"] == ["ok"] * each for account in accounts)
    assert len(fake.requests) == 2 * each
    with sqlite3.connect(tmp_path / "data" / "services" / "http" / "limits.sqlite") as connection:
        moments = [row[0] for row in connection.execute("SELECT item_timestamp FROM rate_fake ORDER BY 1")]
    assert len(moments) >= 2 * each - per_second
    for first, beyond in zip(moments, moments[per_second:], strict=False):
        assert beyond - first >= 1000


def test_waiting_for_the_rate_limit_ends(fake: FakeServer, make_client: MakeClient) -> None:
    def slow(settings: Settings) -> Service:
        return Service(name="fake", base_url=settings.datamuse_url, per_second=1, cache_seconds=3600)

    fake.behaviour = GOOD
    client = make_client(slow, http_timeout_seconds=0.5)
    assert [outcome(client, "1"), outcome(client, "2")] == ["ok", "rate_limited"]
    assert client.metrics().breaker == "closed"


def test_many_processes_at_once_lose_no_count(fake: FakeServer, tmp_path: Path) -> None:
    fake.behaviour = status(403)
    paths = [f"x/{number}" for number in range(5)]
    processes = [start(fake, tmp_path / "data", paths, monthly_budget=1000) for _ in range(4)]
    outcomes = [reason for process in processes for reason in account_of(process)["outcomes"]]
    assert set(outcomes) == {"http_403", "breaker_open"}
    with sqlite3.connect(tmp_path / "data" / "services" / "http" / "breakers.sqlite") as connection:
        state, failures = connection.execute("SELECT state, failures FROM breaker").fetchone()
    assert state == "open"
    assert failures == outcomes.count("http_403") == len(fake.requests)
