"""What every stage needs of Spark and Delta."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

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
from deltalake import DeltaTable
from pyspark import StorageLevel
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from include.lake.connect_server import server_in_use
from include.lake.submitting import session_conf
from include.settings import EMBEDDED, Settings

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession as ConnectSession

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

LOST_SERVER_RETRIES = 3
"""A server that is gone stays gone: its successor has another port. The task's next attempt finds it."""


class LakeOutdated(Exception):
    """The lake was written by a version whose tables mean something else."""


@contextmanager
def spark_session(
    settings: Settings, name: str, input_bytes: int, unless: Callable[[], bool] = lambda: False
) -> Iterator[SparkSession]:
    """Yield the session of a stage, on the Spark Connect server of the settings or as spark-submit configured it.

    Args:
        settings: Where the stages run.
        name: Name of the application.
        input_bytes: Size of what the run reads.
        unless: Whether no session is needed after all, asked while the embedded server starts.

    Raises:
        SparkServerNotNeeded: If `unless` says so.
        SparkServerUnavailable: If the embedded server cannot be had.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    remote, properties = settings.spark_remote.get_secret_value(), session_conf(input_bytes)
    if remote == EMBEDDED:
        with server_in_use(settings, unless) as url, _closing(shared(url, properties), properties) as spark:
            yield spark
    elif remote:
        with _closing(connected(remote), properties) as spark:
            yield spark
    else:
        with _closing(SparkSession.builder.appName(name).getOrCreate(), properties) as spark:
            yield spark


def shared(url: str, properties: Mapping[str, str]) -> SparkSession:
    """Return the session that all stages with the same properties have on the embedded server.

    Spark compiles a query for each session anew, and the JVM warms up anew with it. The session stays when it is
    stopped here. What a stage makes in it, cached rows and temporary views, has names of its own.
    """
    identity = uuid.uuid5(uuid.NAMESPACE_OID, repr(sorted(properties.items())))
    session = connected(f"{url};session_id={identity}", LOST_SERVER_RETRIES)
    cast("ConnectSession", session).release_session_on_close = False
    return session


def connected(url: str, retries: int | None = None) -> SparkSession:
    """Return a session on a Spark Connect server, its own unless the address names one.

    Args:
        url: Its `sc://` address.
        retries: How often to repeat a call that the server does not answer; PySpark's default, some ten minutes, if
            not given.
    """
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    # The builder of `pyspark.sql` refuses an address where spark-submit has set a master.
    import delta.connect  # noqa: F401  # names Delta's conflicts
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    session = ConnectSession.builder.remote(url).create()
    if retries is not None:
        session.client.set_retry_policies([DefaultPolicy(max_retries=retries)])
    return cast("SparkSession", session)


@contextmanager
def _closing(spark: SparkSession, properties: Mapping[str, str]) -> Iterator[SparkSession]:
    try:
        for key, value in properties.items():
            spark.conf.set(key, value)
        yield spark
    finally:
        spark.stop()


@contextmanager
def persisted(*frames: DataFrame) -> Iterator[None]:
    """Keep the rows of `frames`, once computed, until the context ends: a Spark Connect server lives on after it."""
    for frame in frames:
        frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield
    finally:
        for frame in frames:
            frame.unpersist()


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
    return int(DeltaTable(uri).version())


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

    def exists(self) -> bool:
        """Return whether something was written."""
        return bool(DeltaTable.is_deltatable(self.uri))

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

    def append(self, frame: DataFrame) -> None:
        """Append `frame`.

        Where `frame` reads this table, Delta takes the append for dependent on what was read, so that it conflicts with
        rows that another run adds meanwhile.
        """
        self._creating(frame, "append").save(self.uri)

    def append_once(self, frame: DataFrame, transaction: str) -> None:
        """Append `frame`; a second call with the same transaction name adds nothing."""
        writer = self._creating(frame, "append").option("txnAppId", transaction).option("txnVersion", 1)
        retry_conflicts(partial(writer.save, self.uri))

    def update(self, first: DataFrame, change: Callable[[], None]) -> None:
        """Create the table with the rows `first`, or `change` it if it is there; again if another run was faster."""

        def write() -> None:
            if self.exists():
                change()
            else:
                self._creating(first, "error").save(self.uri)

        retry_conflicts(write)

    def replace(self, frame: DataFrame, predicate: str) -> None:
        """Replace the rows that match `predicate` by `frame`, in one commit."""
        writer = frame.write.format("delta").mode("overwrite").option("replaceWhere", predicate)
        self.update(frame, partial(writer.save, self.uri))

    def rewrite(
        self,
        spark: SparkSession,
        added: DataFrame,
        merge: Callable[[DataFrame], DataFrame],
    ) -> None:
        """Replace the whole table by `merge` of its rows and `added`, in one commit.

        The table is read again at each attempt, so what another run committed in between is merged, not lost.

        Args:
            spark: Session.
            added: Rows to add; the first rows if there is no table.
            merge: Returns one row a key.
        """

        def change() -> None:
            rows = merge(self.read(spark).unionByName(added)).coalesce(1)
            rows.write.format("delta").mode("overwrite").save(self.uri)

        self.update(added, change)

    def merge(self, frame: DataFrame, condition: str, clauses: str) -> None:
        """Merge `frame` (named `s` in SQL) into the table (named `t`).

        Args:
            frame: The rows to merge.
            condition: When a row of one is a row of the other.
            clauses: `WHEN [NOT] MATCHED ...` of MERGE INTO.
        """
        view = f"merged_{uuid.uuid4().hex}"
        frame.createTempView(view)
        statement = f"MERGE INTO delta.`{self.uri}` t USING {view} s ON {condition} {clauses}"
        try:
            retry_conflicts(lambda: frame.sparkSession.sql(statement).collect())
        finally:
            frame.sparkSession.catalog.dropTempView(view)


def bronze_table(settings: Settings) -> Table:
    """Return Bronze: raw rows.

    Raises:
        LakeOutdated: If an earlier version wrote it: a rebuild would lose lines.
    """
    table = Table(settings.table("bronze", "invoice_lines"), ("ingest_date",), ("batch_id",))
    _refuse_outdated(settings, table, "occurrence")
    return table


def silver_table(settings: Settings) -> Table:
    """Return Silver: typed lines.

    Raises:
        LakeOutdated: If an earlier version wrote it: its numbers have fewer decimal places.
    """
    table = Table(settings.table("silver", "invoice_lines"), ("invoice_month",), ("batch_id", "invoice_day"))
    _refuse_outdated(settings, table, "amount_declared")
    return table


def _refuse_outdated(settings: Settings, table: Table, newest: str) -> None:
    """Raise `LakeOutdated` if a table is there without the column that was added last."""
    if table.exists() and newest not in {field.name for field in DeltaTable(table.uri).schema().fields}:
        raise LakeOutdated(
            f"{table.uri} was written by an earlier version, which kept less of each line. "
            f"Start with an empty data folder and drop the files of {settings.data_dir / 'archive'} again."
        )


def in_list(column: str, values: Sequence[str]) -> str:
    """Return `column IN ('a', 'b')` for values that hold no quote."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def surrogate_key(natural_key: Column) -> Column:
    """Return the bigint key of a natural key: the first 60 bits of its SHA-256, the same on every engine."""
    return F.conv(F.substring(F.sha2(natural_key, 256), 1, 15), 16, 10).cast("bigint")
