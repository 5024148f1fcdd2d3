"""Load on the search: what shoppers type, each in a country or below a price, 50 requests/s.

Against a running system, with a user of Airflow's in RETAIL_USER and RETAIL_PASSWORD, from the project's folder:

    locust -f tests/benchmarks/search_load.py --headless -u 50 -r 5 -t 70s --host http://127.0.0.1:8080/retail
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from locust import HttpUser, between, task

QUERIES = [
    line.split("\t")[2] for line in Path("tests/search_quality/queries.tsv").read_text().splitlines()[1:] if line
]
FILTERS = ({"country": "United Kingdom"}, {"country": "Germany"}, {"country": "France"}, {"price_max": "5"})


class Shopper(HttpUser):
    """Searches about once a second, not in step with the others; fifty of them are 50 requests/s."""

    wait_time = between(0.46, 1.46)

    def on_start(self) -> None:
        """Sign in with each request, as `curl -u` does."""
        self.client.auth = (os.environ.get("RETAIL_USER", "admin"), os.environ.get("RETAIL_PASSWORD", ""))

    @task
    def search(self) -> None:
        """Ask for products as somebody would who types a few words."""
        parameters = {"q": random.choice(QUERIES), **random.choice(FILTERS)}
        self.client.get("/api/v1/search/typesense", params=parameters, name="search")
