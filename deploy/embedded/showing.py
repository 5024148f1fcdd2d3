"""Show an instance: its state, its logs, where to look, and what a load has brought."""

from __future__ import annotations

import shlex

import requests
from pydantic import ValidationError

from deploy.embedded import supervisor
from deploy.embedded.follow import never_claimed
from deploy.embedded.starting import healthy
from deploy.embedded.state import ADMIN, CLI_USER, Instance
from deploy.embedded.terminal import console, say
from include.lake.connect_server import running_server
from include.receipts.model import Receipt
from include.runs.landing import landing, waiting_files

DEMONSTRATED_QUESTION = "candle holder"


def show_search(instance: Instance) -> None:
    """Ask the API for products, as any client would, and print them."""
    question = {"q": DEMONSTRATED_QUESTION, "country": "United Kingdom", "size": "3"}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{instance.base_url()}/retail/api/v1/search/typesense",
            params=question,
            auth=(CLI_USER, instance.secrets().cli_password),
            timeout=30,
        )
    if answer.status_code == requests.codes.service_unavailable:
        say(f"{answer.json()['detail']} `make search` says more.")
        return
    answer.raise_for_status()
    found = answer.json()
    say(f"Products for {question['q']!r} in {question['country']} ({found['found']} found):")
    for hit in found["hits"]:
        product = hit["product"]
        line = ", ".join(f"{name} {product[name]}" for name in ("stock_code", "description", "price_median", "units"))
        say(f"  {line}")


def print_places(instance: Instance) -> None:
    """Print where to look and where to drop files."""
    for label, place in (
        ("Airflow", f"{instance.base_url()}  (user {ADMIN})"),
        ("API", f"{instance.base_url()}/retail/docs"),
        ("Sign-in", f"curl --netrc-file {shlex.quote(str(instance.netrc()))} {instance.base_url()}/retail/health"),
        ("Landing", landing(instance.settings)),
        ("Receipts", instance.settings.data_dir / "receipts"),
    ):
        say(f"{label:<9} {place}")


def status(instance: Instance) -> int:
    """Print processes, health, waiting files and the last receipts; return 0 if everything is healthy."""
    if not supervisor.running(instance):
        say("Stopped. Start with `make up`.")
        return 1
    say(supervisor.control(instance, "status"))
    airflow_healthy = healthy(instance)
    say(f"Airflow {instance.base_url()}: {'healthy' if airflow_healthy else 'not healthy'}")
    search = instance.search()
    if search:
        say(f"Search {search.node}: {'healthy' if search.healthy() else 'not healthy'}")
    if instance.keeps_spark:
        server = running_server(instance.settings)
        state = f"warm since {server.started_at:%H:%M} UTC" if server else "stopped until the next drop"
        say(f"Spark Connect server: {state}")
    waiting = len(list(waiting_files(instance.settings)))
    say(f"Waiting in {landing(instance.settings)}: {waiting}")
    stuck = never_claimed(instance.settings)
    if stuck:
        say(f"Never claimed there: {len(stuck)}")
        for name, reason in stuck.items():
            say(f"  {name}: {reason}")
    receipts = sorted((instance.settings.data_dir / "receipts").glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in receipts[-5:]:
        try:
            receipt = Receipt.model_validate_json(path.read_bytes())
        except ValidationError:
            say(f"{path.stem}: not a receipt of this version")
        else:
            say(f"{receipt.run_id}: {receipt.status}, {receipt.rows_loaded:,} rows")
    return 0 if airflow_healthy else 1


def logs(instance: Instance) -> None:
    """Print the last lines of each component's log."""
    paths = sorted(instance.logs.glob("*.log"))
    if not paths:
        say(f"There are no logs in {instance.logs} yet.")
    for path in paths:
        console.rule(path.name)
        last = "\n".join(path.read_text(errors="replace").splitlines()[-20:])
        say(last)
