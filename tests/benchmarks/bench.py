"""Time a drop to its receipt on a fresh embedded system, with a DuckDB pipeline beside it in the same run.

Usage: python -m tests.benchmarks.bench [FILE]; `make bench` calls it. FILE is a large CSV of invoice lines, by default
RETAIL_REAL_FILE, else one made by the sample generator (1,067,371 rows). Prints a table and writes
`bench/results/<time>.json`. Three loads, in this order: 1,000 rows onto nothing, FILE, 2,000 new rows onto all that.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from deploy.embedded.follow import drop, find_run, follow
from deploy.embedded.state import Instance
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.settings import PROJECT_ROOT
from tests.benchmarks import duckdb_pipeline
from tests.end_to_end.system import system

LARGE_ROWS = 1_067_371
POLL_SECONDS = 0.2
TABLE_WIDTH = 130

STAGES = ("bronze", "silver", "enrich", "audit", "gold", "load", "publish", "replica")
ADDED = ("enrich", "audit")
"""Stages whose share of a load is told: what enrichment and quality checks add to it."""


class DriverWatch(threading.Thread):
    """Watches the Spark drivers among the descendants of the supervisor.

    Attributes:
        peak: Largest resident set of one driver, JVM and Python together, in bytes.
    """

    def __init__(self, supervisor_pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(supervisor_pid)
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        """Sample until `done`."""
        while not self.done.wait(POLL_SECONDS):
            for process in self.root.children(recursive=True):
                try:
                    if process.name() == "java":
                        # A child that still runs java is a fork short of its exec: its pages are its parent's.
                        java = process.exe()
                        children = [child for child in process.children(recursive=True) if child.exe() != java]
                        family = [process, *children]
                        self.peak = max(self.peak, sum(member.memory_info().rss for member in family))
                except psutil.NoSuchProcess:
                    continue


def generated(path: Path, rows: int, start: date, days: int) -> Path:
    """Make a CSV file of sound invoice lines; return its path."""
    write_sample(generate_lines(rows, rows, start, days, defects=False), path, "csv", SampleStyle(defects=False))
    return path


def measure(instance: Instance, name: str, file: Path, console: Console) -> dict[str, Any]:
    """Load one file; return rows, seconds by stage, in all and of DuckDB, and the driver's peak memory."""
    watch = DriverWatch(int((instance.services / "supervisord.pid").read_text()))
    watch.start()
    started = time.time()
    console.print(f"{name}: {file.stat().st_size:,} bytes")
    dropped, sha256 = drop(instance, file)
    receipt = follow(instance, find_run(instance, dropped, sha256).run_id, console)
    watch.done.set()
    with tempfile.TemporaryDirectory() as out:
        begun = time.monotonic()
        duckdb_pipeline.run(file, Path(out)).close()
        peer = time.monotonic() - begun
    return {
        "load": name,
        "bytes": file.stat().st_size,
        "rows": receipt.rows_in,
        "loaded": receipt.rows_loaded,
        "seconds": round(receipt.finished_at.timestamp() - started, 1),
        "stages": receipt.seconds,
        "driver_peak_mib": watch.peak // 2**20,
        "duckdb_seconds": round(peer, 2),
    }


def main(large: str) -> None:
    """Run the benchmark on the CSV file `large`."""
    console = Console(width=TABLE_WIDTH)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=PROJECT_ROOT / "data"))
    try:
        files = {
            "1,000 rows onto nothing": generated(folder / "small.csv", 1_000, date(2012, 1, 9), 1),
            "large file": Path(large) if large else generated(folder / "large.csv", LARGE_ROWS, date(2009, 12, 1), 700),
            "2,000 rows onto all that": generated(folder / "increment.csv", 2_000, date(2011, 12, 12), 1),
        }
        with system(folder / "data") as instance:
            results = [measure(instance, name, file, console) for name, file in files.items()]
    finally:
        shutil.rmtree(folder)
    table = Table()
    for column in ("load", "rows", "drop to receipt", *STAGES, "driver peak", "DuckDB alone"):
        table.add_column(column, justify="left" if column == "load" else "right")
    for row in results:
        stages = [f"{row['stages'].get(stage, 0):.0f} s" for stage in STAGES]
        table.add_row(
            row["load"],
            f"{row['rows']:,}",
            f"{row['seconds']:.0f} s",
            *stages,
            f"{row['driver_peak_mib']:,} MiB",
            f"{row['duckdb_seconds']:.1f} s",
        )
    console.print(table)
    ratio = results[2]["seconds"] / results[0]["seconds"]
    console.print(f"2,000 rows onto the full history cost {ratio:.2f} x 1,000 rows onto nothing")
    added = [sum(row["stages"].get(stage, 0) for stage in ADDED) for row in results]
    shares = [seconds / (row["seconds"] - seconds) for seconds, row in zip(added, results, strict=True)]
    for row, seconds, share in zip(results, added, shares, strict=True):
        console.print(f"{row['load']}: {' and '.join(ADDED)} add {seconds:.1f} s, {share:.1%} of the rest")
    now = datetime.now(UTC)
    path = PROJECT_ROOT / "bench" / "results" / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "measured_at": now.isoformat(),
        "cpus": os.cpu_count(),
        "loads": results,
        "increment_ratio": ratio,
        "added": shares,
    }
    path.write_text(json.dumps(document, indent=2))
    console.print(f"Wrote {path}", soft_wrap=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("RETAIL_REAL_FILE", ""))
