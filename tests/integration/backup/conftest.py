from __future__ import annotations

import pytest

from include.pipeline import receipt
from include.settings import Settings
from include.warehouse import open_engine, save_entries, transaction
from tests.integration.backup.whole import AUDITED
from tests.support.batches import lines_of
from tests.support.lake import Lake
from tests.support.steps import publish


@pytest.fixture
def settings(lake: Lake) -> Settings:
    """Settings of the lake under test."""
    return lake.settings


@pytest.fixture
def published(lake: Lake, settings: Settings) -> None:
    """Two drops with their receipts, and an audit trail."""
    for number, start in ((1, 0), (2, 40)):
        publish(settings, lake.drop(number, lines_of(40, start=start)))
        receipt(settings, f"run_{number}")
    with open_engine(settings) as engine, transaction(engine) as connection:
        save_entries(connection, AUDITED)
