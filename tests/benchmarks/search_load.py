"""Load on the search: what shoppers type, each in a country or below a price, 50 requests/s.

Against a running system, with a user of Airflow's in RETAIL_USER and RETAIL_PASSWORD, from the project's folder:

    locust -f tests/benchmarks/search_load.py --headless -u 50 -r 5 -t 70s --host http://127.0.0.1:8080/retail
"""

from __future__ import annotations

import random

from locust import between, task

from tests.benchmarks.users import SignedIn
from tests.search_quality.measures import load_queries

QUERIES = [query.text for query in (*load_queries("tuning"), *load_queries("held_out"))]
FILTERS = ({"country": "United Kingdom"}, {"country": "Germany"}, {"country": "France"}, {"price_max": "5"})


class Shopper(SignedIn):
    """Searches about once a second, not in step with the others; fifty of them are 50 requests/s."""

    wait_time = between(0.46, 1.46)

    @task
    def search(self) -> None:
        """Ask for products as somebody would who types a few words."""
        parameters = {"q": random.choice(QUERIES), **random.choice(FILTERS)}
        self.client.get("/api/v1/search/typesense", params=parameters, name="search")
