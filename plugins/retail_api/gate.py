"""The gate that every request passes before anything is routed: pages, documents and unknown paths alike.

It lets nobody in who has not proven who they are, or who may not read; or, for methods that change something, not edit.
It is a middleware rather than a dependency, so that no route can be forgotten.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retail_api.problems import CORRELATION_HEADER, Problem, chosen_correlation_id, correlation_id, unexpected
from retail_api.security import EDIT, READ, SAFE_METHODS, Authenticate

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
"""Headers of every answer that does not set them itself."""


class Gate:
    """Middleware: correlation id, authentication, permission, and an answer to errors that nobody expected."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self.app = app
        self.authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; connections of another kind are refused."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no websockets here."})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = chosen_correlation_id(scope["headers"])
        token = correlation_id.set(chosen)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[CORRELATION_HEADER] = chosen
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._admit(scope)
            await self.app(scope, receive, answer)
        except Problem as problem:
            await problem.response(Request(scope).url.path)(scope, receive, answer)
        except Exception as error:
            problem = unexpected(error)
            if started:
                raise
            await problem.response(Request(scope).url.path)(scope, receive, answer)
        finally:
            correlation_id.reset(token)

    async def _admit(self, scope: Scope) -> None:
        caller = await self.authenticate(HTTPConnection(scope))
        scope.setdefault("state", {})["caller"] = caller
        caller.require(READ)
        if scope["method"] not in SAFE_METHODS:
            caller.require(EDIT)
