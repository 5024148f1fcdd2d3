"""The gate that every request passes before anything is routed: pages, documents and unknown paths alike.

It lets in callers who have proven who they are and may read or, for methods that change something, edit. It is a
middleware rather than a dependency, so that no route can be forgotten. It also limits bodies, keeps the audit trail and
counts requests.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import get_args

from anyio import to_thread
from cachetools import TTLCache
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.warehouse import AuditEntry, Outcome
from retail_api.access.security import EDIT, READ, SAFE_METHODS, Authenticate, Caller, address_of
from retail_api.domain.errors import ApiError, Reason, Refused, TooLarge, Unavailable
from retail_api.metrics import UNMATCHED
from retail_api.problems import CORRELATION_HEADER, chosen_correlation_id, correlation_id, response_to, unexpected
from retail_api.resources import Resources

log = logging.getLogger(__name__)

HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
"""Headers of every answer that does not set them itself."""

UPLOADS = "/api/v1/files"
"""Below this path a body may be as large as an upload."""

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

REPEATED_SECONDS = 60.0
"""Refusals that cost a caller nothing are audited once in so long by each worker; the next entry counts the others."""

FORGOTTEN_SECONDS = 600.0
"""After how long without a refusal those of a caller are forgotten."""

MAX_REPEATED = 4096
"""Callers whose refusals are counted apart; those of further ones are entered as if they were of one."""


class Gate:
    """The middleware."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate, resources: Resources) -> None:
        self.app = app
        self.authenticate = authenticate
        self.resources = resources
        self._repeated: TTLCache[tuple[str, str, str], tuple[float, int]] = TTLCache(
            MAX_REPEATED + len(get_args(Reason)), FORGOTTEN_SECONDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; connections of another kind are refused."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no websockets here."})
        else:
            chosen = chosen_correlation_id(scope["headers"])
            token = correlation_id.set(chosen)
            try:
                await _GatedRequest(self, scope, receive, send, chosen).answer()
            finally:
                correlation_id.reset(token)

    def unaudited(self, refused: Refused, address: str) -> int | None:
        """Return how many such refusals went unaudited lately; None if this one does, too."""
        now, key = time.monotonic(), (refused.reason, _proven_name(refused), address)
        if key not in self._repeated and len(self._repeated) >= MAX_REPEATED:
            key = (refused.reason, "", "")
        since, count = self._repeated.get(key, (-REPEATED_SECONDS, 0))
        audited = now - since >= REPEATED_SECONDS
        self._repeated[key] = (now, 0) if audited else (since, count + 1)
        return count if audited else None


class _GatedRequest:
    """One request on its way through the gate."""

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send, chosen: str) -> None:
        self.gate, self.scope, self.receive, self.send = gate, scope, receive, send
        self.correlation_id = chosen
        self.connection = HTTPConnection(scope)
        self.method: str = scope["method"] if scope["method"] in METHODS else "OTHER"
        self.status: int | None = None
        self.limit = gate.resources.settings.api_body_bytes
        if _path(scope).startswith(UPLOADS):
            self.limit = gate.resources.settings.api_upload_bytes
        self.received = 0
        self.mounted_at = scope.get("route")

    async def answer(self) -> None:
        """Answer the request."""
        metrics, started = self.gate.resources.metrics, time.perf_counter()
        metrics.begun()
        entry: AuditEntry | None = None
        try:
            caller = await self._admit()
            if self.scope["method"] not in SAFE_METHODS:
                entry = await self._begin(caller)
            await self.gate.app(self.scope, self._receive, self._send)
            refused = self.scope["state"].get("error")
            if isinstance(refused, Refused):
                entry = self._refuse(refused, entry)
        except ApiError as error:
            if isinstance(error, Refused):
                entry = self._refuse(error, entry)
            await self._respond(response_to(error, self.scope["path"]))
        except ClientDisconnect:
            log.info("The client left before its request was answered")
        except Exception as error:
            if self.status is not None:
                raise
            await self._respond(unexpected(error, self.scope["path"]))
        finally:
            metrics.answered(self.method, self._route(), self.status or 499, time.perf_counter() - started)
            metrics.pool(*self.gate.resources.connections())
            if entry is not None:
                await self._finish(entry)

    async def _admit(self) -> Caller:
        """Return who calls and may do so, and hand them on to the routes."""
        caller = await self.gate.authenticate(self.connection)
        caller.require(READ)
        if self.scope["method"] not in SAFE_METHODS:
            caller.require(EDIT)
            if caller.stale:
                raise Unavailable("Airflow's database does not answer, so nothing can be changed at the moment.")
        self.scope.setdefault("state", {})["caller"] = caller
        length = self.connection.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > self.limit:
            raise self._too_large()
        return caller

    async def _begin(self, caller: Caller) -> AuditEntry:
        """Keep what is going to be changed, before it is."""
        entry = self._entry(caller.username, caller.method)
        try:
            await to_thread.run_sync(self.gate.resources.audit.begin, entry)
        except sqlite3.Error as error:
            log.exception("The audit trail cannot be written, so nothing is changed")
            raise Unavailable("The change cannot be recorded, so it was not made.") from error
        return entry

    def _refuse(self, refused: Refused, begun: AuditEntry | None) -> AuditEntry | None:
        """Return the audit entry of a caller who is not let in, if there is to be one."""
        self.gate.resources.metrics.refused(refused.reason)
        entry = begun or self._entry(_proven_name(refused), "")
        entry.reason = refused.reason
        changes = self.scope["method"] not in SAFE_METHODS
        if begun or (refused.reason == "wrong" and refused.username) or (refused.reason == "forbidden" and changes):
            return entry
        if refused.reason == "missing":
            return None  # nothing was claimed
        unaudited = self.gate.unaudited(refused, address_of(self.connection))
        if unaudited:
            entry.details = {"unaudited_before": unaudited}
        return None if unaudited is None else entry

    async def _finish(self, entry: AuditEntry) -> None:
        entry.status, entry.outcome = self.status, _outcome(self.status)
        entry.action = f"{self.method} {self._route()}"
        entry.details |= AuditEntry.model_validate(
            entry.model_dump() | {"details": self.scope.get("state", {}).get("audit_details", {})}
        ).details
        try:
            await to_thread.run_sync(self.gate.resources.audit.finish, entry)
        except sqlite3.Error:
            log.exception("An entry of the audit trail is in this log alone")

    def _entry(self, username: str, method: str) -> AuditEntry:
        raw = self.scope.get("raw_path") or self.scope["path"].encode()
        query = self.scope.get("query_string", b"")
        return AuditEntry(
            username=username,
            method=method,
            address=address_of(self.connection),
            action=f"{self.method} {self._route()}",
            target=(raw + (b"?" + query if query else b"")).decode("latin-1"),
            correlation_id=self.correlation_id,
        )

    def _route(self) -> str:
        """Return the template of the path, as far as the request got."""
        route = self.scope.get("route")
        return UNMATCHED if route is self.mounted_at else getattr(route, "path", UNMATCHED)

    async def _receive(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            if self.received > self.limit:
                # Of the kind that the framework hands on while it reads a body.
                raise HTTPException(413, self._too_large().detail)
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[CORRELATION_HEADER] = self.correlation_id
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self.send(message)

    async def _respond(self, response: Response) -> None:
        await response(self.scope, self.receive, self._send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A body here has {self.limit:,} bytes at most.")


def _proven_name(refused: Refused) -> str:
    """Return the name to enter: none for a throttled caller, who could give another one each time."""
    return "" if refused.reason == "throttled" else refused.username


def _path(scope: Scope) -> str:
    """Return the path below where the app is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _outcome(status: int | None) -> Outcome:
    if status is None:
        return "unknown"
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 else "done"
