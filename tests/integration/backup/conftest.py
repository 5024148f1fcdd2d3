from __future__ import annotations

from collections.abc import Callable

import pytest

from include.pipeline import aggregate
from include.settings import Settings
from include.warehouse import open_engine, save_entries, transaction
from tests.support.backups import AUDITED
from tests.support.lake import Lake
from tests.support.steps import two_drops


def audited_drops(lake: Lake) -> None:
    """Two drops with their receipts and aggregates, and an audit trail."""
    two_drops(lake)
    aggregate(lake.settings, "run_2")
    with open_engine(lake.settings) as engine, transaction(engine) as connection:
        save_entries(connection, AUDITED)


@pytest.fixture
def lake(copy_of: Callable[[Callable[[Lake], None]], Lake]) -> Lake:
    """The lake and warehouse under test, with two drops."""
    return copy_of(audited_drops)


@pytest.fixture
def settings(lake: Lake) -> Settings:
    """Settings of the lake under test."""
    return lake.settings
