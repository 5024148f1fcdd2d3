"""The command of an executor's pod."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.kubernetes.spark_executor import command
from include.settings import PROJECT_ROOT

ENVIRONMENT = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.7:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "1",
    "SPARK_EXECUTOR_MEMORY": "2048m",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.8",
    "SPARK_EXECUTOR_POD_NAME": "gold-exec-3",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    **{f"SPARK_JAVA_OPT_{number}": f"-Dn={number} x" for number in range(11)},
}


def test_the_jvm_is_the_one_that_the_driver_asks_for() -> None:
    java, *options = command(ENVIRONMENT, "/spark")
    at = options.index("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend")
    assert java == "java"
    assert options[:11] == [f"-Dn={number} x" for number in range(11)]
    assert options[11:at] == ["-Xms2048m", "-Xmx2048m", "-cp", "/spark/jars/*"]
    arguments = options[at + 1 :]
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == {
        "--driver-url": "spark://CoarseGrainedScheduler@10.0.0.7:7078",
        "--executor-id": "3",
        "--cores": "1",
        "--app-id": "spark-1",
        "--hostname": "10.0.0.8",
        "--resourceProfileId": "0",
        "--podName": "gold-exec-3",
    }


def test_the_driver_s_class_path_comes_first() -> None:
    options = command(ENVIRONMENT | {"SPARK_CLASSPATH": "/jars/a.jar"}, "/spark")
    assert options[options.index("-cp") + 1] == "/jars/a.jar:/spark/jars/*"


def test_a_variable_that_is_missing_is_named() -> None:
    with pytest.raises(KeyError, match="SPARK_DRIVER_URL"):
        command({name: value for name, value in ENVIRONMENT.items() if name != "SPARK_DRIVER_URL"}, "/spark")


def test_it_starts_executors_only() -> None:
    module = [sys.executable, "-m", "deploy.kubernetes.spark_executor", "driver"]
    done = subprocess.run(module, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Usage:")
