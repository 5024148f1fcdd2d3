"""Latency of the search at a steady rate of requests."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from include.search.entities import Mode, SearchRequest
from include.search.service import SearchService
from tests.search_quality.measures import load_queries

COUNTRIES = ("United Kingdom", "France", "Germany", "EIRE", None)
"""Countries that are asked in; none asks by price."""

THREADS = 8
SEED = 3


def latencies(service: SearchService, mode: Mode, rate: int, seconds: int) -> list[float]:
    """Return seconds from when each request was due to its answer, the shortest first.

    Args:
        service: What is asked.
        mode: How.
        rate: Requests a second.
        seconds: How long.
    """
    texts = [query.text for query in load_queries("tuning")]
    chosen = random.Random(SEED)
    service.search(SearchRequest(q=texts[0], country=COUNTRIES[0], mode=mode))

    def ask(due: float, request: SearchRequest) -> float:
        service.search(request)
        return time.monotonic() - due

    with ThreadPoolExecutor(THREADS) as pool:
        begin = time.monotonic()
        asked = []
        for number in range(rate * seconds):
            due = begin + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            country = chosen.choice(COUNTRIES)
            bound = None if country else Decimal(0)
            request = SearchRequest(q=chosen.choice(texts), country=country, price_min=bound, mode=mode)
            asked.append(pool.submit(ask, due, request))
        return sorted(one.result() for one in asked)


def summary(found: list[float]) -> str:
    """Return median, 99th percentile and maximum in milliseconds."""
    middle, late = found[len(found) // 2], found[int(len(found) * 0.99)]
    return f"{len(found)} requests: p50 {middle * 1e3:.1f} ms, p99 {late * 1e3:.1f} ms, max {found[-1] * 1e3:.1f} ms"
