"""JSON values as this package decodes them: numbers as they are written, objects with repeated names."""

from __future__ import annotations

import json
from typing import Any


class Fields(tuple[tuple[str, Any], ...]):
    """The members of a JSON object in order, repeated names included."""

    __slots__ = ()


def _constant(name: str) -> str | None:
    """Return what NaN and the infinities stand for: pandas writes NaN for an absent value."""
    return None if name == "NaN" else name


DECODER = json.JSONDecoder(object_pairs_hook=Fields, parse_float=str, parse_int=str, parse_constant=_constant)


def plain_json(value: object) -> object:
    """Return a decoded value with objects as dictionaries again."""
    if isinstance(value, Fields):
        return {key: plain_json(item) for key, item in value}
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    return value
