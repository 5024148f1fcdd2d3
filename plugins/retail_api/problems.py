"""Errors as problem details (RFC 9457) with their status, and the correlation id that ties an answer to its log lines.

This is the one place that gives an error its status.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.exceptions import HTTPException
from starlette.routing import Match

from include.failover import Answer
from include.search.entities import ProductUnknown, SearchRefused, SearchUnavailable
from include.warehouse import WarehouseUnavailable
from retail_api.domain.errors import (
    RETRY_SECONDS,
    AirflowFailed,
    AirflowRefused,
    ApiError,
    Conflict,
    Invalid,
    NotFound,
    Refused,
    StorageFull,
    TooBusy,
    TooLarge,
    Unavailable,
    UnsupportedFile,
)

log = logging.getLogger(__name__)

UNREADABLE_BODY = "There was an error parsing the body"
"""What the framework says of a JSON body that is not even text."""

MEDIA_TYPE = "application/problem+json"
CORRELATION_HEADER = "X-Correlation-Id"
STATUSES: dict[type[ApiError], int] = {
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    UnsupportedFile: 415,
    Invalid: 422,
    TooBusy: 429,
    AirflowFailed: 502,
    Unavailable: 503,
    StorageFull: 507,
}
REFUSALS = {"throttled": 429, "cross_site": 403, "forbidden": 403}
"""Why a caller is not let in -> status; 401 unless it is listed."""

CHALLENGE = {"WWW-Authenticate": 'Basic realm="Retail Lakehouse", charset="UTF-8"'}
"""Header of every 401."""

_SLUGS = {422: "invalid-request", 415: "unsupported-file"}
"""Status -> end of `type`; by default the words of the status."""

_TYPE = "urn:retail-lakehouse:problem:{}"
_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,64}")

correlation_id: ContextVar[str] = ContextVar("retail_correlation_id", default="")
"""Correlation id of the request in hand."""


class ProblemDetails(BaseModel):
    """Body of every error answer, as RFC 9457 has it.

    Attributes:
        type: What kind of problem it is; a stable name.
        title: The kind in words.
        status: HTTP status.
        detail: What is wrong with this request, and the remedy.
        instance: Path of the request.
        correlation_id: Id of this request in the log.
        errors: What is wrong with which part of the request.
    """

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=[_TYPE.format("not-found")])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no sale with this id."])
    instance: str = Field(examples=["/retail/api/v1/sales/0"])
    correlation_id: str = Field(examples=["6f9619ff8b86d011b42d00c04fc964ff"])
    errors: list[dict[str, str]] | None = None


def problem_response(
    status: int, detail: str, instance: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """Return problem details.

    Args:
        status: HTTP status.
        detail: What is wrong and what to do about it; shown to the caller, so it repeats no secret.
        instance: Path of the request.
        headers: Headers of the answer.
        members: Further members of the body.
    """
    phrase = HTTPStatus(status).phrase
    body = {
        "type": _TYPE.format(_SLUGS.get(status, phrase.lower().replace(" ", "-"))),
        "title": phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        "correlation_id": correlation_id.get(),
        **members,
    }
    return JSONResponse(jsonable_encoder(body), status, headers, MEDIA_TYPE)


def response_to(error: ApiError, instance: str) -> JSONResponse:
    """Return the answer to a request (its path is `instance`) that cannot be answered as asked."""
    status = status_of(error)
    headers = dict(CHALLENGE) if status == 401 else {}
    if error.side:
        headers |= Answer(None, error.side).headers
    if error.retry_seconds:
        headers["Retry-After"] = str(error.retry_seconds)
    return problem_response(status, error.detail, instance, headers=headers, **error.members)


def status_of(error: ApiError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, Refused):
        return REFUSALS.get(error.reason, 401)
    return error.status if isinstance(error, AirflowRefused) else STATUSES[type(error)]


def unexpected(error: BaseException, instance: str) -> JSONResponse:
    """Log an error that nobody expected and return the answer that says so, without what the error holds."""
    log.error("A request failed, correlation id %s", correlation_id.get(), exc_info=error)
    detail = f"Something went wrong here. The log has it under correlation id {correlation_id.get()}."
    return problem_response(500, detail, instance)


def chosen_correlation_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the request brings if it is a plain one (64 letters, digits, `._-`), otherwise a new one."""
    wanted = {CORRELATION_HEADER.lower().encode(), b"x-request-id"}
    for name, value in headers:
        if name in wanted and _CORRELATION.fullmatch(value.decode("latin-1")):
            return value.decode("latin-1")
    return uuid.uuid4().hex


def install(app: FastAPI) -> None:
    """Let the app answer every error with problem details."""

    @app.exception_handler(ApiError)
    async def expected(request: Request, error: ApiError) -> JSONResponse:
        request.scope.setdefault("state", {})["error"] = error
        return response_to(error, request.url.path)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        detail = str(error.detail)
        if error.status_code == 404 and detail == phrase:
            detail = "There is nothing at this path. /retail/docs lists what there is."
        headers = error.headers
        if error.status_code == 400 and detail == UNREADABLE_BODY:
            detail = "The body cannot be read. Send one JSON document in UTF-8 with Content-Type: application/json."
            return problem_response(422, detail, request.url.path)
        if error.status_code == 405:
            headers = {"Allow": _methods(app, request)}
            detail = f"This path takes {headers['Allow']}."
        return problem_response(error.status_code, detail, request.url.path, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [_named(entry) for entry in error.errors()]
        first = errors[0] if errors else {"parameter": "the request", "problem": "cannot be read"}
        more = f" {len(errors) - 1} more: see errors." if len(errors) > 1 else ""
        detail = f"{first['parameter']} ({first.get('in', 'request')}): {first['problem']}.{more}"
        return problem_response(422, detail, request.url.path, errors=errors)

    @app.exception_handler(WarehouseUnavailable)
    async def warehouse(request: Request, error: WarehouseUnavailable) -> JSONResponse:
        # The message names hosts and files, which a reader of sales has no need to know.
        log.warning("The warehouse does not answer, correlation id %s: %s", correlation_id.get(), error)
        detail = f"The warehouse does not answer. Try again in {RETRY_SECONDS} seconds; /retail/health says more."
        return response_to(Unavailable(detail), request.url.path)

    @app.exception_handler(PoolExhausted)
    async def busy(request: Request, error: PoolExhausted) -> JSONResponse:
        log.warning("All connections are in use, correlation id %s", correlation_id.get())
        detail = f"Other requests use all connections to the warehouse. Try again in {RETRY_SECONDS} seconds."
        return response_to(Unavailable(detail), request.url.path)

    @app.exception_handler(SearchRefused)
    async def search_refused(request: Request, error: SearchRefused) -> JSONResponse:
        return response_to(Invalid(str(error)), request.url.path)

    @app.exception_handler(ProductUnknown)
    async def unknown(request: Request, error: ProductUnknown) -> JSONResponse:
        return response_to(NotFound(str(error)), request.url.path)

    @app.exception_handler(SearchUnavailable)
    async def search(request: Request, error: SearchUnavailable) -> JSONResponse:
        log.warning("The search does not answer, correlation id %s: %s", correlation_id.get(), error)
        detail = f"The product search does not answer. Try again in {error.retry_after_seconds} seconds."
        return response_to(Unavailable(detail, error.retry_after_seconds), request.url.path)


def _methods(app: FastAPI, request: Request) -> str:
    """Return the methods that a path takes, of all its routes; the framework names those of the first."""
    routes = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))


def _named(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return which part of the request an error of Pydantic's is about, what is wrong, and a remedy if one is known."""
    place, *path = [str(part) for part in entry["loc"]] or ["request"]
    named = {"in": place, "parameter": ".".join(path) or place, "problem": str(entry["msg"]).rstrip(".")}
    remedy = _remedy(entry)
    return named | ({"remedy": remedy} if remedy else {})


def _remedy(entry: Mapping[str, Any]) -> str:
    kind, context = str(entry["type"]), entry.get("ctx", {})
    match kind:
        case "missing":
            return "Give it."
        case "extra_forbidden":
            return "Leave it out; /retail/docs lists what is taken."
        case "int_parsing" | "int_type" | "int_from_float":
            return "Give a whole number, such as 1."
        case "date_from_datetime_parsing" | "date_parsing" | "date_type" | "date_from_datetime_inexact":
            return "Give a day as YYYY-MM-DD, such as 2011-01-04."
        case "literal_error" | "enum":
            return f"Give {context.get('expected', 'one of the values listed in /retail/docs')}."
        case "json_invalid":
            return "Send one JSON document in UTF-8 with Content-Type: application/json."
        case _ if kind.startswith("uuid"):
            return "Give an id as an answer of this API shows it."
        case _:
            return ""
