"""The Spark jars: fetched once at pinned versions, each verified against a lock.

`deploy/spark-jars.lock` names those of every instance, `deploy/spark-s3-jars.lock` those of a lake in an S3 store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from include.files import sha256_of
from include.lake.submitting import spark_home, submit_environment
from include.settings import PROJECT_ROOT, Settings


class JarsUnusable(Exception):
    """The jars cannot be fetched or differ from the lock."""


@dataclass(frozen=True)
class Lock:
    """Jars that belong together.

    Attributes:
        path: Their SHA-256.
        packages: Maven coordinates whose dependencies they are.
        shipped_by_us: Prefixes of the resolved jars that pyspark does not ship; older twins of its own jars must not
            precede them.
        excluded: Dependencies to leave out.
    """

    path: Path
    packages: tuple[str, ...]
    shipped_by_us: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    def digests(self) -> dict[str, str]:
        """Return jar file name -> SHA-256."""
        lines = (line.split() for line in self.path.read_text().splitlines() if line and not line.startswith("#"))
        return {name: digest for digest, name in lines}


DELTA = Lock(
    PROJECT_ROOT / "deploy" / "spark-jars.lock",
    (
        "io.delta:delta-spark_4.2_2.13:4.4.0",
        "org.postgresql:postgresql:42.7.8",
        "org.xerial:sqlite-jdbc:3.50.3.0",
    ),
    ("io.delta_", "io.unitycatalog_", "org.postgresql_postgresql", "org.xerial_sqlite-jdbc"),
)
S3 = Lock(
    PROJECT_ROOT / "deploy" / "spark-s3-jars.lock",
    (
        "org.apache.hadoop:hadoop-aws:3.5.0",  # pyspark's Hadoop, and the release of the SDK that it is built with
        "software.amazon.awssdk:s3:2.35.4",
        "software.amazon.awssdk:s3-transfer-manager:2.35.4",
        "software.amazon.awssdk:sts:2.35.4",
    ),
    ("org.apache.hadoop_hadoop-aws", "org.reactivestreams_", "org.wildfly.openssl_", "software.amazon."),
    ("software.amazon.awssdk:bundle",),  # half a gigabyte, of which the modules above are 13 MB
)

LOG_STORE = PROJECT_ROOT / "deploy" / "spark" / "retail" / "S3ConditionalLogStore.java"
LOG_STORE_JAR = "retail_s3-log-store.jar"


def wanted(settings: Settings) -> tuple[Lock, ...]:
    """Return what an instance needs."""
    return (DELTA, S3) if settings.lake_on_s3 else (DELTA,)


def verify(folder: Path, locks: Iterable[Lock]) -> list[str]:
    """Return a sentence for each jar of the locks that is missing from `folder` or differs."""
    problems = []
    for lock in locks:
        for name, digest in lock.digests().items():
            path = folder / name
            if not path.exists():
                problems.append(f"{name} is missing")
            elif sha256_of(path) != digest:
                problems.append(f"{name} differs from its checksum")
    return problems


def complete(settings: Settings) -> bool:
    """Return whether every jar is there, as the locks have it."""
    there = settings.jars.is_dir() and not verify(settings.jars, wanted(settings))
    return there and (not settings.lake_on_s3 or _log_store(settings).exists())


def fetch(settings: Settings, *, relock: bool = False) -> None:
    """Fetch the jars unless they are there.

    Args:
        settings: Where they go, and whether the lake is in an S3 store.
        relock: Write the locks from what was fetched instead of verifying against them.

    Raises:
        JarsUnusable: If fetching fails or a jar differs from its lock.
    """
    if not relock and complete(settings):
        return
    locks = wanted(settings)
    fetched = {lock: _resolved(settings, lock) for lock in ((DELTA, S3) if relock else locks)}
    if relock:
        for lock, jars in fetched.items():
            head = f"# SHA-256 of the jars that {', '.join(lock.packages)} resolve to, less what pyspark ships."
            lock.path.write_text("\n".join([head, *[f"{sha256_of(jar)}  {jar.name}" for jar in jars]]) + "\n")
    settings.jars.mkdir(parents=True, exist_ok=True)
    for stale in settings.jars.glob("*.jar"):
        stale.unlink()
    for lock in locks:
        for jar in fetched[lock]:
            shutil.copy(jar, settings.jars)
    problems = verify(settings.jars, locks)
    if problems:
        shutil.rmtree(settings.jars)
        raise JarsUnusable(
            f"The Spark jars are not the ones of {' and '.join(lock.path.name for lock in locks)}: "
            f"{'; '.join(problems)}."
        )
    if settings.lake_on_s3:
        _compile_log_store(settings)


def _resolved(settings: Settings, lock: Lock) -> list[Path]:
    """Return what spark-submit has resolved and downloaded.

    Raises:
        JarsUnusable: If it can't.
    """
    ivy = settings.data_dir / "services" / "ivy" / lock.path.stem
    probe = PROJECT_ROOT / "deploy" / "embedded" / "probe.py"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "spark-submit"),
            *("--master", "local[1]"),
            *("--conf", f"spark.jars.ivy={ivy}"),
            *("--packages", ",".join(lock.packages)),
            *(("--exclude-packages", ",".join(lock.excluded)) if lock.excluded else ()),
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
    return sorted(jar for jar in (ivy / "jars").glob("*.jar") if jar.name.startswith(lock.shipped_by_us))


def _log_store(settings: Settings) -> Path:
    return settings.jars / LOG_STORE_JAR


def _compile_log_store(settings: Settings) -> None:
    """Compile `LOG_STORE` into a jar, by the compiler that Spark uses for its queries: a JRE has none of its own."""
    from pyspark.errors import PySparkRuntimeError
    from pyspark.java_gateway import launch_gateway

    jars = [*settings.jars.glob("*.jar"), *(Path(spark_home()) / "jars").glob("*.jar")]
    os.environ.update(submit_environment())
    with tempfile.TemporaryDirectory() as classes, tempfile.TemporaryFile() as output:
        try:
            gateway = launch_gateway(popen_kwargs={"stdout": output, "stderr": output})  # type: ignore[no-untyped-call]
        except PySparkRuntimeError as error:
            output.seek(0)
            tail = "\n".join(output.read().decode(errors="replace").splitlines()[-15:])
            raise JarsUnusable(f"{LOG_STORE.name} could not be compiled. Spark said:\n{tail}") from error
        try:
            new_file = gateway.jvm.java.io.File
            sources, class_path = gateway.new_array(new_file, 1), gateway.new_array(new_file, len(jars))
            sources[0] = new_file(str(LOG_STORE))
            for number, jar in enumerate(jars):
                class_path[number] = new_file(str(jar))
            compiler = gateway.jvm.org.codehaus.janino.Compiler()
            compiler.setClassPath(class_path)
            compiler.setDestinationDirectory(new_file(classes), False)
            compiler.compile(sources)
        finally:
            gateway.shutdown()
        with zipfile.ZipFile(_log_store(settings), "w") as jar_file:
            for compiled in sorted(Path(classes).rglob("*.class")):
                # Without its time, so that the same source gives the same jar.
                jar_file.writestr(zipfile.ZipInfo(str(compiled.relative_to(classes))), compiled.read_bytes())
