"""A fresh embedded system for a test or a benchmark, and ways to ask it and to disturb it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from sqlalchemy import create_engine, text

from deploy.embedded import supervisor
from deploy.embedded.follow import DAG_ID, drop, find_run, follow
from deploy.embedded.starting import up
from deploy.embedded.state import CLI_USER, Instance
from include.lake.connect_server import free_port
from include.receipts.model import Receipt
from include.settings import PROJECT_ROOT, Settings, get_settings
from include.warehouse import open_engine, transaction


@contextmanager
def system(folder: Path) -> Iterator[Instance]:
    """Yield a fresh running embedded system below `folder`, with the project's jars and ports of its own."""
    os.environ["RETAIL_SPARK_JARS_DIR"] = str(get_settings().jars)
    for name in ("API", "POSTGRES", "SEARCH", "SEARCH_PEERING"):
        os.environ[f"RETAIL_{name}_PORT"] = str(free_port())
    instance = Instance(Settings(data_dir=folder))
    try:
        up(instance)
        yield instance
    finally:
        supervisor.stop(instance)


def warehouse_settings(instance: Instance) -> Settings:
    """Return settings that reach the warehouse of `instance`."""
    return instance.settings.model_copy(
        update={"database_url": type(instance.settings.database_url)(instance.environment()["DATABASE_URL"])}
    )


def totals_by_day(instance: Instance) -> dict[date, tuple[int, int, Decimal]]:
    """Return rows, units and GBP of the fact table by invoice day."""
    query = "SELECT sold_at::date, count(*), sum(quantity), sum(amount) FROM retail_dwh.fact_sales GROUP BY 1"
    with open_engine(warehouse_settings(instance)) as engine, transaction(engine) as connection:
        return {day: (rows, units, amount) for day, rows, units, amount in connection.execute(text(query))}


def forget_days(instance: Instance, days: list[date]) -> None:
    """Delete the facts of `days` from the warehouse."""
    with open_engine(warehouse_settings(instance)) as engine, transaction(engine) as connection:
        connection.execute(text("DELETE FROM retail_dwh.fact_sales WHERE sold_at::date = ANY(:days)"), {"days": days})


@contextmanager
def warehouse_away(instance: Instance) -> Iterator[None]:
    """Let nobody into the warehouse's database during the block; Airflow's own stays."""
    server = create_engine(instance.postgres().url("postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("ALTER DATABASE warehouse ALLOW_CONNECTIONS false"))
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'warehouse'"))
    try:
        yield
    finally:
        with server.connect() as connection:
            connection.execute(text("ALTER DATABASE warehouse ALLOW_CONNECTIONS true"))
        server.dispose()


def warehouse(instance: Instance, *words: str) -> dict[str, Any]:
    """Return what a command of the warehouse prints."""
    done = subprocess.run(
        [sys.executable, "-m", "include.operate", *words],
        env=instance.environment(),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def put(instance: Instance, *sources: Path) -> list[tuple[str, str]]:
    """Drop files; return the name and SHA-256 each has in the landing folder."""
    return [drop(instance, source) for source in sources]


def receipts_of(instance: Instance, dropped: list[tuple[str, str]]) -> dict[str, Receipt]:
    """Follow the runs that take dropped files; return the receipt of each run by run id."""
    runs = {find_run(instance, name, sha256).run_id for name, sha256 in dropped}
    return {run_id: follow(instance, run_id, Console(stderr=True)) for run_id in sorted(runs)}


def airflow(instance: Instance, *words: str) -> str:
    """Return what the Airflow command line prints.

    Raises:
        AssertionError: If it fails; holds its errors.
    """
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *words],
        env=instance.environment(),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def post(instance: Instance, path: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of Airflow's REST API to a POST by the service user."""
    user = {"username": CLI_USER, "password": instance.secrets().cli_password}
    signed_in = requests.post(f"{instance.base_url()}/auth/token", json=user, timeout=30)
    signed_in.raise_for_status()
    answer = requests.post(
        f"{instance.base_url()}/api/v2/dags/{DAG_ID}{path}",
        data=json.dumps(document),
        headers={"Authorization": f"Bearer {signed_in.json()['access_token']}", "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json()
    return found
