"""Start an executor of Spark in a pod of this image: python -m deploy.kubernetes.spark_executor executor.

Spark's driver makes the pod and says the rest in its environment, for the entrypoint of Spark's own image. This one
runs the same JVM from the installed PySpark, so driver and executors are of one version.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from include.lake.submitting import spark_home

_OPTION = "SPARK_JAVA_OPT_"


def command(environment: Mapping[str, str], home: str) -> list[str]:
    """Return the argv of the executor's JVM.

    Args:
        environment: What the driver has set.
        home: Folder of the installed PySpark.

    Raises:
        KeyError: If the driver has not set a variable that is needed.
    """
    options = sorted((int(name.removeprefix(_OPTION)), name) for name in environment if name.startswith(_OPTION))
    memory = environment["SPARK_EXECUTOR_MEMORY"]
    arguments = {
        "--driver-url": "SPARK_DRIVER_URL",
        "--executor-id": "SPARK_EXECUTOR_ID",
        "--cores": "SPARK_EXECUTOR_CORES",
        "--app-id": "SPARK_APPLICATION_ID",
        "--hostname": "SPARK_EXECUTOR_POD_IP",
        "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
        "--podName": "SPARK_EXECUTOR_POD_NAME",
    }
    return [
        "java",
        *(environment[name] for _, name in options),
        f"-Xms{memory}",
        f"-Xmx{memory}",
        "-cp",
        ":".join(part for part in (environment.get("SPARK_CLASSPATH", ""), f"{home}/jars/*") if part),
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
        *(part for argument, name in arguments.items() for part in (argument, environment[name])),
    ]


if __name__ == "__main__":
    if sys.argv[1:] != ["executor"]:
        sys.exit("Usage: python -m deploy.kubernetes.spark_executor executor")
    argv = command(os.environ, spark_home())
    os.execvp(argv[0], argv)
