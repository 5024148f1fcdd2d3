"""Whether the primary answers, what its errors mean, and how to stop waiting for it."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from include.settings import Settings
from include.warehouse.connection.engine import APPLICATION_NAME, WarehouseUnavailable, warehouse_url

PROBE_CONNECT_SECONDS = 3

_FAILED_CLASSES = ("08", "53", "57", "58", "XX")
"""SQLSTATE classes of a server that cannot serve: connection, resources, operator, system, internal."""

_QUERY_CANCELED = "57014"

_READ_ONLY = "25006"
"""Write refused, as by a server that was demoted."""


def primary_failed(error: BaseException, *, read_only: bool = False) -> bool:
    """Return whether `error` says that the primary cannot serve, rather than that it was asked for something wrong.

    Args:
        error: What was raised.
        read_only: Whether it was raised by a read-only transaction.
    """
    if isinstance(error, PoolExhausted):
        return not read_only  # readers of our own have all connections; that says nothing of the server
    if isinstance(error, WarehouseUnavailable):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError)
    if cause.sqlstate == _READ_ONLY:
        return not read_only
    return cause.sqlstate.startswith(_FAILED_CLASSES) or lock_timed_out(cause)


def lock_timed_out(error: BaseException) -> bool:
    """Return whether a statement was ended as others held a lock for longer than it may wait."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.errors.LockNotAvailable)


def timed_out(error: BaseException) -> bool:
    """Return whether a statement was ended as it took longer than it may, on either side."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.OperationalError):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return isinstance(cause, psycopg.Error) and cause.sqlstate == _QUERY_CANCELED


def lost_connection(error: BaseException) -> bool:
    """Return whether only the connection is known to be lost; the primary itself may be well."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.OperationalError) and cause.sqlstate in {None, "57P01", "57P02"}


def error_text(error: BaseException) -> str:
    """Return in one line what an error of the primary says."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split()) or type(cause).__name__


def probe(settings: Settings, connect_seconds: int = PROBE_CONNECT_SECONDS) -> None:
    """Ask the primary for an answer on a fresh connection.

    Raises:
        psycopg.OperationalError: If none comes in time.
        WarehouseUnavailable: If DATABASE_URL is missing or unusable.
    """
    url = warehouse_url(settings).set(drivername="postgresql").render_as_string(hide_password=False)
    with (
        psycopg.connect(
            url, connect_timeout=connect_seconds, application_name=f"{APPLICATION_NAME} probe", autocommit=True
        ) as connection,
        cut_after(connection, connect_seconds),
    ):
        connection.execute("SELECT 1")


def primary_is_up(settings: Settings, connect_seconds: int = PROBE_CONNECT_SECONDS) -> bool:
    """Return whether the primary answers in time."""
    try:
        probe(settings, connect_seconds)
    except psycopg.Error:
        return False
    return True


@contextmanager
def cut_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[threading.Event]:
    """End the connection if the block takes longer; yield the event that says it was."""
    cut, lock, over = threading.Event(), threading.Lock(), False

    def cut_off() -> None:
        with lock:
            if not over:
                cut.set()
                abort_connection(connection)

    timer = threading.Timer(seconds, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield cut
    finally:
        timer.cancel()
        with lock:
            over = True


def abort_connection(connection: psycopg.Connection[Any]) -> None:
    """Shut the connection's socket: whoever waits on it gets an error at once."""
    try:
        with socket.socket(fileno=socket.dup(connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        return  # it is closed already
