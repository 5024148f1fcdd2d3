"""The examples of the OpenAPI description, executed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.batches import batch
from tests.support.sales import LINES, Side

PLACES = {"sale_id": str(LINES[0].sale_id), "batch_id": batch(1)}
PATHS_OF_FILES = ("{name}", "{run_id}", "/files/landing")


def example(parameter: dict[str, Any]) -> Any:
    schema = parameter["schema"]
    found = schema.get("examples") or [
        value for choice in schema.get("anyOf", []) for value in choice.get("examples", [])
    ]
    return found[0] if found else schema.get("default")


def described(side: Side) -> dict[str, Any]:
    document: dict[str, Any] = side.app.openapi()
    return {path: operations for path, operations in document["paths"].items() if path.startswith("/api/v1")}


def test_every_read_answers_its_examples(side: Side) -> None:
    asked = 0
    for path, operations in described(side).items():
        if "get" not in operations or any(place in path for place in PATHS_OF_FILES) or "/runs" in path + "s":
            continue
        if path.endswith("backfills") or "/search/" in path:  # another server's to answer
            continue
        parameters = [entry for entry in operations["get"].get("parameters", []) if entry["in"] == "query"]
        for entry in parameters:
            value = example(entry)
            if value is None:
                continue
            answer = side.client.get(path.format(**PLACES), params={entry["name"]: value})
            assert answer.status_code == 200, (path, entry["name"], answer.text)
            asked += 1
        assert side.client.get(path.format(**PLACES)).status_code == 200
    assert asked > 40


def test_each_operation_has_its_own_name_and_says_what_it_does(primary: Side) -> None:
    names = []
    for path, operations in described(primary).items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["summary"], path
    assert len(names) == len(set(names))


def test_money_is_described_as_text(primary: Side) -> None:
    schema = primary.app.openapi()["components"]["schemas"]["Sale"]["properties"]["total"]
    assert (schema["type"], schema["examples"]) == ("string", ["15.3000"])


@pytest.mark.parametrize(
    "path", ["sales", "batches", "aggregates/daily", "warehouse/config", "batches/20261124T000001-00000001"]
)
def test_a_parameter_that_is_not_described_is_refused(side: Side, path: str) -> None:
    assert side.client.get(f"/api/v1/{path}?nonsense=1").status_code == 422
