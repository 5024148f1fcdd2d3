"""Routes of the API, mounted under `/api/v1`.

Each module holds `router`, an `APIRouter`, and is listed in `ROUTERS`.
"""

from __future__ import annotations

from fastapi import APIRouter

from retail_api.routes import aggregates, files, health, operations, profiles, runs, sales, search, warehouse

ROUTERS: list[APIRouter] = [
    module.router for module in (health, sales, aggregates, operations, files, profiles, runs, warehouse, search)
]
"""What the app mounts, in this order."""
