"""Who calls, and what the caller may do.

Every request passes the gate (`gate.py`), which knows its caller before anything is routed and refuses who may not read
or, for methods that change something, not edit. Routes take `Reader` or `Editor` to be handed the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import ConfigDict, Field
from starlette.requests import HTTPConnection

from include.domain.model import Model
from retail_api.domain.errors import Refused

RESOURCE = "Retail API"
"""Name of the resource in Airflow's permissions."""

READ, EDIT = "can_read", "can_edit"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, for which `can_read` is enough."""

Method = Literal["basic", "jwt", "session"]


class Caller(Model):
    """A caller who has proven who they are.

    Attributes:
        username: Name of the user in Airflow.
        method: How they have proven it: HTTP Basic, Airflow's JWT, or the web interface's session.
        address: Where the request came from.
        can_read: Whether they may read.
        can_edit: Whether they may change.
        user: The auth manager's user, to act as; see `airflow_users.token_of`.
        stale: Whether Airflow's database did not answer, so that an earlier check had to do.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    username: str
    method: Method
    address: str = ""
    can_read: bool = False
    can_edit: bool = False
    user: Any = Field(default=None, exclude=True, repr=False)
    stale: bool = False

    def require(self, permission: str) -> None:
        """Raise unless the caller has `can_read` or `can_edit`.

        Raises:
            Refused: Naming the permission.
        """
        if not (self.can_edit if permission == EDIT else self.can_read):
            raise Refused(
                "forbidden",
                f'This needs the permission "{permission} on {RESOURCE}", which user {self.username} does not have. '
                "An administrator gives it to a role under Security > Roles.",
                username=self.username,
            )


Authenticate = Callable[[HTTPConnection], Awaitable[Caller]]
"""Returns who calls; raises `Refused` if that is not proven, `Unavailable` if it cannot be checked."""


def address_of(connection: HTTPConnection) -> str:
    """Return where a request came from: the peer, or what a trusted proxy says if Airflow runs with --proxy-headers."""
    return connection.client.host if connection.client else ""


def current_caller(request: HTTPConnection) -> Caller:
    """Return the caller that the gate has let in.

    Raises:
        Refused: If no gate was passed, so that a route outside of it is closed.
    """
    caller = request.scope.get("state", {}).get("caller")
    if not isinstance(caller, Caller):
        raise Refused("missing", "Sign in with an Airflow user: curl -u USER.")
    return caller


def _reader(caller: Annotated[Caller, Depends(current_caller)]) -> Caller:
    caller.require(READ)
    return caller


def _editor(caller: Annotated[Caller, Depends(current_caller)]) -> Caller:
    caller.require(EDIT)
    return caller


Reader = Annotated[Caller, Depends(_reader)]
"""The caller, who may read; others are refused."""

Editor = Annotated[Caller, Depends(_editor)]
"""The caller, who may change; others are refused."""
