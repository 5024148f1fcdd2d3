"""The operator of the Spark stages."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook

from include.lake.reachable import require_spark
from include.lake.submitting import ENTRY_POINT, connect_url
from include.settings import get_settings

SPARK_CONNECTION = "spark_default"


def spark_master() -> str:
    """Return the master that the Spark connection names, in whichever way it does."""
    master: str = SparkSubmitHook(conn_id=SPARK_CONNECTION)._connection["master"]
    return master


class SparkStage(SparkSubmitOperator):
    """SparkSubmitOperator for connections that may lead to a Spark Connect server, too.

    spark-submit takes no `sc://` address for a master: a connection that has one is submitted as a client of that
    server, whose token is the password of the connection.
    """

    def execute(self, context: Any) -> None:
        """Submit the stage, unless nothing answers at the master: spark-submit would try for a minute.

        Raises:
            SparkUnreachable: If nothing does.
        """
        require_spark(get_settings(), spark_master())
        super().execute(context)

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        token = BaseHook.get_connection(SPARK_CONNECTION).password or ""
        url = connect_url(hook._connection["master"], token)
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
