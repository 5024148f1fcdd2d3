"""Users of Airflow's who put load on the API."""

from __future__ import annotations

import os

from locust import HttpUser


class SignedIn(HttpUser):
    """Signs in with each request, as `curl -u` does, as RETAIL_USER with RETAIL_PASSWORD."""

    abstract = True

    def on_start(self) -> None:
        """Take the sign-in from the environment."""
        self.client.auth = (os.environ.get("RETAIL_USER", "admin"), os.environ.get("RETAIL_PASSWORD", ""))
