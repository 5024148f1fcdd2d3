"""The description of the API (`/openapi.json`), and the page that shows it (`/docs`) and loads nothing from outside."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from retail_api.access.security import Reader

router = APIRouter(include_in_schema=False)

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Retail Lakehouse API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});"""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'self'"
    )
}
_FILES = {
    "swagger-ui-bundle.js": ("js/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("css/swagger/swagger-ui.css", "text/css"),
}


@router.get("/openapi.json")
def description(caller: Reader, request: Request) -> JSONResponse:
    """Return the OpenAPI description."""
    document: dict[str, Any] = request.app.openapi()
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return JSONResponse(document | {"servers": [{"url": root or "/"}]}, headers={"Cache-Control": "private, no-cache"})


@router.get("/docs")
def page(caller: Reader) -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(PAGE, headers=HEADERS)


@router.get("/docs/start.js")
def start(caller: Reader) -> Response:
    """Return what starts the page."""
    return Response(START, media_type="text/javascript")


@router.get("/docs/swagger-ui-bundle.js")
@router.get("/docs/swagger-ui.css")
def asset(caller: Reader, request: Request) -> FileResponse:
    """Return a file of Swagger UI, of which Airflow's user management brings a copy."""
    name, media_type = _FILES[request.url.path.rsplit("/", 1)[-1]]
    return FileResponse(_assets() / name, media_type=media_type, headers={"Cache-Control": "private, max-age=86400"})


@cache
def _assets() -> Path:
    spec = find_spec("flask_appbuilder")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("flask_appbuilder, which brings Swagger UI, is not installed.")
    return Path(spec.origin).parent / "static" / "appbuilder"
