"""The operator of the Spark stages."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook

from include.lake.submitting import ENTRY_POINT, connect_url

SPARK_CONNECTION = "spark_default"


class SparkStage(SparkSubmitOperator):
    """Submits `spark_jobs/<stage>.py` of a run; one at a time, since each may use the whole machine.

    spark-submit takes no `sc://` address for a master. A connection that has one is submitted as a client of that Spark
    Connect server; a token is the connection's password.
    """

    def __init__(self, stage: str, **arguments: Any) -> None:
        """Take the stage's name and what SparkSubmitOperator takes."""
        super().__init__(
            conn_id=SPARK_CONNECTION,
            application=str(ENTRY_POINT),
            application_args=[stage, "{{ run_id }}"],
            name=f"retail-{stage}",
            max_active_tis_per_dag=1,
            **arguments,
        )

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        connection = BaseHook.get_connection(SPARK_CONNECTION)
        url = connect_url(connection.host or "", connection.port, connection.password or "")
        if url:
            hook._connection["master"] = "local[1]"
            hook._env = {"RETAIL_SPARK_REMOTE": url}
        return hook
