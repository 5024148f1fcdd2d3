"""An outside service, and why it may give no answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

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

_NO_KEY = SecretStr("")
_PASSING_STATUSES = {408, 425}


@dataclass(frozen=True)
class Service:
    """An outside service.

    Attributes:
        name: Letters and underscores; names the state on disk.
        base_url: URL that paths are appended to.
        per_second: Calls allowed in a second, over all processes.
        cache_seconds: For how long an answer is good.
        monthly_budget: Calls allowed in 31 days, over all processes; any number if None.
        api_key: Sent in the header `Authorization: Bearer`; none if empty.
        error_in: Returns the reason code of a body that reports an error, whatever the HTTP status; None for others.
    """

    name: str
    base_url: str
    per_second: int
    cache_seconds: float
    monthly_budget: int | None = None
    api_key: SecretStr = _NO_KEY
    error_in: Callable[[bytes], str | None] = lambda _: None


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
