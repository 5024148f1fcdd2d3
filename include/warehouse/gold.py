"""Gold, the star in Delta, read without Spark: what a batch brought to it, for whichever side lacks it.

Stored rows are as SQLite keeps them (`include.warehouse.schema.portable`): decimals scaled to whole numbers, moments
and days as ISO text, booleans as 0 and 1. The same form of a row is what its hash is made of on every side.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal

import pyarrow.csv
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pydantic import Field
from sqlalchemy import Boolean, Column, Date, DateTime

from include.domain.model import Model
from include.domain.star import DIMENSION_RULES, UNKNOWN_KEY, Dimension
from include.runs.folder import RunFolder
from include.runs.marks import unpublished_batches
from include.runs.records import EnrichRecord, GoldRecord, SilverRecord
from include.settings import Settings
from include.warehouse.publishing.batches import Loaded, PublishReport
from include.warehouse.schema.portable import places
from include.warehouse.schema.tables import FACT, STAR, loaded_columns, star_table

FETCHED_ROWS = 50_000

_MEMBERS = {
    "dim_date": """year BETWEEN (SELECT min(date_key) // 10000 FROM picked)
        AND (SELECT max(date_key) // 10000 FROM picked)""",
    "dim_country": """country_key IN (SELECT country_key FROM picked UNION SELECT country_key FROM dim_customer
        WHERE customer_key IN (SELECT customer_key FROM picked)) OR list_contains(?, country)""",
    "dim_product": "product_key IN (SELECT product_key FROM picked) OR list_contains(?, stock_code)",
    "dim_customer": "customer_key IN (SELECT customer_key FROM picked)",
    "dim_invoice": "invoice_key IN (SELECT invoice_key FROM picked)",
    FACT: "",
}
"""Table -> which of its rows belong to the picked facts."""

_NOT_OF_OTHERS = {
    rule.table: f"{rule.key} NOT IN (SELECT {rule.key} FROM others) OR {rule.key} IN (SELECT {rule.key} FROM picked)"
    for rule in DIMENSION_RULES
} | {
    "dim_date": """year NOT IN (SELECT date_key // 10000 FROM others)
        OR year BETWEEN (SELECT min(date_key) // 10000 FROM picked) AND (SELECT max(date_key) // 10000 FROM picked)""",
    FACT: "",
}
_NOT_OF_OTHERS["dim_country"] += f""" OR country_key IN (
    SELECT country_key FROM dim_customer WHERE {_NOT_OF_OTHERS["dim_customer"]})"""
"""Table -> which of its rows are not there for facts that were left out alone."""


class GoldUnreadable(Exception):
    """Gold cannot be read; the message says where it was looked for."""


class GoldBatch(Model):
    """A batch as Gold knows it: all that is needed to publish it without Spark.

    Attributes:
        token: Identity of the Gold output.
        days: Invoice days a rebuild covers; empty for a drop.
        source_batches: Live batches a rebuild was made from; None for a drop.
        unpublished: Batches that were not live when the batch was made; none of their facts came with it.
        months: Invoice months (`YYYY-MM`) that hold its facts; all if empty.
        stale_days: Invoice days whose facts of earlier batches it brought new exchange rates for.
        stale_countries: Countries of earlier batches it brought new facts about.
        stale_products: Stock codes of earlier batches it brought a new category for.
        staged_rows: Rows by table that the Gold job counted.
    """

    batch_id: str
    run_id: str
    kind: Literal["drop", "rebuild"]
    token: str
    days: list[date] = Field(default_factory=list)
    source_batches: list[str] | None = None
    unpublished: list[str] = Field(default_factory=list)
    months: list[str] = Field(default_factory=list)
    stale_days: list[date] = Field(default_factory=list)
    stale_countries: list[str] = Field(default_factory=list)
    stale_products: list[str] = Field(default_factory=list)
    staged_rows: dict[str, int] = Field(default_factory=dict)


def gold_batch(run: RunFolder) -> GoldBatch | None:
    """Return the batch of a run, None if its Gold stage had nothing to do.

    Raises:
        RunRecordMissing: If a stage up to Gold has not finished.
    """
    manifest, gold = run.manifest(), run.stage("gold", GoldRecord)
    if not gold.token:
        return None
    silver, enriched = run.stage("silver", SilverRecord), run.stage("enrich", EnrichRecord)
    rebuild = manifest.kind == "rebuild"
    return GoldBatch(
        batch_id=manifest.batch_id,
        run_id=run.run_id,
        kind=manifest.kind,
        token=gold.token,
        days=manifest.days,
        # A batch that was not live when the rebuild began has a run of its own to say what is live of it.
        source_batches=sorted({*manifest.source_batches} - {*silver.unpublished}) if rebuild else None,
        unpublished=silver.unpublished,
        months=sorted({*silver.months, *[f"{day:%Y-%m}" for day in [*enriched.stale_days, *manifest.days]]}),
        stale_days=enriched.stale_days,
        stale_countries=enriched.stale_countries,
        stale_products=enriched.stale_products,
        staged_rows=gold.staged_rows,
    )


class GoldStar:
    """The star in Delta at one version of each table.

    Use it as a context manager. Facts are picked first; `rows`, `csv` and `count` then give each table's share of them.

    Attributes:
        versions: Delta version of each table.
        connection: DuckDB, with a view of each table in the warehouse's types and, once picked, table `picked`.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the newest version of each table.

        Raises:
            GoldUnreadable: If a table is missing or cannot be opened.
        """
        import duckdb  # takes half a second, which steps that read no Gold need not wait for

        self._settings = settings
        self.versions: dict[str, int] = {}
        self.connection = duckdb.connect()
        self._errors = duckdb.Error
        self.connection.execute("SET TimeZone = 'UTC'")
        self._members: dict[str, list[list[str]]] = {}
        self._conditions = _MEMBERS
        for name in STAR:
            uri = settings.table("gold", name)
            try:
                table = DeltaTable(uri)
                self.versions[name] = int(table.version())
                self.connection.register(f"delta_{name}", table.to_pyarrow_dataset())
                columns = ", ".join(_in_view(column) for column in star_table(name).columns)
                month = ", invoice_month" if name == FACT else ""
                self.connection.execute(f"CREATE VIEW gold_{name} AS SELECT {columns}{month} FROM delta_{name}")
            except (DeltaError, OSError, self._errors) as error:
                self.connection.close()
                raise GoldUnreadable(f"Gold table {name} cannot be read at {uri}: {error}") from error
            self.connection.execute(f"CREATE VIEW {name} AS SELECT * FROM gold_{name}")

    def __enter__(self) -> GoldStar:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close DuckDB.

        Raises:
            GoldUnreadable: If the block ended because the tables could not be read after all.
        """
        self.connection.close()
        if isinstance(error, self._errors):
            raise GoldUnreadable(f"Gold cannot be read: {error}") from error

    def assign(self, owners: Mapping[str, str]) -> None:
        """Take some facts for those of other batches than Gold names.

        A batch takes over the lines of batches that are not live. If one of these is published while the Gold job of
        the other runs, the warehouse has the line as the one's and Gold has it as the other's, until that is published.

        Args:
            owners: Sale id -> batch; Gold is right about all other facts.
        """
        names = {"sale_id": list(owners), "owner": list(owners.values())}
        self.connection.register("owners", pyarrow.table(names, pyarrow.schema(dict.fromkeys(names, pyarrow.string()))))
        self.connection.execute(
            f"CREATE OR REPLACE VIEW {FACT} AS SELECT f.* REPLACE (coalesce(owner, batch_id) AS batch_id) "
            f"FROM gold_{FACT} f LEFT JOIN owners USING (sale_id)"
        )

    def pick_batch(self, batch: GoldBatch) -> list[date]:
        """Pick the facts a batch brought, as Gold has them now; return their invoice days in order."""
        condition = "(list_contains(?::INTEGER[], date_key) AND NOT list_contains(?::VARCHAR[], batch_id)"
        # Batches that have come to Gold since then, and are not live, have a publish of their own to come.
        not_live = sorted({*batch.unpublished, *unpublished_batches(self._settings)} - {batch.batch_id})
        parameters: list[Any] = [_keys([*batch.days, *batch.stale_days]), not_live]
        if batch.kind == "drop":
            condition += " OR batch_id = ?"
            parameters.append(batch.batch_id)
        condition += ")"
        if batch.months:
            condition += " AND list_contains(?, invoice_month)"
            parameters.append(batch.months)
        self._pick(condition, parameters)
        self._members = {"dim_country": [batch.stale_countries], "dim_product": [batch.stale_products]}
        return self.picked_days()

    def pick_days(self, days: Sequence[date], without: Iterable[str] = ()) -> None:
        """Pick the facts of some invoice days, but those of `without` (`batch_id:date_key`)."""
        months = sorted({f"{day:%Y-%m}" for day in days})
        self._pick(
            "list_contains(?, invoice_month) AND list_contains(?::INTEGER[], date_key) "
            "AND NOT list_contains(?::VARCHAR[], batch_id || ':' || date_key)",
            [months, _keys(days), sorted(without)],
        )

    def pick_all(self, without: Iterable[str] = ()) -> None:
        """Pick every fact but those of `without` (`batch_id:date_key`), without copying them.

        Members that no fact refers to any more, as after a rebuild, belong to them.
        """
        left_out = f"batch_id || ':' || date_key IN ({_literals(sorted(without)) or 'NULL'})"
        self._name_picked(f"{FACT} WHERE ({left_out}) IS NOT TRUE")
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW others AS SELECT * FROM {FACT} WHERE {left_out}")
        self._members = {}
        self._conditions = _NOT_OF_OTHERS

    def pick_published(self, reports: Mapping[str, PublishReport]) -> frozenset[str]:
        """Pick every fact that was published; return the others as `batch_id:date_key`.

        Args:
            reports: The published batches.
        """
        left_out = self.unpublished(reports)
        self.pick_all(left_out)
        return left_out

    def _pick(self, condition: str, parameters: list[Any]) -> None:
        query = f"CREATE OR REPLACE TEMP TABLE picked_facts AS SELECT * FROM {FACT} WHERE {condition}"
        self.connection.execute(query, parameters)
        self._name_picked("picked_facts")

    def _name_picked(self, source: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW picked AS SELECT * FROM {source}")
        self._members = {"dim_country": [[]], "dim_product": [[]]}
        self._conditions = _MEMBERS

    def picked_days(self) -> list[date]:
        """Return the invoice days of the picked facts in order."""
        found = self.connection.execute("SELECT DISTINCT sold_at::DATE FROM picked ORDER BY 1").fetchall()
        return [row[0] for row in found]

    def picked_span(self) -> tuple[datetime, datetime] | tuple[None, None]:
        """Return the times of the first and the last picked fact, shop local time."""
        row = self.connection.execute("SELECT min(sold_at), max(sold_at) FROM picked").fetchone()
        return (row[0], row[1]) if row and row[0] is not None else (None, None)

    def picked_of(self, batch_id: str) -> Loaded:
        """Return the picked facts that are of a batch."""
        query = """SELECT currency, count(*), sum(amount)::DECIMAL(38, 6), sum(original_amount)::DECIMAL(38, 6)
            FROM picked WHERE batch_id = ? GROUP BY 1 ORDER BY 1"""
        found = self.connection.execute(query, [batch_id]).fetchall()
        amount = sum((row[2] for row in found), Decimal(0))
        return Loaded(sum(row[1] for row in found), amount, {row[0]: row[3] for row in found})

    def groups(self) -> set[tuple[str, int]]:
        """Return batch and date_key of every fact in Gold."""
        return set(self.connection.execute(f"SELECT DISTINCT batch_id, date_key FROM {FACT}").fetchall())

    def unpublished(self, reports: Mapping[str, PublishReport]) -> frozenset[str]:
        """Return the facts of Gold that were never published, as `batch_id:date_key`.

        A fact was published with its batch, or with a later rebuild of its day; but a rebuild leaves out the batches
        that are not live.

        Args:
            reports: The published batches.
        """
        rebuilt: dict[int, str] = {}
        for report in reports.values():
            for key in _keys(report.rebuilt_days):
                rebuilt[key] = max(rebuilt.get(key, ""), report.batch_id)
        not_live = {*unpublished_batches(self._settings)}
        return frozenset(
            f"{batch_id}:{key}"
            for batch_id, key in self.groups()
            if batch_id not in reports and (batch_id in not_live or batch_id >= rebuilt.get(key, ""))
        )

    def ids_of(self, groups: Iterable[str]) -> list[str]:
        """Return the sale ids of the facts in `groups` (`batch_id:date_key`)."""
        query = f"SELECT sale_id FROM {FACT} WHERE list_contains(?::VARCHAR[], batch_id || ':' || date_key)"
        return [row[0] for row in self.connection.execute(query, [sorted(groups)]).fetchall()]

    def ids_in(self, months: Iterable[str], batch_ids: Iterable[str]) -> list[str]:
        """Return the sale ids of the facts of some batches in some invoice months (`YYYY-MM`), all if none."""
        query = f"""SELECT sale_id FROM {FACT} WHERE list_contains(?::VARCHAR[], batch_id)
            AND (len(?::VARCHAR[]) = 0 OR list_contains(?::VARCHAR[], invoice_month))"""
        chosen = sorted(months)
        found = self.connection.execute(query, [sorted(batch_ids), chosen, chosen]).fetchall()
        return [row[0] for row in found]

    def orphans(self) -> dict[str, int]:
        """Return how many references to each dimension have no member: of the picked facts, and of its customers."""
        missing = {}
        for rule in DIMENSION_RULES:
            of_facts = f"SELECT {rule.key} AS key FROM picked"
            of_customers = "UNION ALL SELECT country_key FROM dim_customer" if rule.table == "dim_country" else ""
            query = f"""SELECT count(*) FROM ({of_facts} {of_customers}) WHERE key <> {UNKNOWN_KEY}
                AND key NOT IN (SELECT {rule.key} FROM {rule.table})"""
            # Fetched whole, since DuckDB starts no Arrow reader beside a result that has not been.
            [(rows,)] = self.connection.execute(query).fetchall()
            if rows:
                missing[rule.table] = int(rows)
        return missing

    def count(self, table: str) -> int:
        """Return how many rows of `table` belong to the picked facts."""
        query = f"SELECT count(*) FROM {self._source(table)}"
        row = self.connection.execute(query, self._members.get(table, [])).fetchone()
        return int(row[0]) if row else 0

    def member_keys(self, dimension: Dimension) -> set[int]:
        """Return the keys of the members of a dimension that belong to the picked facts."""
        query = f"SELECT {dimension.key} FROM {self._source(dimension.table)}"
        return {row[0] for row in self.connection.execute(query, self._members.get(dimension.table, [])).fetchall()}

    def rows(self, table: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the stored rows of `table` that belong to the picked facts, in lots, facts in order of time."""
        columns = ", ".join(stored(column) for column in loaded_columns(table))
        query = f"SELECT {columns} FROM {self._source(table)}"
        if table != FACT:
            yield from self._lots(query, self._members.get(table, []))
            return
        # Month by month, as Gold is partitioned: the facts as a whole take more than a gigabyte to be sorted.
        for (month,) in self.connection.execute("SELECT DISTINCT invoice_month FROM picked ORDER BY 1").fetchall():
            yield from self._lots(f"{query} WHERE invoice_month = ? ORDER BY sold_at", [month])

    def _lots(self, query: str, parameters: Sequence[object]) -> Iterator[list[tuple[Any, ...]]]:
        found = self.connection.execute(query, parameters)
        while lot := found.fetchmany(FETCHED_ROWS):
            yield lot

    def csv(self, table: str) -> Iterator[bytes]:
        """Yield the rows of `table` that belong to the picked facts as PostgreSQL reads CSV without a header."""
        columns = ", ".join(f"{column.name}::VARCHAR" for column in loaded_columns(table))
        query = f"SELECT {columns} FROM {self._source(table)}"
        relation = self.connection.sql(query, params=self._members.get(table, []))
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
        for lot in relation.to_arrow_reader(FETCHED_ROWS):
            text = io.BytesIO()
            pyarrow.csv.write_csv(lot, text, options)
            yield text.getvalue()

    def _source(self, table: str) -> str:
        return "picked" if table == FACT else f"{table} WHERE {self._conditions[table]}"


def stored(column: Column[Any]) -> str:
    """Return DuckDB's expression for a column of the star as SQLite stores it."""
    scale = places(column.type)
    if scale is not None:
        return f"({column.name}::DECIMAL(28, {scale}) * {10**scale})::BIGINT"
    if isinstance(column.type, DateTime):
        return f"strftime({column.name}, '%Y-%m-%d %H:%M:%S.%f')"
    if isinstance(column.type, Date):
        return f"{column.name}::VARCHAR"
    if isinstance(column.type, Boolean):
        return f"{column.name}::INTEGER"
    return column.name


def _in_view(column: Column[Any]) -> str:
    # Spark writes times without a zone as moments in UTC.
    return f"{column.name}::TIMESTAMP AS {column.name}" if isinstance(column.type, DateTime) else column.name


def _keys(days: Iterable[date]) -> list[int]:
    return sorted({day.year * 10000 + day.month * 100 + day.day for day in days})


def _literals(values: Iterable[str]) -> str:
    return ", ".join("'{}'".format(value.replace("'", "''")) for value in values)
