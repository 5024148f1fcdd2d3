"""The OpenAPI description, and holding requests to it: a query parameter that it does not name is refused."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi

from retail_api.problems import CORRELATION_HEADER, MEDIA_TYPE, ProblemDetails

TITLE = "Retail Lakehouse"
VERSION = "1.0.0"
ABOUT = """Sales, batches and files of the retail lakehouse, and how it is doing.

Every request needs a user of Airflow: HTTP Basic, a token of `/auth/token`, or the session of the web interface.
Reading needs the permission *can read on Retail API*, changing *can edit on Retail API*. Errors are problem details
(RFC 9457). Answers from the warehouse say in `X-Warehouse` which side gave them.
"""

PROBLEMS = {
    401: "Nobody, or not a user of Airflow",
    403: "A user without the permission, or a change sent by another site",
    422: "A parameter or body that is not as described here",
    429: "Too many failed sign-ins; Retry-After says when to try again",
    500: "Something unexpected; the log has it under the correlation id",
    503: "The warehouse, or Airflow's database, does not answer; Retry-After says when to try again",
}
"""Status -> when it is answered, on any route."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
    for status, meaning in PROBLEMS.items()
}

SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "User and password of Airflow"},
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Token of /auth/token"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "_token",
        "description": "Session of Airflow's web interface; changes from its own pages only",
    },
}


def install(app: FastAPI) -> None:
    """Let the app describe itself so."""
    making = threading.Lock()

    def describe() -> dict[str, Any]:
        document = get_openapi(title=TITLE, version=VERSION, description=ABOUT, routes=app.routes)
        components = document.setdefault("components", {})
        components["securitySchemes"] = SCHEMES
        schema = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        components.setdefault("schemas", {})["ProblemDetails"] = schema
        document["security"] = [{name: []} for name in SCHEMES]
        for operation in _operations(document):
            for response in operation["responses"].values():
                header = {"description": "Id of this request in the log", "schema": {"type": "string"}}
                response.setdefault("headers", {})[CORRELATION_HEADER] = header
        return document

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            with making:  # first requests come side by side, and making it twice at once fails
                if app.openapi_schema is None:
                    app.openapi_schema = describe()
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document.get("paths", {}).values() for operation in path.values()]


def known_parameters_only(request: Request) -> None:
    """Refuse query parameters that the route does not have, and single ones that come twice.

    Raises:
        RequestValidationError: Naming each.
    """
    if not request.query_params:
        return
    known = _parameters(request)
    given: dict[str, int] = {}
    for name, _ in request.query_params.multi_items():
        given[name] = given.get(name, 0) + 1
    errors = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "There is no such parameter", "input": None}
        for name in given
        if name not in known
    ] + [
        {"type": "value_error", "loc": ("query", name), "msg": "Given more than once; give it once", "input": None}
        for name, times in given.items()
        if times > 1 and known.get(name) is False
    ]
    if errors:
        raise RequestValidationError(errors)


def _parameters(request: Request) -> dict[str, bool]:
    """Return the names of the route's query parameters, and whether each may come several times."""
    path = getattr(request.scope.get("route"), "path_format", "")
    operation = request.app.openapi()["paths"].get(path, {}).get(request.method.lower(), {})
    return {
        parameter["name"]: _is_list(parameter["schema"])
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }


def _is_list(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "array" or any(_is_list(choice) for choice in schema.get("anyOf", []))
