"""The Spark jars: fetched once at pinned versions, each verified against `deploy/spark-jars.lock`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from include.files import sha256_of
from include.lake.submitting import submit_environment
from include.settings import PROJECT_ROOT, Settings

LOCK = PROJECT_ROOT / "deploy" / "spark-jars.lock"
PACKAGES = (
    "io.delta:delta-spark_4.2_2.13:4.4.0",
    "org.postgresql:postgresql:42.7.8",
    "org.xerial:sqlite-jdbc:3.50.3.0",
)
SHIPPED_BY_US = ("io.delta_", "io.unitycatalog_", "org.postgresql_postgresql", "org.xerial_sqlite-jdbc")
"""Prefixes of the resolved jars that pyspark does not ship; older twins of its own jars must not precede them."""


class JarsUnusable(Exception):
    """The jars cannot be fetched or differ from the lock."""


def locked() -> dict[str, str]:
    """Return jar file name -> SHA-256 of the lock."""
    lines = (line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return {name: digest for digest, name in lines}


def verify(folder: Path) -> list[str]:
    """Return a sentence for each jar of the lock that is missing from `folder` or differs."""
    problems = []
    for name, digest in locked().items():
        path = folder / name
        if not path.exists():
            problems.append(f"{name} is missing")
        elif sha256_of(path) != digest:
            problems.append(f"{name} differs from its checksum")
    return problems


def complete(settings: Settings) -> bool:
    """Return whether every jar of the lock is there, as the lock has it."""
    return settings.jars.is_dir() and not verify(settings.jars)


def fetch(settings: Settings, *, relock: bool = False) -> None:
    """Fetch the jars unless they are there.

    Args:
        settings: Where they go.
        relock: Write the lock from what was fetched instead of verifying against it.

    Raises:
        JarsUnusable: If fetching fails or a jar differs from the lock.
    """
    if not relock and complete(settings):
        return
    ivy = settings.data_dir / "services" / "ivy"
    probe = PROJECT_ROOT / "deploy" / "embedded" / "probe.py"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "spark-submit"),
            "--master",
            "local[1]",
            "--conf",
            f"spark.jars.ivy={ivy}",
            "--packages",
            ",".join(PACKAGES),
            str(probe),
        ],
        env=submit_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise JarsUnusable(f"The Spark jars could not be fetched; check the network. spark-submit said:\n{tail}")
    settings.jars.mkdir(parents=True, exist_ok=True)
    for stale in settings.jars.glob("*.jar"):
        stale.unlink()
    for jar in sorted((ivy / "jars").glob("*.jar")):
        if jar.name.startswith(SHIPPED_BY_US):
            shutil.copy(jar, settings.jars)
    if relock:
        digests = [f"{sha256_of(jar)}  {jar.name}" for jar in sorted(settings.jars.glob("*.jar"))]
        head = f"# SHA-256 of the jars that {', '.join(PACKAGES)} resolve to, less what pyspark ships."
        LOCK.write_text("\n".join([head, *digests]) + "\n")
    problems = verify(settings.jars)
    if problems:
        shutil.rmtree(settings.jars)
        raise JarsUnusable(f"The Spark jars are not the ones of {LOCK.name}: {'; '.join(problems)}.")
