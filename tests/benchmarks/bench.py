"""Time drops to their receipts on fresh embedded systems, DuckDB and Polars doing the same work in the same run.

Usage: python -m tests.benchmarks.bench [--file CSV] [--rounds N] [--against REVISION]; `make bench` calls it.

FILE is a large CSV of invoice lines, by default RETAIL_REAL_FILE, else one made by the sample generator (1,067,371
rows). Each round starts from nothing and loads, one after the other: 1,000 rows with Spark cold, 1,000 rows with Spark
warm, 100,000 rows, FILE, 2,000 new rows onto all that. With a revision, each round is run on it too, in turns (ABAB),
from a worktree with an installation of its own. Reading FILE alone is timed too. Prints medians and ratios, names
what has become slower than `baseline.json` beside this file by a fifth, and writes `bench/results/<time>.json`;
`--save` makes a new baseline.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from deploy.sample import SampleStyle, generate_lines, write_sample
from include.lake.connect_server import free_port
from include.settings import PROJECT_ROOT
from tests.benchmarks import duckdb_pipeline, polars_pipeline

BASELINE = Path(__file__).with_name("baseline.json")
LARGE_ROWS = 1_067_371
SLOWER = 1.2
"""A ratio to DuckDB that is this many times the baseline's is pointed out."""

RECEIPT_SECONDS = 7200.0
SAMPLE_SECONDS = 2.0
IDLE_SECONDS = 20.0
SPARK_IDLE_SECONDS = 180.0
"""After this long without work the Spark server is stopped here, so that memory is seen with and without it."""

STAGES = ("bronze", "silver", "enrich", "audit", "gold", "load", "publish")

console = Console(width=150)


class MemoryWatch(threading.Thread):
    """Samples the memory of a supervisor and of all that it started, shared pages counted once (PSS), in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.now = self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        """Sample until `done`."""
        while not self.done.wait(SAMPLE_SECONDS):
            self.now = 0
            for process in [self.root, *self.root.children(recursive=True)]:
                with suppress(psutil.Error):
                    self.now += process.memory_full_info().pss
            self.peak = max(self.peak, self.now)


class Subject:
    """A checkout whose embedded system is timed, driven by its own make targets."""

    def __init__(self, name: str, checkout: Path) -> None:
        self.name, self.checkout = name, checkout

    def make(self, target: str, data: Path, ports: dict[str, str]) -> None:
        """Run a make target on a data folder of its own; show what it said if it fails."""
        environment = (
            os.environ
            | ports
            | {
                "RETAIL_DATA_DIR": str(data),
                "RETAIL_SPARK_JARS_DIR": str(self.checkout / "data" / "services" / "jars"),
                "RETAIL_SPARK_IDLE_SECONDS": str(SPARK_IDLE_SECONDS),
            }
        )
        done = subprocess.run(
            ["make", "--silent", target],
            cwd=self.checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"make {target} of {self.name} failed:\n{done.stdout}{done.stderr}")

    def round(self, files: dict[str, Path]) -> dict[str, Any]:
        """Load the files one after the other into a fresh system; return seconds and memory."""
        names = ("API", "POSTGRES", "SEARCH", "SEARCH_PEERING")
        ports = {f"RETAIL_{name}_PORT": str(free_port()) for name in names}
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=PROJECT_ROOT / "data"))
        found: dict[str, Any] = {"loads": {}}
        try:
            self.make("up", folder, ports)
            watch = MemoryWatch(int((folder / "services" / "supervisord.pid").read_text()))
            watch.start()
            time.sleep(IDLE_SECONDS)
            found["started"] = watch.now
            for name, file in files.items():
                found["loads"][name] = self.load(folder, file)
                console.print(f"  {self.name}: {name}: {found['loads'][name]['seconds']} s", highlight=False)
            time.sleep(IDLE_SECONDS)
            found["warm"] = watch.now
            time.sleep(SPARK_IDLE_SECONDS)
            found["idle"], found["peak"] = watch.now, watch.peak
            watch.done.set()
        finally:
            self.make("stop", folder, ports)
            shutil.rmtree(folder)
        return found

    def reading(self, file: Path) -> float:
        """Return the processor seconds that reading a file takes, in a process of its own."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [str(self.checkout / ".venv" / "bin" / "python"), "-m", "include.sources", str(file)]
        subprocess.run(command, cwd=self.checkout, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def load(self, data: Path, file: Path) -> dict[str, Any]:
        """Drop a file; return the seconds to its receipt, in all and by stage."""
        partial = data / "landing" / ".bench"
        shutil.copyfile(file, partial)
        started = time.time()
        partial.rename(data / "landing" / file.name)
        while time.time() < started + RECEIPT_SECONDS:
            for path in (data / "receipts").glob("*.json"):
                receipt = json.loads(path.read_bytes())
                if any(entry["name"] == file.name for entry in receipt["files"]):
                    finished = datetime.fromisoformat(receipt["finished_at"]).timestamp()
                    return {
                        "rows": receipt["rows_in"],
                        "loaded": receipt["rows_loaded"],
                        "seconds": round(finished - started, 1),
                        "copied": round(self.copied_at(data, receipt) - started, 1),
                        "stages": receipt["seconds"],
                    }
            time.sleep(0.2)
        raise SystemExit(f"{self.name}: no receipt for {file.name} within {RECEIPT_SECONDS:.0f} s")

    def copied_at(self, data: Path, receipt: dict[str, Any]) -> float:
        """Wait for the copies of a run that come after its receipt, if any do; return when the last was there."""
        finished = datetime.fromisoformat(receipt["finished_at"]).timestamp()
        if "index" in receipt:
            return finished
        records = [data / "runs" / receipt["run_id"] / "stages" / f"{name}.json" for name in ("replica", "index")]
        while not all(path.exists() for path in records):
            time.sleep(0.2)
        return float(max(finished, *(path.stat().st_mtime for path in records)))


def worktree(revision: str) -> Path:
    """Return a checkout of `revision` with its own installation, below the data folder."""
    folder = PROJECT_ROOT / "data" / "bench-revisions" / revision
    if not folder.exists():
        subprocess.run(["git", "worktree", "add", "--detach", str(folder), revision], cwd=PROJECT_ROOT, check=True)
    subprocess.run(["make", "--silent", "install"], cwd=folder, check=True)
    return folder


def generated(path: Path, rows: int, start: date, days: int) -> Path:
    """Make a CSV file of sound invoice lines; return its path."""
    write_sample(generate_lines(rows, rows, start, days, defects=False), path, "csv", SampleStyle(defects=False))
    return path


def peers(file: Path) -> dict[str, float]:
    """Return the seconds that DuckDB and Polars take for the same star from the same file."""
    seconds = {}
    for name, pipeline in {"DuckDB": duckdb_pipeline.run, "Polars": polars_pipeline.run}.items():
        with tempfile.TemporaryDirectory() as out:
            started = time.monotonic()
            pipeline(file, Path(out))
            seconds[name] = time.monotonic() - started
    return seconds


def report(files: dict[str, Path], rounds: dict[str, list[dict[str, Any]]], paces: dict[str, dict[str, float]]) -> Any:
    """Print medians a load and subject; return them with the ratios to DuckDB."""
    found: dict[str, Any] = defaultdict(dict)
    table = Table("load", "rows", "of", "drop to receipt", "to last copy", *STAGES, "x DuckDB", "x Polars")
    for load in files:
        for name, runs in rounds.items():
            loads = [run["loads"][load] for run in runs]
            seconds = median(one["seconds"] for one in loads)
            stages = {stage: median(one["stages"].get(stage, 0) for one in loads) for stage in STAGES}
            ratios = {peer: seconds / pace for peer, pace in paces[load].items()}
            found[name][load] = {"seconds": seconds, "stages": stages, "ratios": ratios}
            table.add_row(
                load,
                f"{loads[0]['rows']:,}",
                name,
                f"{seconds:.1f} s",
                f"{median(one['copied'] for one in loads):.1f} s",
                *[f"{value:.1f}" for value in stages.values()],
                *[f"{value:.0f}" for value in ratios.values()],
            )
    console.print(table)
    for name, runs in rounds.items():
        memory = {key: median(run[key] for run in runs) / 2**30 for key in ("started", "warm", "idle", "peak")}
        found[name]["memory_gib"] = memory
        console.print(f"{name}: memory " + ", ".join(f"{key} {value:.2f} GiB" for key, value in memory.items()))
        found[name]["reading"] = median(run["reading"] for run in runs)
        console.print(f"{name}: reading the large file {found[name]['reading']:.1f} s of processor", highlight=False)
        small, increment = list(files)[1], list(files)[-1]
        ratio = found[name][increment]["seconds"] / found[name][small]["seconds"]
        console.print(f"{name}: {increment} take {ratio:.2f} x {small}", highlight=False)
    return dict(found)


def compare(found: dict[str, Any], files: dict[str, Path], against: str) -> None:
    """Print the ratios to the other revision and what is slower than the baseline."""
    if against:
        for load in files:
            ratio = found["this"][load]["seconds"] / found[against][load]["seconds"]
            console.print(f"{load}: {ratio:.2f} of {against}'s time", highlight=False)
        ratio = found["this"]["reading"] / found[against]["reading"]
        console.print(f"reading: {ratio:.2f} of {against}'s processor time", highlight=False)
    if BASELINE.exists():
        known = json.loads(BASELINE.read_bytes())
        for load in files:
            ratio = found["this"][load]["ratios"]["DuckDB"] / known.get(load, float("inf"))
            if ratio > SLOWER:
                console.print(f"SLOWER: {load} takes {ratio:.2f} times the baseline's ratio to DuckDB", style="red")


def main(
    file: Annotated[Path | None, typer.Option(envvar="RETAIL_REAL_FILE", help="large CSV of invoice lines")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="how often each subject starts from nothing")] = 3,
    against: Annotated[str, typer.Option(help="revision to time in turn with this checkout")] = "",
    save: Annotated[bool, typer.Option(help="make the ratios to DuckDB the baseline")] = False,
) -> None:
    """Time the loads and print medians, memory and ratios."""
    (PROJECT_ROOT / "data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = {
            "1,000 rows, cold": generated(folder / "cold.csv", 1_000, date(2012, 1, 9), 1),
            "1,000 rows": generated(folder / "warm.csv", 1_000, date(2012, 2, 9), 1),
            "100,000 rows": generated(folder / "medium.csv", 100_000, date(2012, 3, 1), 60),
            "large file": file or generated(folder / "large.csv", LARGE_ROWS, date(2009, 12, 1), 700),
            "2,000 rows onto all that": generated(folder / "increment.csv", 2_000, date(2011, 12, 12), 1),
        }
        subjects = [Subject("this", PROJECT_ROOT)] + ([Subject(against, worktree(against))] if against else [])
        runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        paces: dict[str, list[dict[str, float]]] = defaultdict(list)
        for number in range(1, rounds + 1):
            for subject in subjects:
                console.print(f"Round {number} of {rounds}: {subject.name}", highlight=False)
                runs[subject.name].append(subject.round(files) | {"reading": subject.reading(files["large file"])})
            for load, path in files.items():
                paces[load].append(peers(path))
        medians = {load: {peer: median(one[peer] for one in seen) for peer in seen[0]} for load, seen in paces.items()}
        found = report(files, runs, medians)
        compare(found, files, against)
        if save:
            ratios = {load: round(found["this"][load]["ratios"]["DuckDB"], 1) for load in files}
            BASELINE.write_text(json.dumps(ratios, indent=2) + "\n")
    path = PROJECT_ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cpus": os.cpu_count(), "medians": found, "rounds": runs, "peers": medians}, indent=2))
    console.print(f"Wrote {path}", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
