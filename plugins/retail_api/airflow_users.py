"""Proofs of identity by Airflow's own users: HTTP Basic, Airflow's JWT, the web interface's session.

This module imports Airflow; only the API server loads it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.providers.fab.auth_manager.models import User
from airflow.utils.session import create_session
from jwt import InvalidTokenError
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from werkzeug.security import check_password_hash

from include.settings import Settings
from retail_api.problems import Problem
from retail_api.security import CHALLENGE, EDIT, READ, RESOURCE, Caller, Method


class AirflowUsers:
    """Authenticates callers as users of Airflow."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """Return who calls; an Authorization header comes before a session."""
        scheme, _, value = connection.headers.get("Authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                return await run_in_threadpool(self._basic, value, connection)
            case "bearer":
                return await self._token(value.strip(), "jwt", connection)
            case "" if COOKIE_NAME_JWT_TOKEN in connection.cookies:
                return await self._token(connection.cookies[COOKIE_NAME_JWT_TOKEN], "session", connection)
        raise _refused("Sign in with an Airflow user: curl -u USER.")

    def _basic(self, value: str, connection: HTTPConnection) -> Caller:
        try:
            username, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise _refused("The Authorization header cannot be read.") from None
        with create_session(scoped=False) as session:
            user = session.scalars(select(User).where(func.lower(User.username) == func.lower(username))).one_or_none()
        if user is None or not user.is_active or not check_password_hash(user.password or "", password):
            raise _refused("User or password is wrong.")
        return _caller(user, "basic", connection)

    async def _token(self, token: str, method: Method, connection: HTTPConnection) -> Caller:
        try:
            user = await get_auth_manager().get_user_from_token(token)
        except InvalidTokenError:
            raise _refused("The token is not valid, or no longer.") from None
        return _caller(user, method, connection)


def _caller(user: Any, method: Method, connection: HTTPConnection) -> Caller:
    manager = get_auth_manager()
    return Caller(
        username=user.get_name(),
        method=method,
        address=connection.client.host if connection.client else "",
        can_read=manager.is_authorized_custom_view(method=READ, resource_name=RESOURCE, user=user),
        can_edit=manager.is_authorized_custom_view(method=EDIT, resource_name=RESOURCE, user=user),
        user=user,
    )


def token_of(caller: Caller, seconds: int = 60) -> str:
    """Return a JWT with which Airflow's own API takes a request for the caller's.

    Args:
        caller: Whom to act as.
        seconds: How long it is valid.
    """
    token: str = get_auth_manager().generate_jwt(caller.user, expiration_time_in_seconds=seconds)
    return token


def _refused(detail: str) -> Problem:
    return Problem(401, detail, headers=CHALLENGE)
