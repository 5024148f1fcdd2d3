"""Reads the tables that are part of this package."""

from __future__ import annotations

import csv
from importlib.resources import files


def content(name: str) -> bytes:
    """Return the bytes of a file of this package."""
    return files(__package__).joinpath(name).read_bytes()


def table(name: str) -> list[dict[str, str]]:
    """Return the rows of a packaged tab-separated table (UTF-8, no quoting), each as column -> text."""
    lines = content(name).decode("utf-8").splitlines()
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
