"""Who calls the API, without Airflow's users."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from retail_api.access.security import Caller
from retail_api.domain.errors import Refused


async def by_header(connection: HTTPConnection) -> Caller:
    """Take a caller's word for it: `X-Test-Caller` is `editor`, `reader`, `stale` or `nobody`."""
    who = connection.headers.get("X-Test-Caller")
    if who is None:
        raise Refused("missing", "Say who you are.")
    return Caller(
        username=who,
        method="basic",
        address="127.0.0.1",
        can_read=who != "nobody",
        can_edit=who in {"editor", "stale"},
        stale=who == "stale",
    )


async def believed(connection: HTTPConnection) -> Caller:
    """Let anybody read and change."""
    return Caller(username="tester", method="basic", address="127.0.0.1", can_read=True, can_edit=True)
