"""Proofs of identity by Airflow's own users: HTTP Basic, Airflow's JWT, the web interface's session.

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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.configuration import conf
from airflow.models.revoked_token import RevokedToken
from airflow.providers.fab.auth_manager.models import User
from airflow.utils.session import create_session
from anyio import CapacityLimiter, to_thread
from jwt import PyJWTError
from sqlalchemy import case, func, or_, select, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from starlette.requests import HTTPConnection
from werkzeug.security import check_password_hash, generate_password_hash

from include.settings import Settings
from retail_api.problems import Problem, unavailable
from retail_api.proofs import Account, Proof, Proofs
from retail_api.security import (
    EDIT,
    READ,
    RESOURCE,
    SAFE_METHODS,
    Caller,
    Method,
    Refused,
    address_of,
)
from retail_api.throttle import LoginThrottle

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

LOOKUP_SECONDS = 0.7
"""How long Airflow's database may take to tell of a user; with health's checks it has to be within two seconds."""

RETRY_SECONDS = 5.0
"""How long it is left alone after it did not answer."""

_THREADS = 4
_WAITING = 256
"""So many questions to Airflow's database may be under way; more are refused, as it has fallen silent."""

_MOST_HASHING = 64
"""So many passwords may wait for their turn to be looked at."""

_MOST_BYTES = 1024
"""A longer user name or password is nobody's."""


_BROWSERS_SAY = ("Sec-Fetch-Site", "Origin")
"""Headers that tell where a request comes from; every browser sends one with a change."""


class MetadataUnavailable(Exception):
    """Airflow's database does not answer."""


class Metadata:
    """Questions to Airflow's database, each in bounded time.

    They run on threads of their own: the driver would wait for a stopped server for ever, and the event loop with it.
    """

    def __init__(self) -> None:
        self._executor = self._threads()
        self._under_way = 0
        self._retry_at = 0.0

    async def ask(self, question: Callable[[], ResultT], seconds: float = LOOKUP_SECONDS) -> ResultT:
        """Return the answer.

        Raises:
            MetadataUnavailable: If none comes in time, or none came lately.
        """
        if time.monotonic() < self._retry_at or self._under_way >= _WAITING:
            raise MetadataUnavailable
        self._under_way += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, question)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except (TimeoutError, OperationalError, InterfaceError, PoolExhausted) as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if not future.done():
                # Its thread may wait for hours on a connection whose other end is gone.
                self._executor.shutdown(wait=False)
                self._executor = self._threads()
            log.warning("Airflow's database does not answer: %s", type(error).__name__)
            raise MetadataUnavailable from error

    @staticmethod
    def _threads() -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS, thread_name_prefix="retail-metadata")

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()  # whoever waited has seen it, or has stopped waiting

    async def ping(self) -> bool:
        """Return whether it answers within a second; False without asking if it did not lately."""
        try:
            await self.ask(_ping)
        except MetadataUnavailable:
            return False
        return True

    def close(self) -> None:
        """Stop without waiting for answers."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class AirflowUsers:
    """Authenticates callers as users of Airflow.

    Attributes:
        metadata: Airflow's database.
    """

    def __init__(self, settings: Settings) -> None:
        self.metadata = Metadata()
        self._seconds = settings.api_auth_seconds
        self._grace = settings.api_auth_grace_seconds
        self._proofs = Proofs()
        self._throttle = LoginThrottle(
            settings.api / "logins.sqlite", settings.api_login_failures, settings.api_login_window_seconds
        )
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        # Hashing takes 70 ms of a core by design; that is not to slow down those who are signed in.
        self._hashing = CapacityLimiter(max(1, (os.cpu_count() or 1) // 2))
        self._nobodys_hash = generate_password_hash(secrets.token_hex())

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """Return who calls; an Authorization header comes before a session."""
        scheme, _, value = connection.headers.get("Authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                if any(name in connection.headers for name in _BROWSERS_SAY):
                    _require_same_origin(connection)  # a browser sends a password that it knows by itself, too
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
        self.metadata.close()

    async def _basic(self, value: str, connection: HTTPConnection) -> Caller:
        username, password = _credentials(value)
        # Of an address: elsewhere the right password is one more guess, which the throttle has to see.
        name = self._proofs.name("basic", username, password, address_of(connection))
        proof = self._proofs.get(name)
        if proof is None or proof.age() >= self._seconds:
            # One of several requests with the same credentials verifies them, the others find them verified.
            async with self._lock(name):
                proof = self._proofs.get(name)
                if proof is None or proof.age() >= self._seconds:
                    proof = await self._verify(name, proof, username, password, connection)
        return self._caller(proof, "basic", connection)

    async def _verify(
        self, name: bytes, proof: Proof | None, username: str, password: str, connection: HTTPConnection
    ) -> Proof:
        if proof is not None:
            try:
                found = await self.metadata.ask(lambda: _find(username))
                if found is not None and found[1] == proof.account.password_hash:
                    return self._proofs.put(name, await self._account(*found))
            except MetadataUnavailable:
                return self._earlier(proof)
            self._proofs.drop(name)
        if self._hashing.statistics().tasks_waiting >= _MOST_HASHING:
            raise unavailable("Too many sign in at once.")
        try:
            return await self._sign_in(name, username, password, address_of(connection))
        except sqlite3.Error as error:
            log.exception("Failed sign-ins cannot be counted, so nobody new is let in")
            raise unavailable("Sign-ins cannot be checked at the moment.") from error

    async def _sign_in(self, name: bytes, username: str, password: str, address: str) -> Proof:
        attempt = await to_thread.run_sync(self._throttle.attempt, username, address)
        if attempt.wait_seconds:
            raise Refused(
                "throttled",
                f"Too many sign-ins have failed. Try again in {attempt.wait_seconds} seconds.",
                username=username,
                retry_seconds=attempt.wait_seconds,
            )
        try:
            found = await self.metadata.ask(lambda: _find(username))
            # A user who is not there takes as long as one who is.
            expected = (found and found[1]) or self._nobodys_hash
            right = await to_thread.run_sync(check_password_hash, expected, password, limiter=self._hashing)
            if found is None or not found[1] or not right:
                raise Refused("wrong", "User or password is wrong.", username=username)
            account = await self._account(*found)
        except MetadataUnavailable:
            await to_thread.run_sync(self._throttle.withdraw, attempt)
            raise _no_metadata() from None
        await to_thread.run_sync(self._throttle.succeeded, attempt)
        return self._proofs.put(name, account)

    async def _token(self, token: str, method: Method, connection: HTTPConnection) -> Caller:
        try:
            claims = await get_auth_manager()._get_token_validator().avalidated_claims(token)
            number = int(claims["sub"])
        except (PyJWTError, KeyError, TypeError, ValueError):
            raise Refused("wrong", "The token is not valid, or no longer: get a new one.") from None
        name = self._proofs.name("token", token)
        try:
            if await self.metadata.ask(lambda: bool(claims.get("jti")) and RevokedToken.is_revoked(claims["jti"])):
                self._proofs.drop(name)
                raise Refused("wrong", "The token was revoked: get a new one.")
            proof = self._proofs.get(name)
            if proof is None or proof.age() >= self._seconds:
                proof = self._proofs.put(name, await self._account(number))
        except MetadataUnavailable:
            proof = self._earlier(self._proofs.get(name))
        return self._caller(proof, method, connection)

    async def _account(self, number: int, password_hash: str = "") -> Account:
        """Return the account of an active user.

        Raises:
            MetadataUnavailable: If Airflow's database does not answer.
            Refused: If there is no such user, or no longer.
        """
        account = await self.metadata.ask(lambda: _account(number, password_hash))
        if account is None:
            raise Refused("wrong", "The user is not there any more, or was deactivated.")
        return account

    def _earlier(self, proof: Proof | None) -> Proof:
        """Return a proof to go on with while Airflow's database is away.

        Raises:
            Problem: 503 if there is none, or it is too old.
        """
        if proof is None or proof.age() >= self._seconds + self._grace:
            raise _no_metadata()
        return proof

    def _lock(self, name: bytes) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _caller(self, proof: Proof, method: Method, connection: HTTPConnection) -> Caller:
        return Caller(
            username=proof.account.username,
            method=method,
            address=address_of(connection),
            can_read=proof.account.can_read,
            can_edit=proof.account.can_edit,
            user=proof.account.user,
            stale=proof.age() > self._seconds + LOOKUP_SECONDS,
        )


def token_of(caller: Caller, seconds: int = 60) -> str:
    """Return a JWT with which Airflow's own API takes a request for the caller's.

    Args:
        caller: Whom to act as.
        seconds: How long it is valid.
    """
    return cast("str", get_auth_manager().generate_jwt(caller.user, expiration_time_in_seconds=seconds))


def _credentials(value: str) -> tuple[str, str]:
    try:
        plain = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            "malformed", "The Authorization header is not what Basic needs: base64 of user:password."
        ) from None
    try:
        decoded = plain.decode()
    except UnicodeDecodeError:
        decoded = plain.decode("latin-1")
    username, colon, password = decoded.partition(":")
    if not colon or not username or "\0" in decoded or max(len(username), len(password)) > _MOST_BYTES:
        raise Refused("malformed", "The Authorization header is not what Basic needs: base64 of user:password.")
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


def _no_metadata() -> Problem:
    return unavailable("Airflow's database does not answer, so it cannot be told who you are.")


def _ping() -> None:
    with create_session(scoped=False) as session:
        session.execute(text("SELECT 1"))


def _find(username: str) -> tuple[int, str] | None:
    """Return id and password hash of an active user, by name or else e-mail address as Airflow's own sign-in does."""
    by_name = func.lower(User.username) == func.lower(username)
    query = (
        select(User.id, User.password)
        .where(or_(by_name, User.email == username), User.active.is_(True))
        .order_by(case((by_name, 0), else_=1))
        .limit(1)
    )
    with create_session(scoped=False) as session:
        row = session.execute(query).first()
    return (row.id, row.password or "") if row else None


def _account(number: int, password_hash: str) -> Account | None:
    """Return an active user with what they may do; None if there is none."""
    manager = get_auth_manager()
    with create_session(scoped=False) as session:
        user = session.scalars(select(User).where(User.id == number)).one_or_none()
        if user is None or not user.is_active:
            return None
        return Account(
            user=user,
            username=user.username,
            password_hash=password_hash,
            can_read=manager.is_authorized_custom_view(method=READ, resource_name=RESOURCE, user=user),
            can_edit=manager.is_authorized_custom_view(method=EDIT, resource_name=RESOURCE, user=user),
        )
