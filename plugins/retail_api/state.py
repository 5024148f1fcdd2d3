"""What the routes of one process share: settings, warehouse, audit trail and metrics."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from include.failover import Warehouse
from include.settings import Settings
from retail_api import metrics
from retail_api.audit import AuditTrail
from retail_api.data.census import CensusTaker
from retail_api.data.files import FilesRepository
from retail_api.metrics import Metrics
from retail_api.services.exports import ExportPlaces

if TYPE_CHECKING:
    from include.search.service import SearchService

MAX_SORTS = 2
"""Heavy sorts at a time; the others are to have a core and connections left."""

MAX_EXPORTS = 2
"""Exports at a time; each holds a connection and much of a core."""


class State:
    """Shared by all requests of a process; opens the warehouse when it is first needed.

    Attributes:
        census: Counts of invoice lines, kept as long as they hold.
        exports: Limits exports at a time.
        sorts: Limits heavy sorts at a time.
        metadata_ping: Tells whether Airflow's database answers; None outside of Airflow.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.api.mkdir(parents=True, exist_ok=True)
        settings.api.chmod(0o700)  # names and addresses of people
        self.census = CensusTaker()
        self.sorts = threading.BoundedSemaphore(MAX_SORTS)
        self.exports = ExportPlaces(MAX_EXPORTS)
        self.audit = AuditTrail(settings)
        self.metrics = Metrics(settings)
        self.metadata_ping: Callable[[], Awaitable[bool]] | None = None
        self._warehouse: Warehouse | None = None
        self._search: SearchService | None = None
        self._lock = threading.Lock()

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse, for reads of whoever serves.

        Raises:
            WarehouseUnavailable: If DATABASE_URL is missing or unusable.
        """
        with self._lock:
            if self._warehouse is None:
                self._warehouse = Warehouse(self.settings, pulse=True)
            return self._warehouse

    @property
    def search(self) -> SearchService:
        """The product search.

        Raises:
            SearchMisconfigured: If no search service is set.
        """
        from include.search.service import SearchService  # and with it the model, which others need not load

        with self._lock:
            if self._search is None:
                self._search = SearchService(self.settings)
            return self._search

    def connections(self) -> tuple[int, int]:
        """Return how many connections to the primary are in use and how many lie ready."""
        return self._warehouse.connections() if self._warehouse is not None else (0, 0)

    def start(self) -> None:
        """Start what works beside the requests, and clear away what a crash has left."""
        FilesRepository(self.settings).forget_abandoned()
        self.audit.start()

    def close(self) -> None:
        """Close what was opened."""
        self.audit.close()
        metrics.close()
        with self._lock:
            if self._warehouse is not None:
                self._warehouse.close()
                self._warehouse = None
            if self._search is not None:
                self._search.close()
                self._search = None


def state_of(request: HTTPConnection) -> State:
    """Return the state of the app that handles a request."""
    return cast("State", request.app.state.retail)


def _settings(state: Annotated[State, Depends(state_of)]) -> Settings:
    return state.settings


def _warehouse(state: Annotated[State, Depends(state_of)]) -> Warehouse:
    return state.warehouse


SharedState = Annotated[State, Depends(state_of)]
"""The state."""

SettingsOf = Annotated[Settings, Depends(_settings)]
"""The settings."""

SharedWarehouse = Annotated[Warehouse, Depends(_warehouse)]
"""The process's one warehouse; every read of the API goes through its `read`."""
