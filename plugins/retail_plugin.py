"""The plugin that adds the project's pages to Airflow's API server and web interface."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)


class RetailPlugin(AirflowPlugin):
    """Mounts the app at `/retail` and shows its pages where they belong in the web interface."""

    name = "retail"
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Quality",
            "href": "/retail/quality/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "retail-quality",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:
        """The app; built only in the API server, the one component that asks for it.

        Whatever prevents it must not prevent Airflow: an app that says 503 takes its place.
        """
        app: Any
        try:
            from retail_api.app import create_app

            app = create_app()
        except Exception:
            log.exception("The API at /retail cannot be made; it answers 503 until the API server is started anew")
            from retail_standin import StandIn

            app = StandIn()
        return [{"app": app, "url_prefix": "/retail", "name": "retail"}]
