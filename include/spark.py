"""How the Spark jobs are submitted: jars, memory, JVM options. Imports no Spark.

`python -m include.spark prepare` records a class-data-sharing archive once, so that each later driver starts from
memory-mapped classes instead of loading some 20,000 of them from jars.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from include.settings import PROJECT_ROOT, Settings, get_settings

log = logging.getLogger(__name__)

LARGE_INPUT_BYTES = 8 * 1024 * 1024
"""From this size of a drop on, the optimising compiler and the parallel collector pay for their start-up cost."""


class JarsMissing(Exception):
    """The Spark jars have not been fetched."""


class ClassesNotRecorded(Exception):
    """Spark failed on the training run; the message holds the end of what it said."""


def jar_paths(settings: Settings) -> list[Path]:
    """Return the Delta and JDBC jars in a fixed order.

    Raises:
        JarsMissing: If the folder holds none.
    """
    jars = sorted(settings.jars.glob("*.jar"))
    if not jars:
        raise JarsMissing(f"No Spark jars in {settings.jars}. Run `make install`.")
    return jars


def class_archive(settings: Settings) -> Path:
    """Return where the class-data-sharing archive of these jars is kept (it may not exist yet)."""
    names = ",".join(f"{jar.name}:{jar.stat().st_size}" for jar in jar_paths(settings))
    return settings.jars.parent / f"spark-classes-{hashlib.sha256(names.encode()).hexdigest()[:12]}.jsa"


def is_local(master: str) -> bool:
    """Return whether `master` runs the executors inside the driver."""
    return master.startswith("local")


def submit_conf(settings: Settings, input_bytes: int, master: str) -> dict[str, str]:
    """Return the Spark properties of one submit.

    Args:
        settings: Where jars and the lake are.
        input_bytes: Size of what the run reads; small inputs start faster with the first-tier compiler only.
        master: Spark master URL; `local[...]` gets tuned for one small machine, others ship the jars to executors.
    """
    jars = [str(jar) for jar in jar_paths(settings)]
    java_options = [
        "-Duser.timezone=UTC",
        f'"-Dlog4j2.configurationFile={PROJECT_ROOT}/spark_jobs/log4j2.properties"',
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
    ]
    small = input_bytes < LARGE_INPUT_BYTES
    if small:
        java_options.append("-XX:TieredStopAtLevel=1")
    archive = class_archive(settings)
    if archive.exists():
        java_options.append(f'"-XX:SharedArchiveFile={archive}"')
    conf = {
        "spark.driver.extraJavaOptions": " ".join(java_options),
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.ansi.enabled": "true",
    }
    if not is_local(master):
        return conf | {"spark.jars": ",".join(jars), "spark.executor.extraJavaOptions": "-Duser.timezone=UTC"}
    if small:
        # Compiling a query takes longer than interpreting it on a few thousand rows.
        conf |= {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    return conf | {
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "1" if small else "4",
        "spark.default.parallelism": "2",
        "spark.sql.ui.explainMode": "simple",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.maxPlanStringLength": "2000",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.databricks.delta.stats.skipping": "true",
        "spark.sql.adaptive.enabled": "false" if small else "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        # Row groups and splits small enough that both cores get an equal share of one file.
        "spark.hadoop.parquet.block.size": str(8 * 1024 * 1024),
        "spark.sql.files.openCostInBytes": str(256 * 1024),
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.cleaner.referenceTracking": "false",
        "spark.local.dir": str(settings.data_dir / "services" / "spark-local"),
    }


def submit_command(
    settings: Settings, application: Path, args: list[str], conf: dict[str, str], master: str
) -> list[str]:
    """Return the spark-submit argv that runs `application` outside Airflow, as tests and `prepare` do."""
    properties = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    spark_submit = Path(sys.executable).parent / "spark-submit"
    return [str(spark_submit), "--master", master, *properties, str(application), *args]


def submit_environment() -> dict[str, str]:
    """Return the environment of a spark-submit: the project importable, this Python for driver and workers."""
    bin_dir = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def prepare(settings: Settings) -> Path:
    """Record the class archive by one training run of the three jobs on a few generated lines.

    Returns:
        The archive. Does nothing if it exists.

    Raises:
        ClassesNotRecorded: If the training run fails.
    """
    archive = class_archive(settings)
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    (settings.data_dir / "services" / "spark-local").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        conf = submit_conf(settings, input_bytes=0, master="local[2]")
        conf["spark.driver.extraJavaOptions"] += f' "-XX:ArchiveClassesAtExit={partial}"'
        command = submit_command(
            settings, PROJECT_ROOT / "spark_jobs" / "training.py", [scratch], conf, master="local[2]"
        )
        done = subprocess.run(
            command,
            env=submit_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    if done.returncode:
        partial.unlink(missing_ok=True)
        tail = "\n".join(done.stderr.splitlines()[-30:])
        raise ClassesNotRecorded(
            f"Spark's classes were not recorded (exit code {done.returncode}). Spark said:\n{tail}"
        )
    partial.rename(archive)
    return archive


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m include.spark", description=__doc__)
    parser.add_argument("action", choices=["prepare"], help="record the class-data-sharing archive")
    parser.parse_args()
    settings = get_settings()
    print(prepare(settings))


if __name__ == "__main__":
    main()
