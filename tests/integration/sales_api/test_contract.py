"""Requests that schemathesis derives from the OpenAPI description: answers are as described, and none is a failure.

Left out are the routes that hand on to Airflow and to the search, which are not here. Of a running system, all:

    schemathesis run http://127.0.0.1:8080/retail/openapi.json --origin http://127.0.0.1:8080 --auth USER:PASSWORD \
        --exclude-checks ignored_auth,positive_data_acceptance
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.support.sales import Side
from tests.support.waiting import PATIENCE_SECONDS

UNTOLD = [
    # The gate is asked by the tests of sign-in; here it believes everybody.
    ignored_auth,
    # OpenAPI cannot say that a file has to be a table, a cursor one that was given, or one parameter excludes another.
    positive_data_acceptance,
]


ELSEWHERE = r"/(search|runs|backfills)\b"


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_described(primary: Side, subtests: pytest.Subtests, mode: GenerationMode) -> None:
    api = schemathesis.openapi.from_asgi("/openapi.json", primary.app).exclude(path_regex=ELSEWHERE)
    operations = [found.ok() for found in api.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 30
    for operation in operations:

        @settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_described(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(excluded_checks=UNTOLD, timeout=PATIENCE_SECONDS)

        with subtests.test(operation.label):
            answers_as_described()
