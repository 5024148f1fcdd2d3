from __future__ import annotations

import socket

import pytest
from pydantic import SecretStr

from include.settings import Settings
from include.warehouse.connection.engine import WarehouseUnavailable, make_engine, transaction
from include.warehouse.publishing.publish import publish_lock_key

PASSWORD = "sEcr3t-pass"


def settings(url: str) -> Settings:
    return Settings(_env_file=None, database_url=SecretStr(url))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "DATABASE_URL is not set"),
        (f"not a url {PASSWORD}", "cannot be read as a URL"),
        (f"postgresql://u:{PASSWORD}@host:port/db", "cannot be read as a URL"),
        (f"mysql://u:{PASSWORD}@host/db", "does not name a PostgreSQL database"),
        (f"postgresql://u:{PASSWORD}@host", "does not name a PostgreSQL database"),
    ],
)
def test_an_unusable_url_is_one_sentence_without_the_password(url: str, said: str) -> None:
    with pytest.raises(WarehouseUnavailable, match=said) as caught:
        make_engine(settings(url))
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreachable_server_is_named_without_the_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        engine = make_engine(settings(f"postgresql://shop:{PASSWORD}@127.0.0.1:{port}/ware"))
        with pytest.raises(WarehouseUnavailable) as caught, transaction(engine):
            pass
    assert f'127.0.0.1:{port}, database "ware"' in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_engine_does_not_print_the_password() -> None:
    engine = make_engine(settings(f"postgresql://shop:{PASSWORD}@127.0.0.1/ware"))
    assert PASSWORD not in repr(engine)


def test_the_publish_lock_is_the_documented_one_and_differs_by_schema() -> None:
    assert publish_lock_key(Settings(_env_file=None)) == -3434533162484625059
    assert publish_lock_key(Settings(_env_file=None, warehouse_schema="other")) != -3434533162484625059
