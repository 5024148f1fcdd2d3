from __future__ import annotations

from tests.integration.failover.conftest import lake, make, settings, undisturbed, victim

__all__ = ["lake", "make", "settings", "undisturbed", "victim"]
