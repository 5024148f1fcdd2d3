"""Routes of the API, mounted under `/api/v1`.

Each module holds `router`, an `APIRouter`, and is listed in `ROUTERS`.
"""

from __future__ import annotations

from fastapi import APIRouter

from retail_api.routes import aggregates, files, health, operations, sales, search

ROUTERS: list[APIRouter] = [
    health.router,
    sales.router,
    aggregates.router,
    operations.router,
    files.router,
    search.router,
]
"""What the app mounts, in this order."""
