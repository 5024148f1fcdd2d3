"""Retries that are logged."""

from __future__ import annotations

import logging

import stamina
from stamina import retry_context
from stamina.instrumentation import RetryDetails

__all__ = ["retry_context"]

_log = logging.getLogger(__name__)


def _log_retry(details: RetryDetails) -> None:
    _log.warning("%s; asking again in %.1f s", details.caused_by, details.wait_for)


# The default hook prints to standard output where structlog is installed and not configured.
stamina.instrumentation.set_on_retry_hooks([_log_retry])
