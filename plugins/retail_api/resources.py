"""What the routes of one process share: settings, warehouse, audit trail and metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends
from sqlalchemy import Connection
from starlette.requests import HTTPConnection

from include.failover import Warehouse
from include.settings import Settings
from retail_api import metrics
from retail_api.access.audit_trail import AuditTrail
from retail_api.data.cache import DataCache
from retail_api.data.files import FilesRepository
from retail_api.data.version import data_version
from retail_api.metrics import Metrics
from retail_api.services.exports import ExportPlaces

if TYPE_CHECKING:
    from include.search.service import SearchService

log = logging.getLogger(__name__)

MAX_SORTS = 2
"""Heavy sorts at a time; the others are to have a core and connections left."""

MAX_PREVIEWS = 1
"""Files that are looked at at a time."""

MAX_EXPORTS = 2
"""Exports at a time; each holds a connection and much of a core."""

WARM_UP_SECONDS = 5.0
"""How long an end waits for a warm-up."""


class Resources:
    """Shared by all requests of a process; opens the warehouse when it is first needed.

    Attributes:
        cache: What was read of the data, kept until it changes.
        exports: Limits exports at a time.
        sorts: Limits heavy sorts at a time.
        previews: Limits files that are looked at at a time.
        ping_airflow_database: Returns whether Airflow's database answers; None outside of Airflow.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.api.mkdir(parents=True, exist_ok=True)
        settings.api.chmod(0o700)  # names and addresses of people
        self.cache = DataCache()
        self.sorts = threading.BoundedSemaphore(MAX_SORTS)
        self.previews = threading.BoundedSemaphore(MAX_PREVIEWS)
        self.exports = ExportPlaces(MAX_EXPORTS)
        self.audit = AuditTrail(settings)
        self.metrics = Metrics(settings)
        self.ping_airflow_database: Callable[[], Awaitable[bool]] | None = None
        self._warehouse: Warehouse | None = None
        self._search: SearchService | None = None
        self._warm_up: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse, for reads of the active side.

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

    @property
    def warming_up(self) -> bool:
        """Whether that is being done which the first requests would otherwise wait for."""
        return self._warm_up is not None and self._warm_up.is_alive()

    def connections(self) -> tuple[int, int]:
        """Return how many connections to the primary are in use and how many lie ready."""
        return self._warehouse.connections() if self._warehouse is not None else (0, 0)

    def start(self) -> None:
        """Start what works beside the requests, and clear away what a crash has left."""
        FilesRepository(self.settings).forget_abandoned()
        self.audit.start()
        self._warm_up = threading.Thread(target=self._prepare, name="retail-warm-up", daemon=True)
        self._warm_up.start()

    def close(self) -> None:
        """Close what was opened."""
        if self._warm_up is not None:
            self._warm_up.join(timeout=WARM_UP_SECONDS)
        self.audit.close()
        metrics.close()
        with self._lock:
            if self._warehouse is not None:
                self._warehouse.close()
                self._warehouse = None
            if self._search is not None:
                self._search.close()
                self._search = None

    def _prepare(self) -> None:
        """Count the lines and get the search ready; what fails is left to the first request that needs it."""
        steps: list[Callable[[], object]] = [lambda: self.warehouse.read(self._count_lines)]
        if self.settings.search_nodes:
            steps.append(lambda: self.search.warm_up())
        for step in steps:
            try:
                step()
            except Exception as error:
                log.warning("The first requests will take longer: %s", error)

    def _count_lines(self, connection: Connection) -> None:
        self.cache.line_counts(connection, data_version(connection))


def resources_of(request: HTTPConnection) -> Resources:
    """Return what the app that handles a request shares."""
    return cast("Resources", request.app.state.retail)


def _settings(resources: Annotated[Resources, Depends(resources_of)]) -> Settings:
    return resources.settings


def _warehouse(resources: Annotated[Resources, Depends(resources_of)]) -> Warehouse:
    return resources.warehouse


Shared = Annotated[Resources, Depends(resources_of)]
"""All of it."""

SharedSettings = Annotated[Settings, Depends(_settings)]
"""The settings."""

SharedWarehouse = Annotated[Warehouse, Depends(_warehouse)]
"""The process's one warehouse; every read of the API goes through its `read`."""
