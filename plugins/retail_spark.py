"""The operator of the Spark stages."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook

from include.lake.submitting import ENTRY_POINT, connect_url

SPARK_CONNECTION = "spark_default"


class SparkStage(SparkSubmitOperator):
    """SparkSubmitOperator for connections that may lead to a Spark Connect server, too.

    spark-submit takes no `sc://` address for a master: a connection that has one is submitted as a client of that
    server, whose token is the password of the connection.
    """

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        connection = BaseHook.get_connection(SPARK_CONNECTION)
        url = connect_url(connection.host or "", connection.port, connection.password or "")
        if url:
            hook._connection["master"] = "local[1]"
            hook._env = {"RETAIL_SPARK_REMOTE": url}
        return hook


def spark_stage(name: str, conf: Any) -> SparkStage:
    """Return the task that submits `spark_jobs/<name>.py`; one at a time, since each may use the whole machine."""
    return SparkStage(
        task_id=name,
        conn_id=SPARK_CONNECTION,
        application=str(ENTRY_POINT),
        application_args=[name, "{{ run_id }}"],
        conf=conf,
        name=f"retail-{name}",
        max_active_tis_per_dag=1,
    )
