"""The containers, really run: built, brought up, loaded and asked through nginx, killed one after the other, stopped.

RETAIL_COMPOSE_FILE names a file to load too, such as the real one; RETAIL_COMPOSE_PROFILES the profiles to bring up,
separated by commas.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import ssl
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy import compose_secrets
from deploy.embedded.state import CLI_USER
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.lake.connect_server import free_port
from tests.benchmarks import duckdb_pipeline
from tests.containers.stack import ROOT, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(10_800)

SEED = 20111209
ROWS = 400
PROFILES = tuple(filter(None, os.environ.get("RETAIL_COMPOSE_PROFILES", "").split(",")))
LOAD_SECONDS = 1200


class Shop:
    """The stack as its users have it: a folder to drop files into, and an address to ask."""

    def __init__(self, stack: Stack, landing: Path, address: str, dropped: Path) -> None:
        self.stack, self.landing, self.address, self.dropped = stack, landing, address, dropped
        self.lines = list(generate_lines(ROWS * 40, SEED, date(2011, 1, 4), 60, defects=False))
        self.numbers = itertools.count()
        secrets = compose_secrets.FOLDER
        password = json.loads((secrets / "airflow_users").read_text())[CLI_USER]
        self.client = httpx.Client(
            base_url=address,
            auth=(CLI_USER, password),
            verify=ssl.create_default_context(cafile=str(secrets / "tls_certificate")),
            timeout=60,
        )

    def drop(self) -> Path:
        """Drop the next file as users do: whole, under its name."""
        number = next(self.numbers)
        path = self.dropped / f"part {number:03}.csv"
        write_sample(self.lines[number * ROWS : (number + 1) * ROWS], path, "csv", SampleStyle(defects=False))
        return self.take(path)

    def take(self, path: Path) -> Path:
        """Put a copy of `path` into the landing folder."""
        partial = self.landing / f"{path.name}.part"
        shutil.copyfile(path, partial)
        partial.rename(self.landing / path.name)
        return path

    def loaded(self) -> tuple[int, Decimal]:
        """Return rows and GBP of the facts in PostgreSQL; nothing while it does not answer."""
        query = "SELECT count(*) || ' ' || coalesce(sum(amount), 0) FROM retail_dwh.fact_sales"
        said = self.stack.inside("postgres", "psql", "-U", "retail", "-Atc", query, "warehouse")
        rows, _, amount = said.strip().partition(" ")
        return (int(rows), Decimal(amount)) if amount else (-1, Decimal(0))

    def wanted(self, scratch: Path) -> tuple[int, Decimal]:
        """Return what DuckDB makes of all files that were dropped."""
        oracle = duckdb_pipeline.run(self.dropped / "*.csv", scratch)
        found: tuple[int, Decimal] = oracle.execute("SELECT count(*), sum(amount) FROM fact_sales").fetchall()[0]
        return found

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Return the answer to a question through nginx."""
        return self.client.get(path, params=query)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    landing, dropped = tmp_path_factory.mktemp("landing"), tmp_path_factory.mktemp("dropped")
    # Only the last folder is for the containers' user; those above it stay ours.
    for folder in (landing, landing.parent, landing.parent.parent):
        folder.chmod(0o777 if folder == landing else 0o755)
    compose_secrets.main()
    https, http = free_port(), free_port()
    stack = Stack(
        f"retail-check-{os.getpid()}",
        {
            "RETAIL_HTTPS_PORT": str(https),
            "RETAIL_HTTP_PORT": str(http),
            "RETAIL_LANDING": str(landing),
            "RETAIL_EXECUTOR": "CeleryExecutor" if "celery" in PROFILES else "LocalExecutor",
        },
        PROFILES,
    )
    try:
        stack.up()
        yield Shop(stack, landing, f"https://localhost:{https}", dropped)
    finally:
        stack.down()


def everything_is_loaded(shop: Shop, tmp_path: Path) -> None:
    """Wait until what was dropped is in the warehouse, no more and no less."""
    wanted = shop.wanted(tmp_path / f"oracle-{time.monotonic_ns()}")
    end = time.monotonic() + LOAD_SECONDS
    while (found := shop.loaded()) != wanted:
        assert time.monotonic() < end, f"{found} is loaded, {wanted} was dropped"
        time.sleep(2)


def test_a_drop_is_loaded_and_asked_for_through_nginx(shop: Shop, tmp_path: Path) -> None:
    shop.drop()
    everything_is_loaded(shop, tmp_path)
    sales = shop.get("/api/v1/sales", size=1)
    assert sales.status_code == 200
    assert sales.headers["x-warehouse"] == "primary"
    assert len(sales.json()["items"]) == 1
    eventually(lambda: shop.get("/health").json()["status"] == "ok", seconds=300)
    asked = {"q": sales.json()["items"][0]["description"], "max_price": 100_000}
    eventually(lambda: shop.get("/api/v1/search/typesense", **asked).json().get("found", 0) > 0, seconds=300)


def test_a_given_file_is_loaded_to_the_penny(shop: Shop, tmp_path: Path) -> None:
    given = os.environ.get("RETAIL_COMPOSE_FILE")
    if not given:
        pytest.skip("RETAIL_COMPOSE_FILE is not set")
    path = shop.dropped / Path(given).name
    shutil.copyfile(given, path)
    began = time.monotonic()
    shop.take(path)
    everything_is_loaded(shop, tmp_path)
    print(f"{path.name}: {shop.loaded()} after {time.monotonic() - began:.0f} s")


def test_short_paths_and_refusals(shop: Shop) -> None:
    for path, status in {
        "/docs": 200,
        "/openapi.json": 200,
        "/airflow/": 200,
        "/nothing": 404,
        "/airflow": 302,
    }.items():
        assert shop.get(path).status_code == status, path
    assert httpx.get(f"{shop.address}/health", verify=False).status_code == 401
    assert shop.client.post("/api/v1/search/typesense", content=b"x" * 2_000_000).status_code == 413
    plain = httpx.get(f"http://localhost:{shop.stack.environment['RETAIL_HTTP_PORT']}/docs")
    assert (plain.status_code, plain.headers["location"]) == (308, f"{shop.address}/docs")


def test_what_a_client_says_of_its_address_does_not_help_it_to_guess(shop: Shop) -> None:
    answers = [
        httpx.get(
            f"{shop.address}/health",
            auth=("somebody", f"wrong {number}"),
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
            verify=False,
            timeout=60,
        ).status_code
        for number in range(8)
    ]
    assert answers == [401] * 5 + [429] * 3


def test_each_container_killed_while_files_are_dropped(shop: Shop, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for victim in shop.stack.lasting():
        shop.drop()
        time.sleep(chance.uniform(1, 15))
        shop.stack.kill(victim)
        began = time.monotonic()
        shop.drop()
        everything_is_loaded(shop, tmp_path)
        shop.stack.wait_all_healthy()
        print(f"{victim}: killed; all loaded and healthy after {time.monotonic() - began:.0f} s", flush=True)
    assert not list(shop.landing.iterdir())
    eventually(lambda: shop.get("/health").json()["status"] == "ok", seconds=600)
    script = "import glob, json; print(json.dumps([json.load(open(path)) for path in glob.glob('/data/receipts/*')]))"
    receipts = json.loads(shop.stack.inside("scheduler", "python", "-c", script))
    taken = [file["name"] for receipt in receipts for file in receipt["files"]]
    assert sorted(taken) == sorted(path.name for path in shop.dropped.iterdir())


def test_every_container_ends_when_it_is_asked_to(shop: Shop) -> None:
    for container in reversed(shop.stack.lasting()):
        shop.stack.podman("stop", "--time", shop.stack.grace_seconds, container)
        assert shop.stack.state(container)["ExitCode"] != 137, container


def test_the_image_holds_what_it_needs_and_no_more(shop: Shop) -> None:
    script = (
        "for name in gcc cc g++ make uv git curl; do ! command -v $name || exit 1; done; "
        "test ! -e /opt/retail/tests -a ! -e /opt/retail/.git -a ! -e /opt/retail/deploy/secrets "
        "&& ! find / -xdev -type d -name '.ivy*' 2>/dev/null | grep . && test $(id -u) != 0"
    )
    shop.stack.podman("run", "--rm", "--entrypoint", "sh", "retail-lakehouse:local", "-c", script)
    assert (ROOT / ".dockerignore").exists()
