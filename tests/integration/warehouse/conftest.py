from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlalchemy.schema import DropSchema

from include.settings import Settings
from include.warehouse.connection.engine import make_engine, transaction
from include.warehouse.schema.migrations import upgrade


@pytest.fixture
def blank(postgres_url: str) -> Settings:
    """Settings of a warehouse that has not been made yet, in schemas of its own."""
    suffix = uuid.uuid4().hex[:12]
    return Settings(
        _env_file=None,
        database_url=SecretStr(postgres_url),
        warehouse_schema=f"dwh_{suffix}",
        staging_schema=f"staging_{suffix}",
    )


@pytest.fixture
def settings(blank: Settings) -> Settings:
    """Settings of an empty warehouse."""
    upgrade(blank)
    return blank


@pytest.fixture
def engine(blank: Settings) -> Iterator[Engine]:
    """Engine on the warehouse; its schemas are dropped after the test."""
    engine = make_engine(blank, pool_size=10)
    yield engine
    with transaction(engine) as connection:
        for schema in (blank.warehouse_schema, blank.staging_schema):
            connection.execute(DropSchema(schema, cascade=True, if_exists=True))
    engine.dispose()
