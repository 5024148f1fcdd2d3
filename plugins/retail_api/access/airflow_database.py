"""Questions about users to Airflow's own database, each answered in bounded time.

This module imports Airflow; only the API server loads it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from airflow.api_fastapi.app import get_auth_manager
from airflow.models.revoked_token import RevokedToken
from airflow.providers.fab.auth_manager.models import User
from airflow.utils.session import create_session
from sqlalchemy import case, func, or_, select, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from retail_api.access.credential_cache import Account
from retail_api.access.security import EDIT, READ, RESOURCE

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

LOOKUP_SECONDS = 0.7
"""Time limit of a question; with health's checks it has to be within two seconds."""

RETRY_SECONDS = 5.0
"""How long the database is left alone after it did not answer."""

_THREADS = 4
_MAX_UNDER_WAY = 256
"""Questions under way at a time; more are refused, as the database has fallen silent."""


class AirflowDatabaseUnavailable(Exception):
    """Airflow's database does not answer."""


class AirflowDatabase:
    """Airflow's database. Every question but `ping` raises `AirflowDatabaseUnavailable` if no answer comes in time.

    Questions run on threads of their own: the driver would wait for a stopped server for ever, and the event loop with
    it.
    """

    def __init__(self) -> None:
        self._executor = self._threads()
        self._under_way = 0
        self._retry_at = 0.0

    async def find(self, username: str) -> tuple[int, str] | None:
        """Return id and password hash of an active user, by name or else e-mail address as Airflow's sign-in does."""
        return await self._ask(lambda: _find(username))

    async def account(self, user_id: int, password_hash: str = "") -> Account | None:
        """Return an active user with what they may do; None if there is none."""
        return await self._ask(lambda: _account(user_id, password_hash))

    async def is_revoked(self, token_id: str | None) -> bool:
        """Return whether a token was revoked."""
        return await self._ask(lambda: bool(token_id) and RevokedToken.is_revoked(token_id))

    async def ping(self) -> bool:
        """Return whether the database answers in time; False without asking if it did not lately."""
        try:
            await self._ask(_ping)
        except AirflowDatabaseUnavailable:
            return False
        return True

    def close(self) -> None:
        """Stop without waiting for answers."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, question: Callable[[], ResultT]) -> ResultT:
        if time.monotonic() < self._retry_at or self._under_way >= _MAX_UNDER_WAY:
            raise AirflowDatabaseUnavailable
        self._under_way += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, question)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), LOOKUP_SECONDS)
        except (TimeoutError, OperationalError, InterfaceError, PoolExhausted) as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            if not future.done():
                # Its thread may wait for hours on a connection whose other end is gone.
                self._executor.shutdown(wait=False)
                self._executor = self._threads()
            log.warning("Airflow's database does not answer: %s", type(error).__name__)
            raise AirflowDatabaseUnavailable from error

    @staticmethod
    def _threads() -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS, thread_name_prefix="retail-airflow-database")

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()  # the caller has seen it, or has stopped waiting


def _ping() -> None:
    with create_session(scoped=False) as session:
        session.execute(text("SELECT 1"))


def _find(username: str) -> tuple[int, str] | None:
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


def _account(user_id: int, password_hash: str) -> Account | None:
    manager = get_auth_manager()
    with create_session(scoped=False) as session:
        user = session.scalars(select(User).where(User.id == user_id)).one_or_none()
        if user is None or not user.is_active:
            return None
        return Account(
            user=user,
            username=user.username,
            password_hash=password_hash,
            can_read=manager.is_authorized_custom_view(method=READ, resource_name=RESOURCE, user=user),
            can_edit=manager.is_authorized_custom_view(method=EDIT, resource_name=RESOURCE, user=user),
        )
