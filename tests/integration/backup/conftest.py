from __future__ import annotations

import pytest

from include.pipeline import receipt
from include.settings import Settings
from include.warehouse import open_engine, save_entries, transaction
from tests.integration.backup.whole import AUDITED, publish
from tests.integration.failover.conftest import lake, make, settings, undisturbed, victim
from tests.integration.failover.lake import Lake
from tests.integration.warehouse.batches import lines_of

__all__ = ["lake", "make", "settings", "undisturbed", "victim"]


@pytest.fixture
def published(lake: Lake, settings: Settings) -> None:
    """Two drops with their receipts, and an audit trail."""
    for number, start in ((1, 0), (2, 40)):
        publish(settings, lake.drop(number, lines_of(40, start=start)))
        receipt(settings, f"run_{number}")
    with open_engine(settings) as engine, transaction(engine) as connection:
        save_entries(connection, AUDITED)
