"""Calls outside services. A call always ends in time, and a service that fails costs a run seconds at most.

A question passes, in this order: the cache on disk; the number of questions a run may ask; the pause the service asked
for; the circuit breaker; the monthly budget and the rate limit; then up to four attempts within one deadline, each
checked against the model of a good answer. What fails raises `ServiceUnavailable` with one of `REASONS`; the caller
goes on with offline data.

All state is below `services/http` in the data folder and shared by all processes: `breakers.sqlite`, `limits.sqlite`,
`cache.sqlite`. Deleting the folder is always safe.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import filelock
from pybreaker import CircuitBreaker, CircuitBreakerError
from pydantic import TypeAdapter, ValidationError
from requests import PreparedRequest, Request, RequestException, Response, Session, Timeout
from requests.exceptions import ContentDecodingError
from requests_cache.backends.sqlite import SQLiteCache
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from include.enrichment.breaker import SqliteBreakerStorage
from include.enrichment.limits import SharedLimits
from include.enrichment.retries import retry_context
from include.enrichment.service import QuestionRefused, Service, ServiceUnavailable
from include.enrichment.transport import AnswerTooLarge, BoundedAdapter
from include.runs.records import ServiceMetrics
from include.settings import Settings

MAX_ATTEMPTS = 4
NEGATIVE_CACHE_SECONDS = 86_400
"""For how long the refusal of a question, such as HTTP 404, is believed."""

_PERMIT_SHARE = 0.5
"""Share of a call's time that may be spent on waiting for the rate limit."""

_ATTEMPT_SHARE = 0.6
"""Share of a call's time that one attempt may take, so that a hanging connection leaves time for another."""

_NOT_THE_QUESTION = {401, 403, 407, 408, 425}
"""HTTP statuses from 400 to 499 that say nothing about the question."""

_log = logging.getLogger(__name__)
AnswerT = TypeVar("AnswerT")


class _State:
    """Everything that is kept on disk for a service."""

    def __init__(self, folder: Path, settings: Settings, service: Service) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lost_after = settings.http_timeout_seconds * 2 + 5
        self.breaker = SqliteBreakerStorage(folder / "breakers.sqlite", service.name, lost_after)
        self.limits = SharedLimits(folder / "limits.sqlite", service.name, service.per_second, service.monthly_budget)
        self.cache = SQLiteCache(folder / "cache.sqlite", serializer="json", busy_timeout=2000)
        self.cache.delete(expired=True, vacuum=False)

    def close(self) -> None:
        self.cache.close()
        self.limits.close()
        self.breaker.close()


class HttpCaller:
    """Asks one service by HTTP. Not for use by several threads at once."""

    def __init__(self, settings: Settings, service: Service, metrics: ServiceMetrics) -> None:
        """Prepare; neither a file nor a connection is opened before the first question.

        Args:
            settings: Time limits, and where the state is kept.
            service: The service.
            metrics: Gets the cache hits, requests and retries counted.
        """
        self.service = service
        self._settings = settings
        self._metrics = metrics
        self._folder = settings.data_dir / "services" / "http"
        self._questions_left = settings.enrichment_batch_size
        self._opened: _State | None = None
        self._session = Session()
        self._session.headers["User-Agent"] = "retail-lakehouse/0.1"
        self._session.headers["Accept"] = "application/json"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, BoundedAdapter(service.api_key))

    def close(self) -> None:
        """Close connections and files."""
        self._session.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def state(self) -> dict[str, Any]:
        """Return `breaker` and `budget_left` as in `ServiceMetrics`; nothing if they are not known."""
        if self._opened is None:
            return {}
        try:
            return {"breaker": self._opened.breaker.state, "budget_left": self._opened.limits.budget_left}
        except (sqlite3.Error, filelock.Timeout):
            _log.warning("%s: the state cannot be read", self.service.name)
            return {}

    def get(self, path: str, answer: TypeAdapter[AnswerT], params: Mapping[str, str] | None) -> AnswerT:
        """Return the answer to GET `path`; arguments and errors are those of `ServiceClient.get`."""
        name = self.service.name
        key = self.service.api_key.get_secret_value()
        if not (key.isascii() and (key.isprintable() or not key)):
            raise ServiceUnavailable(name, "bad_key")  # no header can carry it
        url = f"{self.service.base_url.rstrip('/')}/{path.lstrip('/')}"
        try:
            request = self._session.prepare_request(Request("GET", url, params=params))
        except RequestException as error:
            raise ServiceUnavailable(name, "connection") from error
        try:
            state = self._state()
            entry = state.cache.create_key(request)
            cached = state.cache.get_response(entry)
            if cached is not None and not cached.is_expired and self._failure_of(cached, answer) is None:
                self._metrics.cache_hits += 1
                return self._judged(cached, answer)
            response = self._asked(state, request, answer)
            self._keep(state, response, entry)
        except (sqlite3.Error, OSError) as error:
            _log.warning("%s: the state in %s cannot be used: %s", name, self._folder, error)
            raise ServiceUnavailable(name, "state_unusable") from error
        return self._judged(response, answer)

    def _state(self) -> _State:
        if self._opened is None:
            self._opened = _State(self._folder, self._settings, self.service)
        return self._opened

    def _asked(self, state: _State, request: PreparedRequest, answer: TypeAdapter[AnswerT]) -> Response:
        """Ask the service, unless that is known to be no use; return an answer or a refusal of the question."""
        name, seconds = self.service.name, self._settings.http_timeout_seconds
        if self._questions_left <= 0:
            raise ServiceUnavailable(name, "batch_size_reached")
        if state.breaker.pause_seconds > 0:
            raise ServiceUnavailable(name, "rate_limited")
        if state.breaker.stays_open(self._settings.breaker_reset_seconds):
            raise ServiceUnavailable(name, "breaker_open")
        deadline = time.monotonic() + seconds
        refusal = state.limits.spend(seconds * _PERMIT_SHARE)
        if refusal is not None:
            raise ServiceUnavailable(name, refusal)
        self._questions_left -= 1
        breaker = CircuitBreaker(
            fail_max=self._settings.breaker_threshold,
            reset_timeout=self._settings.breaker_reset_seconds,
            state_storage=state.breaker,
            name=name,
            throw_new_error_on_trip=False,
        )
        try:
            return breaker.call(self._attempts, state, request, answer, deadline)
        except CircuitBreakerError:
            raise ServiceUnavailable(name, "breaker_open") from None
        except ServiceUnavailable as unavailable:
            _log.warning("%s", unavailable)
            raise

    def _attempts(
        self, state: _State, request: PreparedRequest, answer: TypeAdapter[AnswerT], deadline: float
    ) -> Response:
        """Send the request until the service answers, another attempt makes no sense, or the time is over."""
        seconds = self._settings.http_timeout_seconds
        longest_wait = seconds / 5

        def wait_before_retry(error: Exception) -> bool | float:
            if not isinstance(error, ServiceUnavailable):
                return False
            left = deadline - time.monotonic()
            wait = longest_wait if error.retry_after is None else error.retry_after
            if error.is_passing and wait < left and state.limits.spend(left - wait) is None:
                return True if error.retry_after is None else error.retry_after
            state.breaker.pause(error.retry_after or 0.0)
            return False

        for attempt in retry_context(
            on=wait_before_retry,
            attempts=MAX_ATTEMPTS,
            timeout=None,
            wait_initial=seconds / 50,
            wait_max=longest_wait,
            wait_jitter=seconds / 25,
        ):
            with attempt:
                self._metrics.retries += attempt.num > 1
                left = deadline - time.monotonic()
                response = self._sent(request, min(left, seconds * _ATTEMPT_SHARE))
                failure = self._failure_of(response, answer)
                if failure is not None:
                    raise failure
        return response

    def _sent(self, request: PreparedRequest, seconds: float) -> Response:
        """Send the request once and return the response, whatever it is."""
        name = self.service.name
        if seconds <= 0:
            raise ServiceUnavailable(name, "timeout")
        self._metrics.requests += 1
        surroundings = self._session.merge_environment_settings(request.url, {}, None, None, None)
        try:
            return self._session.send(request, timeout=seconds, allow_redirects=False, **surroundings)
        except Timeout as error:
            raise ServiceUnavailable(name, "timeout") from error
        except AnswerTooLarge as error:
            raise ServiceUnavailable(name, "answer_too_large") from error
        except ContentDecodingError as error:
            raise ServiceUnavailable(name, "invalid_answer") from error
        except (RequestException, HTTPError, ValueError) as error:
            raise ServiceUnavailable(name, "connection") from error

    def _failure_of(self, response: Response, answer: TypeAdapter[AnswerT]) -> ServiceUnavailable | None:
        """Return why a response is no answer of a working service, None if it is one."""
        try:
            self._judged(response, answer)
        except QuestionRefused:
            return None
        except ServiceUnavailable as unavailable:
            return unavailable
        return None

    def _judged(self, response: Response, answer: TypeAdapter[AnswerT]) -> AnswerT:
        """Return the answer in a response.

        Raises:
            QuestionRefused: If the response blames the question.
            ServiceUnavailable: If the response is no answer.
        """
        name, status = self.service.name, response.status_code
        reported = self.service.error_in(response.content)
        if reported is not None:
            raise ServiceUnavailable(name, reported, _retry_after(response))
        if status == 429:
            raise ServiceUnavailable(name, "rate_limited", _retry_after(response))
        if 400 <= status < 500 and status not in _NOT_THE_QUESTION:
            raise QuestionRefused(name, f"http_{status}")
        if status != 200:
            raise ServiceUnavailable(name, f"http_{status}", _retry_after(response))
        try:
            return answer.validate_json(response.content)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # Raised out here: the chained error would repeat what was sent, and a page of errors may repeat the URL.
        _log.warning("%s: %s: %s", name, ".".join(map(str, problem["loc"])), problem["type"])
        raise ServiceUnavailable(name, "invalid_answer")

    def _keep(self, state: _State, response: Response, entry: str) -> None:
        """Write a response to the cache, unless it repeats the key of the service."""
        secret = self.service.api_key.get_secret_value()
        if secret and secret in f"{response.headers} {response.text}":
            return
        seconds = self.service.cache_seconds
        if response.status_code != 200:
            seconds = min(seconds, NEGATIVE_CACHE_SECONDS)
        state.cache.save_response(response, entry, datetime.now(UTC) + timedelta(seconds=seconds))


def _retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header, which may hold seconds or a date; None if it holds neither."""
    value = response.headers.get("Retry-After")
    try:
        return None if value is None else Retry().parse_retry_after(value)
    except InvalidHeader:
        return None
