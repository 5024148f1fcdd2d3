"""What every job needs of Spark and Delta."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from deltalake import DeltaTable as DeltaLake
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from include.settings import Settings

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

MAX_CONFLICTS = 8

CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
"""What Delta raises when another commit came first; in Python, unlike in Scala, these share no base class."""

TABLE_EXISTS = "DELTA_PATH_EXISTS"
"""Delta's condition for creating a table that is there."""


def spark_session(name: str) -> SparkSession:
    """Return the session spark-submit configured."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    return SparkSession.builder.appName(name).getOrCreate()


def retry_conflicts(write: Callable[[], ResultT]) -> ResultT:
    """Run `write` again when another run committed to the same files first.

    Raises:
        Exception: One of `CONFLICTS` or a table created meanwhile, after `MAX_CONFLICTS` attempts.
    """
    for attempt in range(1, MAX_CONFLICTS + 1):
        try:
            return write()
        except (*CONFLICTS, AnalysisException) as conflict:
            created_meanwhile = isinstance(conflict, AnalysisException) and conflict.getCondition() == TABLE_EXISTS
            if attempt == MAX_CONFLICTS or not (created_meanwhile or isinstance(conflict, CONFLICTS)):
                raise
            log.warning("Another run wrote first (%s); attempt %d", type(conflict).__name__, attempt + 1)
            time.sleep(0.5 * attempt)
    raise AssertionError("unreachable")


def table_version(uri: str) -> int:
    """Return the latest version of a Delta table."""
    return int(DeltaLake(uri).version())


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

    def read(self, spark: SparkSession) -> DataFrame:
        """Return the rows of the latest version."""
        return spark.read.format("delta").load(self.uri)

    def _creating(self, frame: DataFrame, mode: str) -> DataFrameWriter:
        return (
            frame.write.format("delta")
            .mode(mode)
            .partitionBy(*self.partitioned_by)
            .option("delta.dataSkippingStatsColumns", ",".join(self.statistics))
        )

    def append(self, frame: DataFrame, transaction: str) -> None:
        """Append `frame`; a second call with the same transaction name adds nothing."""
        writer = self._creating(frame, "append").option("txnAppId", transaction).option("txnVersion", 1)
        retry_conflicts(partial(writer.save, self.uri))

    def update(self, spark: SparkSession, first: DataFrame, change: Callable[[], None]) -> None:
        """Create the table with the rows `first`, or `change` it if it is there; again if another run was faster."""

        def write() -> None:
            if self.exists(spark):
                change()
            else:
                self._creating(first, "error").save(self.uri)

        retry_conflicts(write)

    def replace(self, spark: SparkSession, frame: DataFrame, predicate: str) -> None:
        """Replace the rows that match `predicate` by `frame`, in one commit."""
        writer = frame.write.format("delta").mode("overwrite").option("replaceWhere", predicate)
        self.update(spark, frame, partial(writer.save, self.uri))

    def rewrite(self, spark: SparkSession, added: DataFrame, merge: Callable[[DataFrame], DataFrame]) -> None:
        """Replace the whole table by `merge` of its rows and `added`, in one commit; the first rows are `added`.

        The table is read anew at each attempt, so what another run committed in between is merged, not lost.
        """

        def change() -> None:
            rows = merge(self.read(spark).unionByName(added)).coalesce(1)
            rows.write.format("delta").mode("overwrite").save(self.uri)

        self.update(spark, added, change)


def bronze_table(settings: Settings) -> Table:
    """Return Bronze: raw rows."""
    return Table(settings.table("bronze", "invoice_lines"), ("ingest_date",), ("batch_id",))


def silver_table(settings: Settings) -> Table:
    """Return Silver: typed lines."""
    return Table(settings.table("silver", "invoice_lines"), ("invoice_month",), ("batch_id", "invoice_day"))


def in_list(column: str, values: Sequence[str]) -> str:
    """Return `column IN ('a', 'b')` for values that hold no quote."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def surrogate_key(natural_key: Column) -> Column:
    """Return the bigint key of a natural key: the first 60 bits of its SHA-256, the same on every engine."""
    return F.conv(F.substring(F.sha2(natural_key, 256), 1, 15), 16, 10).cast("bigint")
