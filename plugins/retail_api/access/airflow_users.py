"""Callers identified as Airflow's own users: by HTTP Basic, Airflow's JWT or the web interface's session.

This module imports Airflow; only the API server loads it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
import secrets
import sqlite3
from typing import cast
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.configuration import conf
from anyio import CapacityLimiter, to_thread
from jwt import PyJWTError
from starlette.requests import HTTPConnection
from werkzeug.security import check_password_hash, generate_password_hash

from include.settings import Settings
from retail_api.access.airflow_database import LOOKUP_SECONDS, AirflowDatabase, AirflowDatabaseUnavailable
from retail_api.access.credential_cache import Account, CredentialCache, Verified
from retail_api.access.security import SAFE_METHODS, Caller, Method, address_of
from retail_api.access.throttle import LoginThrottle
from retail_api.domain.errors import Refused, Unavailable

log = logging.getLogger(__name__)

_MAX_HASHING = 64
"""Passwords that may wait to be hashed."""

_MAX_BYTES = 1024
"""Longest accepted user name or password, in bytes."""

_BROWSER_HEADERS = ("Sec-Fetch-Site", "Origin")
"""Headers that say where a request comes from; every browser sends one with a change."""


class AirflowUsers:
    """Authenticates callers as users of Airflow.

    Attributes:
        database: Airflow's database.
    """

    def __init__(self, settings: Settings) -> None:
        self.database = AirflowDatabase()
        self._seconds = settings.api_auth_seconds
        self._grace = settings.api_auth_grace_seconds
        self._cache = CredentialCache()
        self._throttle = LoginThrottle(
            settings.api / "logins.sqlite", settings.api_login_failures, settings.api_login_window_seconds
        )
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        # Hashing takes 70 ms of a core by design; that must not slow down those who are signed in.
        self._hashing = CapacityLimiter(max(1, (os.cpu_count() or 1) // 2))
        self._hash_of_nobody = generate_password_hash(secrets.token_hex())

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """Return who calls; an Authorization header comes before a session.

        Raises:
            Refused: If the caller does not prove to be a user, failed too often, or was sent by another site.
            Unavailable: If that cannot be checked now.
        """
        scheme, _, value = connection.headers.get("Authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                if any(name in connection.headers for name in _BROWSER_HEADERS):
                    _require_same_origin(connection)  # a browser also sends a password it knows by itself
                return await self._basic(value.strip(), connection)
            case "bearer":
                return await self._token(value.strip(), "jwt", connection)
            case "" if connection.cookies.get(COOKIE_NAME_JWT_TOKEN):
                _require_same_origin(connection)
                return await self._token(connection.cookies[COOKIE_NAME_JWT_TOKEN], "session", connection)
            case "":
                raise Refused("missing", "Sign in with an Airflow user: curl -u USER.")
        raise Refused("malformed", "The Authorization header has to be Basic or Bearer.")

    def close(self) -> None:
        """Stop asking."""
        self.database.close()

    async def _basic(self, value: str, connection: HTTPConnection) -> Caller:
        username, password = _credentials(value)
        # By address: from elsewhere the right password is one more guess, which the throttle has to see.
        key = self._cache.key("basic", username, password, address_of(connection))
        verified = self._fresh(key)
        if verified is None:
            # One of several requests with the same credentials verifies them, the others find them verified.
            async with self._locks.setdefault(key, asyncio.Lock()):
                verified = self._fresh(key) or await self._verify(key, username, password, connection)
        return self._caller(verified, "basic", connection)

    async def _verify(self, key: bytes, username: str, password: str, connection: HTTPConnection) -> Verified:
        earlier = self._cache.get(key)
        if earlier is not None:
            try:
                found = await self.database.find(username)
                if found is not None and found[1] == earlier.account.password_hash:
                    return self._cache.put(key, await self._account(*found))
            except AirflowDatabaseUnavailable:
                return self._usable(earlier)
            self._cache.drop(key)
        if self._hashing.statistics().tasks_waiting >= _MAX_HASHING:
            raise Unavailable("Too many sign in at once.")
        try:
            return await self._sign_in(key, username, password, address_of(connection))
        except sqlite3.Error as error:
            log.exception("Failed sign-ins cannot be counted, so nobody new is let in")
            raise Unavailable("Sign-ins cannot be checked at the moment.") from error

    async def _sign_in(self, key: bytes, username: str, password: str, address: str) -> Verified:
        attempt = await to_thread.run_sync(self._throttle.attempt, username, address)
        if attempt.wait_seconds:
            raise Refused(
                "throttled",
                f"Too many sign-ins have failed. Try again in {attempt.wait_seconds} seconds.",
                username=username,
                retry_seconds=attempt.wait_seconds,
            )
        try:
            found = await self.database.find(username)
            # A user who is not there takes as long as one who is.
            expected = (found and found[1]) or self._hash_of_nobody
            right = await to_thread.run_sync(check_password_hash, expected, password, limiter=self._hashing)
            if found is None or not found[1] or not right:
                raise Refused("wrong", "User or password is wrong.", username=username)
            account = await self._account(*found)
        except AirflowDatabaseUnavailable:
            await to_thread.run_sync(self._throttle.withdraw, attempt)
            raise _no_database() from None
        await to_thread.run_sync(self._throttle.succeeded, attempt)
        return self._cache.put(key, account)

    async def _token(self, token: str, method: Method, connection: HTTPConnection) -> Caller:
        try:
            claims = await get_auth_manager()._get_token_validator().avalidated_claims(token)
            user_id = int(claims["sub"])
        except (PyJWTError, KeyError, TypeError, ValueError):
            raise Refused("wrong", "The token is not valid, or no longer: get a new one.") from None
        key = self._cache.key("token", token)
        try:
            if await self.database.is_revoked(claims.get("jti")):
                self._cache.drop(key)
                raise Refused("wrong", "The token was revoked: get a new one.")
            verified = self._fresh(key) or self._cache.put(key, await self._account(user_id))
        except AirflowDatabaseUnavailable:
            verified = self._usable(self._cache.get(key))
        return self._caller(verified, method, connection)

    async def _account(self, user_id: int, password_hash: str = "") -> Account:
        """Return the account of an active user.

        Raises:
            AirflowDatabaseUnavailable: If Airflow's database does not answer.
            Refused: If there is no such user, or no longer.
        """
        account = await self.database.account(user_id, password_hash)
        if account is None:
            raise Refused("wrong", "The user is not there any more, or was deactivated.")
        return account

    def _fresh(self, key: bytes) -> Verified | None:
        """Return credentials that were verified so lately that they need no check; None if they were not."""
        verified = self._cache.get(key)
        return verified if verified is not None and verified.age() < self._seconds else None

    def _usable(self, verified: Verified | None) -> Verified:
        """Return credentials that were verified earlier, to go on with while Airflow's database is down.

        Raises:
            Unavailable: If there are none, or they were verified too long ago.
        """
        if verified is None or verified.age() >= self._seconds + self._grace:
            raise _no_database()
        return verified

    def _caller(self, verified: Verified, method: Method, connection: HTTPConnection) -> Caller:
        return Caller(
            username=verified.account.username,
            method=method,
            address=address_of(connection),
            can_read=verified.account.can_read,
            can_edit=verified.account.can_edit,
            user=verified.account.user,
            stale=verified.age() > self._seconds + LOOKUP_SECONDS,
        )


def token_of(caller: Caller, seconds: int = 60) -> str:
    """Return a JWT with which Airflow's own API takes a request as the caller's.

    Args:
        caller: Whom to act as.
        seconds: How long it is valid.
    """
    return cast("str", get_auth_manager().generate_jwt(caller.user, expiration_time_in_seconds=seconds))


def _credentials(value: str) -> tuple[str, str]:
    malformed = Refused("malformed", "The Authorization header is not what Basic needs: base64 of user:password.")
    try:
        plain = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise malformed from None
    try:
        decoded = plain.decode()
    except UnicodeDecodeError:
        decoded = plain.decode("latin-1")
    username, colon, password = decoded.partition(":")
    if not colon or not username or "\0" in decoded or max(len(username), len(password)) > _MAX_BYTES:
        raise malformed
    return username, password


def _require_same_origin(connection: HTTPConnection) -> None:
    """Refuse a change that another site made the browser of a signed-in user send.

    Raises:
        Refused: If nothing says that it comes from our own pages.
    """
    if connection.scope["method"] in SAFE_METHODS:
        return
    site = connection.headers.get("Sec-Fetch-Site")
    if site is not None:
        same = site == "same-origin"
    else:
        origin = connection.headers.get("Origin", "")
        own = {connection.headers.get("Host", ""), urlsplit(conf.get("api", "base_url", fallback="")).netloc}
        same = bool(origin) and urlsplit(origin).netloc in own - {""}
    if not same:
        raise Refused(
            "cross_site",
            "Changes by a browser, with its session or a password it knows, are taken from Airflow's own pages only. "
            "Use curl -u USER, or a token.",
        )


def _no_database() -> Unavailable:
    return Unavailable("Airflow's database does not answer, so your identity cannot be checked.")
