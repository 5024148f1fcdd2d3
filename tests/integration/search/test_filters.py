"""No value of a filter lets a product through that is outside it: a thousand attempts on a real server."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings

from include.search.service import SearchService
from tests.support.attempts import ATTEMPTS, attempt


@settings(max_examples=1000, deadline=None)
@given(values=ATTEMPTS)
def test_nothing_outside_the_filter_is_found(service: SearchService, values: dict[str, Any]) -> None:
    attempt(service, values)
