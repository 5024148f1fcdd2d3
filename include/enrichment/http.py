"""The client of outside services: it answers soon, one way or another, and one bad service costs a run next to nothing.

A question passes, in this order: the switch `enable_external_enrichment`; the cache on disk; the number of questions a
run may ask; the pause the service asked for; the circuit breaker; the monthly budget and the rate limit; then up to
four attempts within one deadline, each checked against the model of a good answer. What fails raises
`ServiceUnavailable` with one of `REASONS`; the caller goes on with offline data.

All state is below `services/http` in the data folder and shared by all processes: `breakers.sqlite`, `limits.sqlite`,
`cache.sqlite`. Deleting the folder is always safe.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import filelock
import stamina
from pybreaker import CircuitBreaker, CircuitBreakerError
from pydantic import SecretStr, TypeAdapter, ValidationError
from requests import PreparedRequest, Request, RequestException, Response, Session, Timeout
from requests.exceptions import ContentDecodingError
from requests_cache.backends.sqlite import SQLiteCache
from stamina.instrumentation import RetryDetails
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from include.enrichment.breaker import SqliteBreakerStorage
from include.enrichment.limits import SharedLimits
from include.enrichment.transport import AnswerTooLarge, BoundedAdapter
from include.runs.records import ServiceMetrics
from include.settings import Settings

REASONS = {
    "disabled": "outside services are switched off; ENABLE_EXTERNAL_ENRICHMENT=true switches them on",
    "batch_size_reached": "this run has asked ENRICHMENT_BATCH_SIZE questions; later runs ask the rest",
    "breaker_open": "the last calls failed, so it is left alone for RETAIL_BREAKER_RESET_SECONDS",
    "rate_limited": "too many calls in a short time; later runs ask again",
    "budget_used_up": "the calls of RETAIL_FX_MONTHLY_BUDGET are used up until older ones are 31 days old",
    "timeout": "no complete answer within RETAIL_HTTP_TIMEOUT_SECONDS",
    "connection": "no connection, or it broke; check network, proxy and the base URL",
    "invalid_answer": "the answer is not what this service answers",
    "answer_too_large": "the answer is too long",
    "bad_key": "the service does not accept the key; check CURRENCY_API_KEY",
    "quota_reached": "the service says that the plan's calls are used up",
    "service_error": "the service answered with an error",
    "state_unusable": "the files in services/http of the data folder cannot be used; delete that folder",
}
"""Reason code -> what it means and what to do. `http_<status>` stands for any other HTTP status."""

MAX_ATTEMPTS = 4
NEGATIVE_CACHE_SECONDS = 86_400
"""For how long the refusal of a question, such as HTTP 404, is believed."""

_PERMIT_SHARE = 0.5
"""Share of a call's time that may be spent on waiting for the rate limit."""

_ATTEMPT_SHARE = 0.6
"""Share of a call's time that one attempt may take, so that a hanging connection leaves time for another."""

_PASSING_STATUSES = {408, 425}
_NOT_THE_QUESTION = {401, 403, 407, 408, 425}
"""HTTP statuses from 400 to 499 that say nothing about the question."""

_NO_KEY = SecretStr("")
_log = logging.getLogger(__name__)
AnswerT = TypeVar("AnswerT")


def _log_retry(details: RetryDetails) -> None:
    _log.warning("%s; asking again in %.1f s", details.caused_by, details.wait_for)


# The default hook prints to standard output where structlog is installed and not configured.
stamina.instrumentation.set_on_retry_hooks([_log_retry])


class ServiceUnavailable(Exception):
    """A service gave no usable answer.

    Attributes:
        service: Name of the service.
        reason: A key of `REASONS`, or `http_<status>`.
        retry_after: Seconds after which the service wants to be asked again, if it said so.
    """

    def __init__(self, service: str, reason: str, retry_after: float | None = None) -> None:
        """Say which service and why."""
        meaning = REASONS.get(reason, "the service answered with this HTTP status")
        super().__init__(f"{service}: {reason}: {meaning}")
        self.service = service
        self.reason = reason
        self.retry_after = retry_after

    @property
    def is_passing(self) -> bool:
        """Whether asking again soon may help."""
        status = int(self.reason.removeprefix("http_")) if self.reason.startswith("http_") else 0
        passing = {"timeout", "connection", "invalid_answer", "rate_limited"}
        return self.reason in passing or status >= 500 or status in _PASSING_STATUSES


class QuestionRefused(ServiceUnavailable):
    """The service works and does not answer this question, such as 404 for a country that does not exist."""


@dataclass(frozen=True)
class Service:
    """An outside service.

    Attributes:
        name: Letters and underscores; names the state on disk.
        base_url: URL that paths are appended to.
        per_second: Calls allowed in a second, over all processes.
        cache_seconds: For how long an answer is good.
        monthly_budget: Calls allowed in 31 days, over all processes; any number if None.
        api_key: Takes the place of `KEY_PLACEHOLDER` in paths.
        error_in: Returns the reason code of a body that reports an error, whatever the HTTP status; None for others.
    """

    name: str
    base_url: str
    per_second: int
    cache_seconds: float
    monthly_budget: int | None = None
    api_key: SecretStr = _NO_KEY
    error_in: Callable[[bytes], str | None] = lambda _: None


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


class ServiceClient:
    """Asks one service. Not for use by several threads at once."""

    def __init__(self, settings: Settings, service: Service) -> None:
        """Prepare; neither a file nor a connection is opened before the first question."""
        self.service = service
        self._settings = settings
        self._folder = settings.data_dir / "services" / "http"
        self._questions_left = settings.enrichment_batch_size
        self._metrics = ServiceMetrics(service=service.name)
        self._failures: Counter[str] = Counter()
        self._opened: _State | None = None
        self._session = Session()
        self._session.headers["User-Agent"] = "retail-lakehouse/0.1"
        self._session.headers["Accept"] = "application/json"
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, BoundedAdapter(service.api_key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and files."""
        self._session.close()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def get(self, path: str, answer: TypeAdapter[AnswerT], params: Mapping[str, str] | None = None) -> AnswerT:
        """Return the answer to GET `path`, from the cache if it has a good one.

        Args:
            path: Path below the base URL, quoted, with `KEY_PLACEHOLDER` where the key belongs.
            answer: Model of a good answer.
            params: Query.

        Raises:
            QuestionRefused: If the service works and has no answer to this question.
            ServiceUnavailable: If there is no answer for another reason.
        """
        started = time.monotonic()
        self._metrics.questions += 1
        try:
            return self._get(path, answer, params)
        except ServiceUnavailable as unavailable:
            self._failures[unavailable.reason] += 1
            raise
        finally:
            self._metrics.seconds += time.monotonic() - started

    def metrics(self) -> ServiceMetrics:
        """Return what this client has done so far and how the service stands."""
        breaker, budget_left = None, None
        if self._opened is not None:
            try:
                breaker, budget_left = self._opened.breaker.state, self._opened.limits.budget_left
            except (sqlite3.Error, filelock.Timeout):
                _log.warning("%s: the state cannot be read", self.service.name)
        return self._metrics.model_copy(
            update={
                "failures": dict(self._failures),
                "seconds": round(self._metrics.seconds, 3),
                "breaker": breaker,
                "budget_left": budget_left,
            }
        )

    def _get(self, path: str, answer: TypeAdapter[AnswerT], params: Mapping[str, str] | None) -> AnswerT:
        name = self.service.name
        if not self._settings.enable_external_enrichment:
            raise ServiceUnavailable(name, "disabled")
        url = f"{self.service.base_url.rstrip('/')}/{path.lstrip('/')}"
        try:
            request = self._session.prepare_request(Request("GET", url, params=params))
        except RequestException as error:
            raise ServiceUnavailable(name, "connection") from error
        try:
            state = self._state()
            key = state.cache.create_key(request)
            cached = state.cache.get_response(key)
            if cached is not None and not cached.is_expired and self._failure_of(cached, answer) is None:
                self._metrics.cache_hits += 1
                return self._judged(cached, answer)
            response = self._asked(state, request, answer)
            self._keep(state, response, key)
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

        for attempt in stamina.retry_context(
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

    def _keep(self, state: _State, response: Response, key: str) -> None:
        """Write a response to the cache, unless it repeats the key of the service."""
        secret = self.service.api_key.get_secret_value()
        if secret and secret in f"{response.headers} {response.text}":
            return
        seconds = self.service.cache_seconds
        if response.status_code != 200:
            seconds = min(seconds, NEGATIVE_CACHE_SECONDS)
        state.cache.save_response(response, key, datetime.now(UTC) + timedelta(seconds=seconds))


def _retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header, which may hold seconds or a date; None if it holds neither."""
    value = response.headers.get("Retry-After")
    try:
        return None if value is None else Retry().parse_retry_after(value)
    except InvalidHeader:
        return None
