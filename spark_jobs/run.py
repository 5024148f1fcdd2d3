"""The entry point of the Spark stages.

Usage: spark-submit run.py bronze|silver|gold RUN_ID
"""

from __future__ import annotations

import sys

# spark-submit puts a ZIP file of PySpark first, which Python compiles anew at every start, for a second. The installed
# package is the same and compiled.
sys.path[:] = [path for path in sys.path if not path.endswith("pyspark.zip")]


def main(stage: str, run_id: str) -> None:
    """Run one stage of a run.

    Args:
        stage: `bronze`, `silver` or `gold`.
        run_id: Airflow run id.
    """
    from importlib import import_module

    from include.lake.connect_server import end_with_parent
    from include.lake.in_use import lake_in_use
    from include.settings import get_settings

    # Else the client of a Spark Connect server would live on beside the next attempt when spark-submit is killed.
    end_with_parent("java")
    with lake_in_use(get_settings()):
        import_module(f"spark_jobs.{stage}").main(run_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
