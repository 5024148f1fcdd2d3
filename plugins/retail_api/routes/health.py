"""How the system is doing."""

from __future__ import annotations

from fastapi import APIRouter

from retail_api.security import Reader

router = APIRouter(tags=["health"])


@router.get("/health")
def health(caller: Reader) -> dict[str, str]:
    """Return how the system is doing."""
    return {"status": "ok"}
