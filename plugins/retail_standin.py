"""What answers at `/retail` when the API could not be made; it needs nothing but Starlette."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send


class StandIn:
    """Answers every request with a problem: 503."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; connections of another kind are refused."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1011, "reason": "The API could not be started."})
        elif scope["type"] == "http":
            body = {
                "type": "urn:retail-lakehouse:problem:service-unavailable",
                "title": "Service Unavailable",
                "status": 503,
                "detail": "The API could not be started; the log of Airflow's API server says why.",
                "instance": scope["path"],
            }
            headers = {"Retry-After": "60", "Cache-Control": "no-store"}
            await JSONResponse(body, 503, headers, "application/problem+json")(scope, receive, send)
