"""The plugin that adds the project's pages to Airflow's API server and web interface."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)

# Airflow may be served below a path of its own.
MOUNTED_AT = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/") + "/retail"

Message = MutableMapping[str, Any]


class RetailPlugin(AirflowPlugin):
    """Mounts the app at `/retail` and shows its pages where they belong in the web interface."""

    name = "retail"
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Quality",
            "href": MOUNTED_AT + "/quality/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "retail-quality",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:
        """The app; built only in the API server, the one component that asks for it.

        An error in it must not stop Airflow: an app that says 503 takes its place.
        """
        app: Any
        try:
            from retail_api.app import create_app

            app = create_app()
        except Exception:
            log.exception("The API at /retail cannot be made; it answers 503 until the API server is restarted")
            app = unavailable
        return [{"app": app, "url_prefix": "/retail", "name": "retail"}]


async def unavailable(scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
    """Answer every request with a problem, 503; an ASGI app that needs nothing but the standard library."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011, "reason": "The API could not be started."})
    elif scope["type"] == "http":
        problem = {
            "type": "urn:retail-lakehouse:problem:service-unavailable",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "The API could not be started; the log of Airflow's API server says why.",
            "instance": scope["path"],
        }
        body = json.dumps(problem).encode()
        headers = {
            b"content-type": b"application/problem+json",
            b"content-length": str(len(body)).encode(),
            b"retry-after": b"60",
            b"cache-control": b"no-store",
        }
        await send({"type": "http.response.start", "status": 503, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": body})
