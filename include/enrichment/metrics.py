"""What became of the calls of an outside service."""

from __future__ import annotations

from pydantic import Field

from include.domain.model import Model


class ServiceMetrics(Model):
    """What a client did, for the record of a run.

    Attributes:
        service: Name of the service.
        questions: Questions put to the client.
        cache_hits: Questions answered from the cache.
        requests: HTTP requests sent, retries included.
        retries: Requests sent because an earlier one failed.
        failures: Reason code -> questions without an answer.
        seconds: Wall seconds spent on all questions.
        breaker: State of the breaker; None if the service was never to be asked.
        budget_left: Calls left of the monthly budget; None if there is none or the service was never to be asked.
    """

    service: str
    questions: int = 0
    cache_hits: int = 0
    requests: int = 0
    retries: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    seconds: float = 0.0
    breaker: str | None = None
    budget_left: int | None = None
