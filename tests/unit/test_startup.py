"""No step waits for packages to be imported that it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from include.settings import PROJECT_ROOT

ANALYSIS = {"matplotlib", "pandas", "scipy", "sklearn"}
HTTP = {"requests", "requests_cache", "urllib3"}
PDF = {"pdfminer", "pdfplumber"}
WAREHOUSE = {"alembic", "psycopg", "sqlalchemy"}


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("include.sources.staging", ANALYSIS | HTTP | PDF),
        ("include.sources.content", ANALYSIS | HTTP | PDF | {"duckdb", "pyarrow"}),
        ("include.enrichment.batch", ANALYSIS | HTTP | PDF | WAREHOUSE),
        ("include.quality.audit", ANALYSIS | HTTP | PDF | WAREHOUSE),
        ("include.quality.__main__", ANALYSIS | HTTP | PDF | {"duckdb"}),
        ("include.pipeline", ANALYSIS | HTTP | PDF | WAREHOUSE | {"duckdb", "deltalake", "pyarrow"}),
    ],
)
def test_what_a_module_does_not_import(module: str, unneeded: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert unneeded & {*found.stdout.split()} == set()
