"""What every job needs of Spark and Delta."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from delta.exceptions import DeltaConcurrentModificationException
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

MAX_CONFLICTS = 8


def spark_session(name: str) -> SparkSession:
    """Return the session spark-submit configured, with Spark's own logging reduced to warnings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    spark = SparkSession.builder.appName(name).getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    return spark


def retry_conflicts(write: Callable[[], ResultT]) -> ResultT:
    """Run `write` again when another run committed to the same files first.

    Raises:
        DeltaConcurrentModificationException: After `MAX_CONFLICTS` attempts.
    """
    for attempt in range(1, MAX_CONFLICTS + 1):
        try:
            return write()
        except DeltaConcurrentModificationException as conflict:
            if attempt == MAX_CONFLICTS:
                raise
            log.warning("Another run wrote first (%s); attempt %d", type(conflict).__name__, attempt + 1)
            time.sleep(0.5 * attempt)
    raise AssertionError("unreachable")


def ensure_table(spark: SparkSession, uri: str, schema: StructType, partitioned_by: Sequence[str] = ()) -> DeltaTable:
    """Return the Delta table at `uri`, created empty if absent."""
    if not DeltaTable.isDeltaTable(spark, uri):

        def create() -> DeltaTable:
            builder = DeltaTable.createIfNotExists(spark).location(uri).addColumns(schema)
            return (builder.partitionedBy(*partitioned_by) if partitioned_by else builder).execute()

        retry_conflicts(create)
    return DeltaTable.forPath(spark, uri)


def table_version(spark: SparkSession, uri: str) -> int:
    """Return the latest version of a Delta table."""
    return int(DeltaTable.forPath(spark, uri).history(1).select("version").head()[0])


def append_once(frame: DataFrame, uri: str, transaction: str, partitioned_by: Sequence[str] = ()) -> None:
    """Append `frame`; a second call with the same transaction name adds nothing."""
    writer = frame.write.format("delta").mode("append").option("txnAppId", transaction).option("txnVersion", 1)
    (writer.partitionBy(*partitioned_by) if partitioned_by else writer).save(uri)


def replace_where(frame: DataFrame, uri: str, predicate: str) -> None:
    """Replace the rows of `uri` that match `predicate` by `frame`, in one commit."""
    retry_conflicts(lambda: frame.write.format("delta").mode("overwrite").option("replaceWhere", predicate).save(uri))


def in_list(column: str, values: Sequence[str]) -> str:
    """Return `column IN ('a', 'b')` for values that hold no quote."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def surrogate_key(natural_key: Column) -> Column:
    """Return the bigint key of a natural key: the first 60 bits of its SHA-256, the same on every engine."""
    return F.conv(F.substring(F.sha2(natural_key, 256), 1, 15), 16, 10).cast("bigint")
