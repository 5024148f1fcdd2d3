"""The client of an outside service: asks it if that is allowed, and counts what comes of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import TypeAdapter

from include.enrichment.service import Service, ServiceUnavailable
from include.runs.records import ServiceMetrics
from include.settings import Settings

if TYPE_CHECKING:
    from include.enrichment.http import HttpCaller

AnswerT = TypeVar("AnswerT")


class ServiceClient:
    """Asks one service. Not for use by several threads at once."""

    def __init__(self, settings: Settings, service: Service) -> None:
        """Prepare; neither a file nor a connection is opened before the first question."""
        self.service = service
        self._settings = settings
        self._metrics = ServiceMetrics(service=service.name)
        self._failures: Counter[str] = Counter()
        self._caller: HttpCaller | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and files."""
        if self._caller is not None:
            self._caller.close()
            self._caller = None

    def get(self, path: str, answer: TypeAdapter[AnswerT], params: Mapping[str, str] | None = None) -> AnswerT:
        """Return the answer to GET `path`, from the cache if it has a good one.

        Args:
            path: Path below the base URL, quoted.
            answer: Model of a good answer.
            params: Query.

        Raises:
            QuestionRefused: If the service works and has no answer to this question.
            ServiceUnavailable: If there is no answer for another reason.
        """
        started = time.monotonic()
        self._metrics.questions += 1
        try:
            if not self._settings.enable_external_enrichment:
                raise ServiceUnavailable(self.service.name, "disabled")
            return self._opened().get(path, answer, params)
        except ServiceUnavailable as unavailable:
            self._failures[unavailable.reason] += 1
            raise
        finally:
            self._metrics.seconds += time.monotonic() - started

    def metrics(self) -> ServiceMetrics:
        """Return what this client has done so far and the state of the service."""
        state = self._caller.state() if self._caller is not None else {}
        changes = {"failures": dict(self._failures), "seconds": round(self._metrics.seconds, 3), **state}
        return self._metrics.model_copy(update=changes)

    def _opened(self) -> HttpCaller:
        if self._caller is None:
            # The HTTP libraries take 0.3 s to import, in vain wherever outside services are switched off.
            from include.enrichment.http import HttpCaller

            self._caller = HttpCaller(self._settings, self.service, self._metrics)
        return self._caller
