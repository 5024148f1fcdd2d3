from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
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


@pytest.fixture
def role(engine: Engine, settings: Settings) -> Iterator[tuple[str, Engine]]:
    """A role that may write every table and owns none, with an engine of its own."""
    name = f"writer_{settings.warehouse_schema}"
    with transaction(engine) as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'writer' NOSUPERUSER"))
        for schema in (settings.warehouse_schema, settings.staging_schema):
            connection.execute(text(f"GRANT ALL ON SCHEMA {schema} TO {name}"))
            connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {name}"))
    url = engine.url.set(username=name, password="writer").render_as_string(hide_password=False)
    writer = make_engine(settings.model_copy(update={"database_url": SecretStr(url)}))
    yield name, writer
    writer.dispose()
    with transaction(engine) as connection:
        connection.execute(text(f"REASSIGN OWNED BY {name} TO CURRENT_USER"))
        connection.execute(text(f"DROP OWNED BY {name} CASCADE"))
        connection.execute(text(f"DROP ROLE {name}"))
