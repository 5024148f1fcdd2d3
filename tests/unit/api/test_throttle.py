from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from retail_api.access.credential_cache import MAX_ENTRIES, Account, CredentialCache
from retail_api.access.throttle import WIDER, LoginThrottle

LIMIT = 3
WINDOW = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logins.sqlite"


@pytest.fixture
def throttle(path: Path) -> LoginThrottle:
    return LoginThrottle(path, LIMIT, WINDOW)


def waits(throttle: LoginThrottle, user: str, address: str, times: int) -> list[bool]:
    return [bool(throttle.attempt(user, address).wait_seconds) for _ in range(times)]


def test_a_user_at_an_address(throttle: LoginThrottle) -> None:
    assert waits(throttle, "ann", "10.0.0.1", LIMIT + 1) == [False] * LIMIT + [True]
    assert not throttle.attempt("ann", "10.0.0.2").wait_seconds
    assert not throttle.attempt("bob", "10.0.0.1").wait_seconds
    assert throttle.attempt("ANN", "10.0.0.1").wait_seconds == WINDOW


def test_an_address(throttle: LoginThrottle) -> None:
    tried = [waits(throttle, f"user {number}", "10.0.0.1", 1)[0] for number in range(LIMIT * WIDER + 2)]
    assert tried == [False] * LIMIT * WIDER + [True] * 2
    assert not throttle.attempt("user 1", "10.0.0.2").wait_seconds


def test_the_addresses_of_a_network_are_one(throttle: LoginThrottle) -> None:
    assert not any(waits(throttle, "ann", f"2001:db8::{number}", 1)[0] for number in range(LIMIT))
    assert throttle.attempt("ann", "2001:db8::ffff").wait_seconds
    assert not throttle.attempt("ann", "2001:db8:0:1::1").wait_seconds
    assert not any(waits(throttle, "bob", "::ffff:10.0.0.9", LIMIT))
    assert throttle.attempt("bob", "10.0.0.9").wait_seconds


def test_a_user_from_everywhere_but_where_they_are_known(throttle: LoginThrottle) -> None:
    throttle.succeeded(throttle.attempt("ann", "10.0.0.1"))
    for number in range(LIMIT * WIDER):
        assert not throttle.attempt("ann", f"10.1.0.{number}").wait_seconds
    assert throttle.attempt("ann", "10.2.0.1").wait_seconds
    assert not throttle.attempt("ann", "10.0.0.1").wait_seconds


def test_others_at_an_address_do_not_hold_up_who_is_known_there(throttle: LoginThrottle) -> None:
    throttle.succeeded(throttle.attempt("ann", "10.0.0.1"))
    assert waits(throttle, "bob", "10.0.0.1", LIMIT + 1)[-1]
    for number in range(LIMIT * WIDER):
        throttle.attempt(f"user {number}", "10.0.0.1")
    assert throttle.attempt("one more", "10.0.0.1").wait_seconds
    assert not any(waits(throttle, "ann", "10.0.0.1", LIMIT))
    assert throttle.attempt("ann", "10.0.0.1").wait_seconds


def test_failures_are_forgotten_after_the_window_and_by_a_success(path: Path) -> None:
    throttle = LoginThrottle(path, LIMIT, 0.5)
    assert waits(throttle, "ann", "10.0.0.1", LIMIT + 1)[-1]
    time.sleep(0.5)
    assert not any(waits(throttle, "ann", "10.0.0.1", LIMIT - 1))
    throttle.succeeded(throttle.attempt("ann", "10.0.0.1"))
    assert not any(waits(throttle, "ann", "10.0.0.1", LIMIT))


def test_an_attempt_that_is_withdrawn_does_not_count(throttle: LoginThrottle) -> None:
    for _ in range(LIMIT * 2):
        throttle.withdraw(throttle.attempt("ann", "10.0.0.1"))
    assert not throttle.attempt("ann", "10.0.0.1").wait_seconds


def test_many_at_once_are_no_way_around(throttle: LoginThrottle) -> None:
    throttle.attempt("someone", "10.0.0.2")  # makes the file
    with ThreadPoolExecutor(16) as workers:
        tried = list(workers.map(lambda _: throttle.attempt("ann", "10.0.0.1").wait_seconds, range(40)))
    assert tried.count(0) == LIMIT


def test_names_and_addresses_are_not_kept(throttle: LoginThrottle, path: Path) -> None:
    throttle.succeeded(throttle.attempt("ann.smith", "10.11.12.13"))
    throttle.attempt("ann.smith", "10.11.12.14")
    with sqlite3.connect(path) as connection:
        kept = "\n".join(connection.iterdump())
    assert "ann.smith" not in kept
    assert "10.11.12" not in kept


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "logins.sqlite"
    path.write_text("this is no database at all, it is a text")
    with pytest.raises(sqlite3.Error):
        LoginThrottle(path, LIMIT, WINDOW).attempt("ann", "10.0.0.1")


ACCOUNT = Account(user=None, username="ann", password_hash="h", can_read=True, can_edit=False)


def test_verified_credentials_are_found_by_credentials_and_by_this_process_only() -> None:
    cache = CredentialCache()
    cache.put(cache.key("basic", "ann", "secret"), ACCOUNT)
    assert cache.get(cache.key("basic", "ann", "secret")) is not None
    for others in (("basic", "ann", "Secret"), ("basic", "anns", "ecret"), ("token", "ann", "secret")):
        assert cache.get(cache.key(*others)) is None
    assert CredentialCache().key("basic", "ann", "secret") != cache.key("basic", "ann", "secret")
    assert "secret" not in repr(vars(cache))


def test_the_credentials_used_longest_ago_are_dropped() -> None:
    cache = CredentialCache()
    first = cache.key("basic", "0", "")
    for number in range(MAX_ENTRIES):
        cache.put(cache.key("basic", str(number), ""), ACCOUNT)
    assert cache.get(first) is not None
    cache.put(cache.key("basic", "one more", ""), ACCOUNT)
    assert cache.get(first) is not None
    assert cache.get(cache.key("basic", "1", "")) is None
