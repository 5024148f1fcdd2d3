"""Answers of the API: JSON that says which side of the warehouse gave it and that clients need not fetch twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from include.failover import Answer
from retail_api.problems import MEDIA_TYPE

REVALIDATE = "private, no-cache"
"""A client may keep the answer, and asks each time whether it still holds."""


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of error answers of a route, besides those that any route may give."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {status: {"description": _WHY[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def answered(request: Request, answer: Answer[Any]) -> Response:
    """Return what a side of the warehouse has answered; 304 if the client has it already."""
    return document(request, answer.value, headers=answer.headers)


def document(request: Request, content: BaseModel, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document; 304 if the client has it already.

    The ETag is a hash of the content, so it holds on both sides of the warehouse and after repairs.
    """
    body = content.model_dump_json().encode()
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    said = {"ETag": tag, "Cache-Control": REVALIDATE, "Vary": "Authorization, Cookie", **(headers or {})}
    if _has(request.headers.get("If-None-Match", ""), tag):
        return Response(status_code=304, headers=said)
    return Response(body, headers=said, media_type="application/json")


def _has(header: str, tag: str) -> bool:
    known = {entry.strip().removeprefix("W/") for entry in header.split(",")}
    return tag in known or "*" in known


_WHY = {
    400: "Airflow cannot do that",
    404: "There is no such thing",
    409: "It is in the way of what is there",
    413: "Too large",
    415: "Not a kind of file that can be loaded",
    429: "Too many at once; see Retry-After",
    502: "Airflow did not do as asked",
    507: "The disk is nearly full",
}
