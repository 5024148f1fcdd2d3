"""How time, memory and disk grow with a drop, and what that makes of larger ones.

Usage: python -m tests.benchmarks.scale [--rows 100000 --rows 1000000 ...]

Each size is loaded from one generated CSV into a fresh embedded system and compared with what DuckDB makes of the same
file. Seconds and bytes are fitted by `a + b x rows`, least squares of the relative error; the largest size is then
predicted from the others, which shows what the model is worth. Writes `bench/results/scale-<time>.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from include.lake.connect_server import free_port
from include.settings import PROJECT_ROOT
from tests.benchmarks import duckdb_pipeline
from tests.benchmarks.bench import MemoryWatch, Subject, console, generated

SIZES = (100_000, 1_000_000, 5_000_000, 10_000_000)
EXTRAPOLATED = (10_000_000, 100_000_000, 1_000_000_000)
FIRST_DAY, DAYS = date(2010, 1, 4), 700
DISK = {
    "bronze": "lake/bronze",
    "silver": "lake/silver",
    "gold": "lake/gold",
    "postgres": "services/postgres",
    "replica": "services/replica",
    "search": "services/typesense",
    "archive": "archive",
}


def measure(rows: int, file: Path, folder: Path) -> dict[str, Any]:
    """Load a file into a fresh system in `folder`; return its seconds, peak memory and disk, in bytes.

    Raises:
        SystemExit: If what was loaded differs from what DuckDB makes of the file.
    """
    subject = Subject("this", PROJECT_ROOT)
    ports = {f"RETAIL_{name}_PORT": str(free_port()) for name in ("API", "POSTGRES", "SEARCH", "SEARCH_PEERING")}
    subject.make("up", folder, ports)
    try:
        watch = MemoryWatch(int((folder / "services" / "supervisord.pid").read_text()))
        watch.start()
        load = subject.load(folder, file)
        watch.done.set()
        disk = {name: size_of(folder / part) for name, part in DISK.items()}
        (receipt,) = [json.loads(path.read_bytes()) for path in (folder / "receipts").glob("*.json")]
    finally:
        subject.make("stop", folder, ports)
    found = receipt["rows_loaded"], Decimal(receipt["amount_loaded"])
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        oracle = duckdb_pipeline.run(file, Path(scratch))
        wanted = oracle.execute("SELECT count(*), sum(amount) FROM fact_sales").fetchall()[0]
    if found != wanted:
        raise SystemExit(f"{rows} rows: loaded {found}, DuckDB has {wanted}")
    seconds = load["stages"] | {"to receipt": load["seconds"], "to last copy": load["copied"]}
    return {"rows": rows, "loaded": str(found), "seconds": seconds, "peak_bytes": watch.peak, "disk_bytes": disk}


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def fitted(rows: list[int], values: list[float]) -> tuple[float, float]:
    """Return a and b of `a + b x rows`, by least squares of the relative error."""
    weights = 1 / np.maximum(np.array(values), 1e-9)
    design = np.stack([np.ones(len(rows)), np.array(rows, dtype=float)], axis=1) * weights[:, None]
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(rows)), rcond=None)
    return float(a), float(b)


def report(measured: list[dict[str, Any]]) -> None:
    """Print what was measured, the model, its error on the largest size, and what it makes of larger ones."""
    sizes = [one["rows"] for one in measured]
    quantities = {f"{name}, s": [one["seconds"][name] for one in measured] for name in measured[0]["seconds"]}
    quantities["peak memory, GiB"] = [one["peak_bytes"] / 2**30 for one in measured]
    quantities |= {f"{name}, MiB": [one["disk_bytes"][name] / 2**20 for one in measured] for name in DISK}
    table = Table(
        "", *(f"{size:,}" for size in sizes), "a", "b a million", "error", *(f"-> {n:,}" for n in EXTRAPOLATED)
    )
    for name, values in quantities.items():
        cells = [f"{value:,.1f}" for value in values]
        if len(sizes) > 2:
            before_a, before_b = fitted(sizes[:-1], values[:-1])
            error = f"{(before_a + before_b * sizes[-1]) / values[-1] - 1:+.0%}" if values[-1] else ""
            a, b = fitted(sizes, values)
            cells += [f"{a:,.1f}", f"{b * 1e6:,.2f}", error, *(f"{a + b * n:,.0f}" for n in EXTRAPOLATED)]
        table.add_row(name, *cells)
    console.print(table)


def main(rows: Annotated[list[int] | None, typer.Option(help="Sizes to load.")] = None) -> None:
    """Measure each size, and report."""
    measured = []
    data = PROJECT_ROOT / "data"
    data.mkdir(exist_ok=True)
    for size in rows or SIZES:
        with tempfile.TemporaryDirectory(prefix="scale-", dir=data) as folder:
            file = generated(Path(folder) / f"{size} lines.csv", size, FIRST_DAY, DAYS)
            began = time.monotonic()
            measured.append(measure(size, file, Path(folder) / "data"))
            console.print(
                f"{size:,} rows, {file.stat().st_size:,} bytes: balanced after {time.monotonic() - began:.0f} s"
            )
            shutil.rmtree(Path(folder) / "data", ignore_errors=True)
        results = PROJECT_ROOT / "bench" / "results" / f"scale-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps({"processors": os.cpu_count(), "measured": measured}, indent=2) + "\n")
    report(measured)


if __name__ == "__main__":
    typer.run(main)
