"""How the Spark stages are submitted: jars, memory, JVM options, session properties. Imports no Spark.

A stage runs where `Settings.spark_remote` and the Spark connection say: as a thin client of a Spark Connect server, or
in a driver of its own on any other master.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from include.settings import PROJECT_ROOT, Settings

LARGE_INPUT_BYTES = 8 * 1024 * 1024
"""From this size of a drop on, compiled queries, several partitions and adaptive plans pay for their start-up cost."""

PARTITION_BYTES = 24 * 1024 * 1024
"""Of the input a partition at most: what two tasks sort and keep at once has to fit into the heap of one machine."""

ENTRY_POINT = PROJECT_ROOT / "spark_jobs" / "run.py"
"""What spark-submit starts; its arguments are the stage and the run id."""

CLIENT_MEMORY = "96m"
"""Heap of the JVM that only starts the Python client of a Spark Connect server."""


class JarsMissing(Exception):
    """The Spark jars have not been fetched."""


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
    return master == "local" or master.startswith("local[")


def connect_url(master: str, token: str) -> str:
    """Return the address of the Spark Connect server that a Spark connection names; nothing for any other master."""
    if not master.startswith("sc://"):
        return ""
    return f"{master}/;token={token}" if token else master


def driver_host(master: str) -> str:
    """Return the address of this machine on the way to `master`, by which executors elsewhere find the driver."""
    first = master.removeprefix("k8s://").partition("://")[2].partition(",")[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        # Nothing is sent. Of a master without an address, such as yarn, the way to other networks counts.
        way.connect((urlsplit(f"//{first}").hostname or "192.0.2.1", 1))
        address: str = way.getsockname()[0]
    return address


def java_options(settings: Settings, *options: str) -> str:
    """Return the options of a Spark JVM: `options`, those that every one is given, and the class archive if there."""
    common = [
        "-Duser.timezone=UTC",
        f'"-Dlog4j2.configurationFile={PROJECT_ROOT}/spark_jobs/log4j2.properties"',
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Xshare:auto",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
    ]
    archive = class_archive(settings)
    shared = [f'"-XX:SharedArchiveFile={archive}"'] if archive.exists() else []
    return " ".join([*common, *options, *shared])


def session_conf(input_bytes: int) -> dict[str, str]:
    """Return the properties of one run's session, by the size of its input."""
    small = input_bytes < LARGE_INPUT_BYTES
    # Powers of two, so that runs of like size share a session.
    partitions = 1 << (input_bytes // PARTITION_BYTES).bit_length()
    return {
        "spark.sql.shuffle.partitions": "1" if small else str(max(4, partitions)),
        # Compiling a query takes longer than interpreting it on a few thousand rows.
        "spark.sql.codegen.wholeStage": "false" if small else "true",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN" if small else "FALLBACK",
        # HotSpot leaves methods of more bytes uncompiled; as single expressions they are faster than interpreted.
        "spark.sql.codegen.hugeMethodLimit": "8000",
        "spark.sql.adaptive.enabled": "false" if small else "true",
        "spark.sql.parquet.columnarReaderBatchSize": "512" if small else "4096",
    }


def object_store_conf(settings: Settings) -> dict[str, str]:
    """Return the Spark properties of a lake in an object store; its key is in the environment, which Spark reads."""
    if not settings.lake_on_s3:
        return {}
    return {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.endpoint.region": settings.aws_region,
        "spark.hadoop.fs.s3a.path.style.access": "true" if settings.aws_endpoint_url else "false",
        # The other kinds of stream need another HTTP client.
        "spark.hadoop.fs.s3a.input.stream.type": "classic",
        # Delta's own is safe for a single driver only.
        "spark.delta.logStore.s3.impl": "retail.S3ConditionalLogStore",
        # Sums of each version that nobody needs here, put in place by copying and deleting an object.
        "spark.databricks.delta.writeChecksumFile.enabled": "false",
    }


def driver_conf(settings: Settings, master: str, *options: str) -> dict[str, str]:
    """Return the Spark properties of a driver, be it one stage's or a Spark Connect server.

    Args:
        settings: Where jars and the lake are.
        master: Spark master URL; `local[...]` gets tuned for one small machine, others ship the jars to executors.
        options: More options of its JVM.
    """
    jars = [str(jar) for jar in jar_paths(settings)]
    conf = {
        "spark.driver.extraJavaOptions": java_options(settings, *options),
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.parquet.compression.codec": "zstd",
        # The log of a table is read by so many tasks, and has some thousand entries.
        "spark.databricks.delta.snapshotPartitions": "1",
    } | object_store_conf(settings)
    if not is_local(master):
        address = driver_host(master)
        remote = {
            "spark.jars": ",".join(jars),
            "spark.executor.extraJavaOptions": " ".join(("-Duser.timezone=UTC", *options)),
            "spark.driver.host": address,
            "spark.driver.bindAddress": address,
        }
        return conf | remote | settings.spark_conf
    local = {
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.default.parallelism": "2",
        # The usual pages, of 32 MB here, are allocated and cleared for a handful of rows.
        "spark.buffer.pageSize": "4m",
        "spark.sql.ui.explainMode": "simple",
        # Records of past queries for a web page that nobody serves.
        "spark.sql.ui.retainedExecutions": "1",
        "spark.ui.retainedJobs": "1",
        "spark.ui.retainedStages": "1",
        "spark.ui.retainedTasks": "1",
        "spark.connect.ui.retainedSessions": "1",
        "spark.connect.ui.retainedStatements": "1",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.maxPlanStringLength": "2000",
        "spark.databricks.delta.stats.skipping": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        "spark.broadcast.compress": "false",
        # Row groups and splits small enough that both cores get an equal share of one file.
        "spark.hadoop.parquet.block.size": str(8 * 1024 * 1024),
        "spark.sql.files.openCostInBytes": str(256 * 1024),
        "spark.local.dir": str(settings.data_dir / "services" / "spark-local"),
    }
    return conf | local | settings.spark_conf


def client_conf(settings: Settings) -> dict[str, str]:
    """Return the Spark properties of a thin client: its JVM only starts Python, Spark itself is elsewhere."""
    return {
        "spark.driver.extraJavaOptions": java_options(settings, "-XX:TieredStopAtLevel=1"),
        "spark.driver.memory": CLIENT_MEMORY,
        "spark.driver.extraClassPath": ":".join(str(jar) for jar in jar_paths(settings)),
    }


def submit_conf(settings: Settings, input_bytes: int, master: str) -> dict[str, str]:
    """Return the Spark properties of one submit of a stage.

    Args:
        settings: Where jars and the lake are, and whether a Spark Connect server runs the stages.
        input_bytes: Size of what the run reads; small inputs start faster with the first-tier compiler only.
        master: Spark master URL of a driver of its own, or `sc://` address.
    """
    if settings.spark_remote.get_secret_value() or master.startswith("sc://"):
        return client_conf(settings)
    options = ("-XX:TieredStopAtLevel=1",) if input_bytes < LARGE_INPUT_BYTES else ()
    conf = driver_conf(settings, master, *options)
    # What a single stage leaves behind goes with its driver.
    return {"spark.cleaner.referenceTracking": "false"} | conf if is_local(master) else conf


def submit_command(application: Path | str, args: list[str], conf: dict[str, str], master: str) -> list[str]:
    """Return the spark-submit argv that runs `application` outside Airflow."""
    properties = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    spark_submit = Path(sys.executable).parent / "spark-submit"
    return [str(spark_submit), "--master", master, *properties, str(application), *args]


def spark_home() -> str:
    """Return the folder of the installed PySpark, which spark-submit would else start Python to find."""
    found = find_spec("pyspark")
    if found is None or not found.submodule_search_locations:
        raise JarsMissing("PySpark is not installed. Run `make install`.")
    return found.submodule_search_locations[0]


def submit_environment() -> dict[str, str]:
    """Return the environment of a spark-submit: the project importable, this Python for driver and workers."""
    bin_dir = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_HOME": spark_home(),
        "SPARK_LOCAL_IP": "127.0.0.1",
        # The JVM that works out the command of the other one.
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto",
    }
