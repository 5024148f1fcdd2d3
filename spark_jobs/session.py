"""What every job needs of Spark and Delta."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from delta.exceptions import DeltaConcurrentModificationException
from delta.tables import DeltaTable
from deltalake import DeltaTable as DeltaLake
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

MAX_CONFLICTS = 8


def spark_session(name: str) -> SparkSession:
    """Return the session spark-submit configured."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    return SparkSession.builder.appName(name).getOrCreate()


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


def table_version(uri: str) -> int:
    """Return the latest version of a Delta table."""
    return int(DeltaLake(uri, without_files=True).version())


@dataclass(frozen=True)
class Table:
    """A Delta table that its first write creates.

    Attributes:
        uri: Where it is.
        partitioned_by: Partition columns.
        statistics: Columns to keep minimum and maximum of, so that reads skip files; each costs time at every write.
    """

    uri: str
    partitioned_by: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()

    def exists(self, spark: SparkSession) -> bool:
        """Return whether something was written."""
        return bool(DeltaTable.isDeltaTable(spark, self.uri))

    def append(self, frame: DataFrame, transaction: str | None = None) -> None:
        """Append `frame`; a second call with the same transaction name adds nothing."""
        writer = (
            frame.write.format("delta")
            .mode("append")
            .partitionBy(*self.partitioned_by)
            .option("delta.dataSkippingStatsColumns", ",".join(self.statistics))
        )
        if transaction is not None:
            writer = writer.option("txnAppId", transaction).option("txnVersion", 1)
        writer.save(self.uri)

    def replace(self, spark: SparkSession, frame: DataFrame, predicate: str | None = None) -> None:
        """Replace the rows that match `predicate` (all if None) by `frame`, in one commit."""

        def write() -> None:
            if not self.exists(spark):
                self.append(frame)
                return
            writer = frame.write.format("delta").mode("overwrite")
            (writer.option("replaceWhere", predicate) if predicate else writer).save(self.uri)

        retry_conflicts(write)


def in_list(column: str, values: Sequence[str]) -> str:
    """Return `column IN ('a', 'b')` for values that hold no quote."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def surrogate_key(natural_key: Column) -> Column:
    """Return the bigint key of a natural key: the first 60 bits of its SHA-256, the same on every engine."""
    return F.conv(F.substring(F.sha2(natural_key, 256), 1, 15), 16, 10).cast("bigint")
