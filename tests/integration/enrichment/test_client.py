"""The client against a server that answers, fails and misbehaves."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter

from include.enrichment.client import ServiceClient
from include.enrichment.http import MAX_ATTEMPTS
from include.enrichment.service import REASONS, QuestionRefused, Service, ServiceUnavailable
from include.lake.connect_server import free_port
from include.settings import Settings
from tests.support.services import (
    Behaviour,
    FakeServer,
    MakeClient,
    as_json,
    cut_off,
    drip_body,
    drip_headers,
    endless,
    hang,
    raw,
    status,
)


class Pong(BaseModel):
    pong: int


PONG = TypeAdapter(Pong)
GOOD = as_json({"pong": 1})


def service(settings: Settings) -> Service:
    return Service(name="fake", base_url=settings.datamuse_url, per_second=1000, cache_seconds=3600)


@pytest.fixture
def client(make_client: MakeClient) -> ServiceClient:
    return make_client(service)


def reason_of(client: ServiceClient, path: str = "ping") -> str:
    with pytest.raises(ServiceUnavailable) as caught:
        client.get(path, PONG)
    return caught.value.reason


def test_an_answer_is_checked_and_returned(fake: FakeServer, client: ServiceClient) -> None:
    fake.script = [GOOD]
    assert client.get("ping", PONG, {"a": "b c"}) == Pong(pong=1)
    assert fake.requests == ["/ping?a=b+c"]


def test_switched_off_nothing_is_asked_and_written(fake: FakeServer, make_client: MakeClient) -> None:
    client = make_client(service, enable_external_enrichment=False)
    assert reason_of(client) == "disabled"
    assert fake.requests == []
    assert client.metrics().breaker is None


@pytest.mark.parametrize(
    ("behaviour", "reason", "requests"),
    [
        (status(500), "http_500", MAX_ATTEMPTS),
        (status(503), "http_503", MAX_ATTEMPTS),
        (status(403), "http_403", 1),
        (status(302, headers={"Location": "/elsewhere"}), "http_302", 1),
        (status(302, headers={"Location": "http://["}), "connection", MAX_ATTEMPTS),
        (status(204, body=b""), "http_204", 1),
        (raw(b""), "connection", MAX_ATTEMPTS),
        (raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n"), "connection", MAX_ATTEMPTS),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 7\r\n\r\n{}"), "connection", MAX_ATTEMPTS),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}"), "connection", MAX_ATTEMPTS),
        (raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"po'), "connection", MAX_ATTEMPTS),
        (status(200, body=b"<html>welcome</html>"), "invalid_answer", MAX_ATTEMPTS),
        (status(200, body=b""), "invalid_answer", MAX_ATTEMPTS),
        (status(200, body=bytes(range(256))), "invalid_answer", MAX_ATTEMPTS),
        (status(200, body=b'{"pong": '), "invalid_answer", MAX_ATTEMPTS),
        (as_json({"pong": "many"}), "invalid_answer", MAX_ATTEMPTS),
        (as_json([1, 2]), "invalid_answer", MAX_ATTEMPTS),
        (status(200, body=b"\x1f\x8bnot zipped", headers={"Content-Encoding": "gzip"}), "invalid_answer", MAX_ATTEMPTS),
        (cut_off(b'{"pong": 1}'), "connection", MAX_ATTEMPTS),
        (endless(), "answer_too_large", 1),
        (status(429), "rate_limited", MAX_ATTEMPTS),
    ],
)
def test_what_is_no_answer_is_a_failure_with_a_reason(
    fake: FakeServer, client: ServiceClient, behaviour: Behaviour, reason: str, requests: int
) -> None:
    fake.behaviour = behaviour
    assert reason_of(client) == reason
    assert len(fake.requests) == requests
    assert client.metrics().failures == {reason: 1}


@pytest.mark.parametrize("behaviour", [hang(), drip_body(), drip_headers()])
def test_a_call_ends_however_slow_the_service(fake: FakeServer, client: ServiceClient, behaviour: Behaviour) -> None:
    fake.behaviour = behaviour
    assert reason_of(client) == "timeout"
    assert len(fake.requests) == 2


def test_a_refused_connection_is_a_failure(make_client: MakeClient) -> None:
    client = make_client(service, datamuse_url=f"http://127.0.0.1:{free_port()}")
    assert reason_of(client) == "connection"


@pytest.mark.parametrize("url", ["https://no-such-host.invalid", "http://127.0.0.1:99999"])
def test_an_address_that_leads_nowhere_is_a_failure(make_client: MakeClient, url: str) -> None:
    assert reason_of(make_client(service, datamuse_url=url)) in {"connection", "timeout"}


def test_a_zipped_answer_is_read(fake: FakeServer, client: ServiceClient) -> None:
    fake.behaviour = status(200, gzip.compress(b'{"pong": 2}'), {"Content-Encoding": "gzip"})
    assert client.get("ping", PONG) == Pong(pong=2)
    assert client.get("ping", PONG) == Pong(pong=2)
    assert len(fake.requests) == 1


def test_a_small_archive_of_a_huge_answer_is_not_unpacked(fake: FakeServer, client: ServiceClient) -> None:
    fake.behaviour = status(200, gzip.compress(b"[" * 50_000_000), {"Content-Encoding": "gzip"})
    assert reason_of(client) == "answer_too_large"


def test_a_passing_failure_is_retried(fake: FakeServer, client: ServiceClient) -> None:
    fake.script = [status(500), cut_off(), GOOD]
    assert client.get("ping", PONG) == Pong(pong=1)
    metrics = client.metrics()
    assert (metrics.questions, metrics.requests, metrics.retries, metrics.failures) == (1, 3, 2, {})
    assert metrics.breaker == "closed"


def test_the_waits_between_attempts_grow(fake: FakeServer, client: ServiceClient) -> None:
    fake.behaviour = status(500)
    reason_of(client)
    waits = [later - earlier for earlier, later in zip(fake.moments, fake.moments[1:], strict=False)]
    assert waits[0] >= 1.5 / 50
    assert waits[1] >= 1.5 / 25
    assert waits[2] >= 1.5 / 12.5


@pytest.mark.parametrize("header", [lambda: "1", lambda: formatdate(time.time() + 2, usegmt=True)])
@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(
    fake: FakeServer, make_client: MakeClient, header: Callable[[], str], code: int
) -> None:
    client = make_client(service, http_timeout_seconds=4)
    fake.script = [status(code, headers={"Retry-After": header()}), GOOD]
    assert client.get("ping", PONG) == Pong(pong=1)
    assert fake.moments[1] - fake.moments[0] >= 0.9


def test_a_long_retry_after_ends_the_call_and_is_remembered_by_all(
    fake: FakeServer, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    fake.script = [status(429, headers={"Retry-After": "3600"})]
    assert reason_of(make_client(service)) == "rate_limited"
    assert reason_of(make_client(service), "other") == "rate_limited"
    assert len(fake.requests) == 1
    assert "asking again in" not in caplog.text


@pytest.mark.parametrize("header", ["soon", "-1", ""])
def test_a_retry_after_that_says_nothing_is_ignored(fake: FakeServer, client: ServiceClient, header: str) -> None:
    fake.script = [status(503, headers={"Retry-After": header}), GOOD]
    assert client.get("ping", PONG) == Pong(pong=1)


def test_a_refused_question_is_told_apart_kept_and_no_failure_of_the_service(
    fake: FakeServer, make_client: MakeClient
) -> None:
    client = make_client(service, breaker_threshold=1)
    fake.behaviour = status(404)
    for number in range(5):
        with pytest.raises(QuestionRefused):
            client.get(f"unknown/{number}", PONG)
    assert client.metrics().breaker == "closed"
    with pytest.raises(QuestionRefused):
        make_client(service).get("unknown/0", PONG)
    assert len(fake.requests) == 5


def test_an_answer_is_kept_for_later_processes(fake: FakeServer, make_client: MakeClient) -> None:
    fake.script = [GOOD]
    make_client(service).get("ping", PONG)
    later = make_client(service)
    assert later.get("ping", PONG) == Pong(pong=1)
    assert len(fake.requests) == 1
    metrics = later.metrics()
    assert (metrics.questions, metrics.cache_hits, metrics.requests) == (1, 1, 0)


def test_an_answer_is_kept_for_its_time_only(fake: FakeServer, make_client: MakeClient) -> None:
    def short_lived(settings: Settings) -> Service:
        return Service(name="fake", base_url=settings.datamuse_url, per_second=1000, cache_seconds=0.2)

    fake.script = [GOOD, as_json({"pong": 2})]
    client = make_client(short_lived)
    assert client.get("ping", PONG) == Pong(pong=1)
    time.sleep(0.3)
    assert client.get("ping", PONG) == Pong(pong=2)


def test_failures_are_not_kept(fake: FakeServer, client: ServiceClient) -> None:
    fake.script = [as_json({"result": "error"})] * MAX_ATTEMPTS
    assert reason_of(client) == "invalid_answer"
    fake.script = [GOOD]
    assert client.get("ping", PONG) == Pong(pong=1)


def test_a_kept_answer_that_a_newer_model_rejects_is_asked_again(fake: FakeServer, client: ServiceClient) -> None:
    fake.script = [as_json({"old": 1}), GOOD]
    client.get("ping", TypeAdapter(dict[str, int]))
    assert client.get("ping", PONG) == Pong(pong=1)


def test_a_run_asks_no_more_than_its_batch_size_and_the_next_run_goes_on(
    fake: FakeServer, make_client: MakeClient
) -> None:
    fake.behaviour = GOOD
    first, second = (make_client(service, enrichment_batch_size=3) for _ in range(2))
    for path in "abc":
        first.get(path, PONG)
    assert [reason_of(first, path) for path in "de"] == ["batch_size_reached"] * 2
    for path in "abcde":
        second.get(path, PONG)
    assert len(fake.requests) == 5


def test_state_files_that_are_damaged_are_a_failure_with_a_remedy(
    fake: FakeServer, make_client: MakeClient, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "services" / "http"
    folder.mkdir(parents=True)
    for name in ("breakers", "limits", "cache"):
        for other in folder.iterdir():
            other.unlink()
        (folder / f"{name}.sqlite").write_bytes(b"this is no database, " * 1000)
        assert reason_of(make_client(service)) == "state_unusable"
    assert "delete that folder" in REASONS["state_unusable"]
    assert fake.requests == []


def test_a_state_folder_that_cannot_be_made_is_a_failure(make_client: MakeClient, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert reason_of(make_client(service)) == "state_unusable"


def test_a_failure_is_logged_with_service_reason_and_remedy(
    fake: FakeServer, client: ServiceClient, caplog: pytest.LogCaptureFixture
) -> None:
    fake.behaviour = status(500)
    with caplog.at_level(logging.WARNING):
        reason_of(client)
    assert "fake: http_500: the service answered with this HTTP status" in caplog.messages
    assert sum("asking again in" in message for message in caplog.messages) == MAX_ATTEMPTS - 1


def test_metrics_go_into_a_record_and_back(fake: FakeServer, client: ServiceClient) -> None:
    fake.script = [GOOD]
    client.get("ping", PONG)
    metrics = client.metrics()
    assert type(metrics).model_validate_json(metrics.model_dump_json()) == metrics
    assert metrics.seconds > 0
