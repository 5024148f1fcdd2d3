"""Append rows to a Delta table one commit at a time, as a Spark driver of its own.

Usage: spark-submit committing.py URI WRITER COMMITS
"""

from __future__ import annotations

import sys
from functools import partial

from pyspark.sql import SparkSession

from spark_jobs.session import retry_conflicts


def main(uri: str, writer: str, commits: int) -> None:
    """Append one row `(writer, number)` in each commit."""
    spark = SparkSession.builder.getOrCreate()
    for number in range(commits):
        row = spark.createDataFrame([(writer, number)], "writer string, number int")
        retry_conflicts(partial(row.write.format("delta").mode("append").save, uri))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
