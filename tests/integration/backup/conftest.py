from __future__ import annotations

import pytest

from include.settings import Settings
from tests.support.lake import Lake


@pytest.fixture
def settings(lake: Lake) -> Settings:
    """Settings of the lake under test."""
    return lake.settings
