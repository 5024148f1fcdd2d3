"""Load on the API: sales by country and date, 100 requests/s.

Against a running system, with a user of Airflow's in RETAIL_USER and RETAIL_PASSWORD:

    locust -f tests/benchmarks/api_load.py --headless -u 100 -r 5 -t 80s --host http://127.0.0.1:8080/retail
"""

from __future__ import annotations

import random
from datetime import date, timedelta

from locust import between, task

from tests.benchmarks.users import SignedIn

COUNTRIES = ("United Kingdom", "EIRE", "Germany", "France", "Netherlands", "Spain", "Norway", "Portugal")
FIRST_DAY = date(2009, 12, 1)
DAYS = 739


class Reader(SignedIn):
    """Reads about once a second, not in step with the others; a hundred of them are 100 requests/s."""

    wait_time = between(0.48, 1.48)

    @task
    def sales(self) -> None:
        """Ask for a page of the sales of a country in a range of days."""
        begin = FIRST_DAY + timedelta(days=random.randrange(DAYS))
        parameters = {
            "country": random.choice(COUNTRIES),
            "date_from": begin.isoformat(),
            "date_to": (begin + timedelta(days=random.choice((0, 6, 30)))).isoformat(),
            "page": str(random.choice((1, 1, 1, 2, 5))),
        }
        self.client.get("/api/v1/sales", params=parameters, name="sales by country and date")
