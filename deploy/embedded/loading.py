"""Load files, or a generated sample, into a running instance."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.embedded.follow import drop, find_run, follow, landing_name, print_receipt
from deploy.embedded.showing import print_places, show_search
from deploy.embedded.starting import require_running, run_module, up
from deploy.embedded.state import Instance
from deploy.embedded.terminal import console, say, working
from include.failover import read
from include.runs.folder import dropped_as
from include.settings import Settings
from include.warehouse import latest_sales


def load(instance: Instance, files: list[str]) -> int:
    """Drop files, follow the runs that claim them; return 0 if every file was loaded or seen before.

    Raises:
        Stopped: If nothing runs; then nothing is dropped.
        NotFollowed: If a file cannot be dropped, is not claimed, or its run fails.
    """
    require_running(instance, "nothing was dropped")
    code = 0
    for source in files:
        name, sha256 = drop(instance, Path(source))
        given = Path(source).name
        reason = "names like it are skipped" if landing_name(given) != given else "that name is taken"
        renamed = "" if name == given else f", not as {given}: {reason}"
        say(f"Dropped as {name}{renamed}")
        with working("Waiting for a run to claim it ..."):
            manifest = find_run(instance, name, sha256)
        say(f"Run {manifest.run_id}")
        receipt = follow(instance, manifest.run_id, console)
        print_receipt(receipt, instance.settings, console)
        if any(dropped_as(file.name) == name and file.status == "rejected" for file in receipt.files):
            code = 1
    return code


def demonstrate(instance: Instance) -> int:
    """Bring everything up, load a generated sample and show what came of it."""
    up(instance)
    sample = instance.services / "sample.csv"
    arguments = ["--rows", "1000", "--seed", "7", "--start", "2011-01-04", "--days", "1", "--out", str(sample)]
    run_module(instance, "deploy.sample", *arguments)
    code = load(instance, [str(sample)])
    os.environ["DATABASE_URL"] = instance.environment()["DATABASE_URL"]
    rows = read(Settings(), lambda connection: latest_sales(connection, 3)).value
    say("Three rows of fact_sales, joined to its dimensions:")
    for row in rows:
        line = ", ".join(f"{name} {value}" for name, value in row.items())
        say(f"  {line}")
    show_search(instance)
    print_places(instance)
    return code
