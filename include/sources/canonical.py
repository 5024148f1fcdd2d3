"""A staged file's values brought to one form: what Spark reads is alike for every file.

Dates become `2010-12-01 08:26:00`, numbers `-1234.5`, the usual words for nothing become null. What the file wrote
instead is kept in column `written`. A value that is not understood stays as it is and is judged by the rules of a line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.domain.line import FORMS, WHITESPACE, parse_date
from include.files import replacing
from include.sources.dates import DateSetting, decide_dates
from include.sources.model import CANONICAL_COLUMNS, FileDecisions
from include.sources.numbers import Number, NumberStyle
from include.sources.staged import BATCH_ROWS, SCHEMA, WRITTEN_AS

NOTHING = ("nan", "nat", "null", "none", "n/a", "#n/a", "#n/a n/a", "<na>", "nil", "-", "--")
"""What spreadsheets, databases and pandas write for an absent value, in lower case. NA is a country: Namibia."""


def _number(column: str, field: str, kind: str) -> str:
    """Return SQL for the number that a text column holds."""
    text = f"trim({column}, $space)"
    return f"CASE WHEN regexp_full_match({text}, '{FORMS[field]}') THEN TRY_CAST({text} AS {kind}) END"


UNREAD = "? "
"""Begins the text of a number that the style of its file cannot read, so that the rules of a line keep it out."""

_DISTINCT = """
SELECT text, count(*), min(line_number) FROM (
    SELECT trim({column}, $space) AS text, line_number FROM read_parquet($path) WHERE defect IS NULL
) WHERE lower(text) NOT IN (SELECT unnest($nothing)) AND text <> '' GROUP BY text ORDER BY 3
"""


def _with_worth(lines: str) -> str:
    """Return SQL for lines with quantity and price as numbers, and worth: what Spark counts them as.

    They are null where a text is no number of its form, and worth where it cannot be told exactly. DuckDB multiplies in
    64 bits unless the type of a number has more, as that of the price has.
    """
    return f"""
SELECT * EXCLUDE (amount, own, product), CASE WHEN product IS NULL THEN NULL WHEN amount <> '' THEN own
    WHEN product = product::DECIMAL(26, 6) THEN product::DECIMAL(26, 6) END AS worth
FROM (
    SELECT *, quantity * price AS product FROM (
        SELECT * REPLACE (
                {_number("quantity", "quantity", "DECIMAL(13, 4)")} AS quantity,
                {_number("price", "price", "DECIMAL(20, 6)")} AS price,
                coalesce(trim(amount, $space), '') AS amount
            ), {_number("amount", "line_amount", "DECIMAL(26, 6)")} AS own
        FROM ({lines})
    )
)"""


LINES = _with_worth(
    "SELECT line_number, extras, currency, quantity, price, amount FROM read_parquet($path) WHERE defect IS NULL"
)
_EQUAL_LINES = _with_worth(
    "SELECT currency, quantity, price, amount, count(*) AS lines FROM read_parquet($path) WHERE defect IS NULL "
    "GROUP BY ALL"
)


class StagedValues:
    """The values of a staged Parquet file, asked and changed in bounded memory."""

    def __init__(self, path: Path) -> None:
        """Open `path`; what does not fit in memory goes beside it."""
        self.path = path
        self.connection = duckdb.connect(
            config={"memory_limit": "512MB", "threads": 2, "temp_directory": str(path.parent / ".duckdb")}
        )

    def __enter__(self) -> StagedValues:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def distinct(self, column: str) -> dict[str, int]:
        """Return the trimmed texts of a column and how often each occurs, in the order of the file."""
        rows = self.ask(_DISTINCT.format(column=column), nothing=list(NOTHING)).fetchall()
        return {text: count for text, count, _ in rows}

    def amounts(self, base: str) -> dict[str, Decimal]:
        """Return by currency the exact sum of what the lines are worth, over those where it can be told."""
        rows = self.ask(
            f"SELECT coalesce(currency, $base), sum(worth * lines::DECIMAL(12, 0)) FROM ({_EQUAL_LINES}) "
            "WHERE worth IS NOT NULL GROUP BY 1",
            base=base,
        )
        return dict(rows.fetchall())

    def rewrite(self, changes: Mapping[str, Mapping[str, str]], currencies: pa.Array | None = None) -> None:
        """Write changed values to the file, and null for a word for nothing; leave it alone if there is none.

        Args:
            changes: Column -> trimmed text -> what it becomes.
            currencies: What column `currency` becomes, record by record.
        """
        changed = {column: _Change(column, values) for column, values in changes.items() if values}
        emptied = self._columns_with_nothing()
        if not changed and not emptied and currencies is None:
            return
        done = 0
        source = pq.ParquetFile(self.path)
        with replacing(self.path) as partial, pq.ParquetWriter(partial, SCHEMA, **WRITTEN_AS) as writer:
            for batch in source.iter_batches(BATCH_ROWS):
                if currencies is not None:
                    place = batch.schema.get_field_index("currency")
                    batch = batch.set_column(place, "currency", currencies.slice(done, batch.num_rows))
                    done += batch.num_rows
                writer.write_batch(_rewritten(batch, changed, emptied))

    def _columns_with_nothing(self) -> list[str]:
        counts = ", ".join(
            f"count(*) FILTER (lower(trim({column}, $space)) IN (SELECT unnest($nothing)))"
            for column in CANONICAL_COLUMNS
        )
        row = self.ask(f"SELECT {counts} FROM read_parquet($path)", nothing=list(NOTHING)).fetchone()
        assert row is not None  # an aggregate without GROUP BY yields one row
        return [column for column, count in zip(CANONICAL_COLUMNS, row, strict=True) if count]

    def ask(self, statement: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        """Run a statement in which $path is the file and $space what is trimmed; return its result."""
        return self.connection.execute(statement, {"path": str(self.path), "space": WHITESPACE} | parameters)


class _Change:
    """What the values of a column become, as Arrow looks them up."""

    def __init__(self, column: str, values: Mapping[str, str]) -> None:
        self.texts = pa.array(list(values), pa.string())
        self.becomes = pa.array(list(values.values()), pa.string())
        self.written = pa.array([_member(column, text) for text in values], pa.string())


def _rewritten(batch: pa.RecordBatch, changed: Mapping[str, _Change], emptied: Sequence[str]) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in batch.schema.names}
    written: list[pa.Array] = []
    for name in CANONICAL_COLUMNS:
        if name not in changed and name not in emptied:
            continue
        text = pc.utf8_trim(columns[name], characters=WHITESPACE)
        if name in changed:
            known = pc.index_in(text, value_set=changed[name].texts)
            columns[name] = pc.coalesce(changed[name].becomes.take(known), columns[name])
            written.append(changed[name].written.take(known))
        if name in emptied:
            nothing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(NOTHING))
            words = pc.if_else(nothing, text, None).to_pylist()
            written.append(pa.array([_member(name, word) if word else None for word in words], pa.string()))
            columns[name] = pc.if_else(nothing, None, columns[name])
    if not written:
        return batch
    members = [", ".join(filter(None, values)) for values in zip(*(one.to_pylist() for one in written), strict=True)]
    columns["written"] = pa.array([f"{{{text}}}" if text else None for text in members], pa.string())
    return pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _member(name: str, text: str) -> str:
    return json.dumps({name: text}, ensure_ascii=False)[1:-1]


def dates_changed(
    dates: Mapping[str, int], decisions: FileDecisions, setting: DateSetting, zone: ZoneInfo
) -> dict[str, str]:
    """Decide the style of the dates; return the form of those that have another one in the file.

    Raises:
        SourceRejected: As `decide_dates`.
    """
    if all(parse_date(text) for text in dates):
        return {}
    style = decide_dates(dates, decisions, setting, zone)
    found = {text: moment for text in dates if (moment := style.read(text)) is not None}
    return {text: moment.isoformat(sep=" ") for text, moment in found.items() if parse_date(text) != moment}


def numbers_changed(numbers: Mapping[str, int], style: NumberStyle) -> dict[str, Number]:
    """Return the numbers that have another form in the file.

    Where decimals have a comma, what is no number in that style becomes none: 2.55 would be one to the rules of a line.
    """
    found = {text: style.read(text) or Number(f"{UNREAD}{text}" if style.mark == "," else text) for text in numbers}
    return {text: number for text, number in found.items() if number.text != text}


def currencies(numbers: Mapping[str, int], changed: Mapping[str, Number]) -> Counter[str]:
    """Return the currency signs and codes that stand with numbers, and with how many of them."""
    found: Counter[str] = Counter()
    for text, number in changed.items():
        if number.currency:
            found[number.currency] += numbers[text]
    return found
