"""Date and number style of a whole file, and its exact amount, from the staged Parquet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb

from include.domain.line import SWAPPED_MARKS, WHITESPACE
from include.sources.model import DateOrder, FileDecisions

DateSetting = Literal["auto", "day_first", "month_first"]

_QUANTITY = r"[+-]?[0-9]{1,9}(\.0+)?"
_PRICE = r"[+-]?[0-9]{1,10}(\.[0-9]{1,4})?"
_DATE = (
    r"([0-9]{1,4})([-/.])([0-9]{1,2})([-/.])([0-9]{1,4})(?:[ T]([0-9]{1,2}):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
)
_COMMA_DECIMAL = r"[+-]?[0-9.]*[0-9],([0-9]{1,2}|[0-9]{4})"
_POINT_DECIMAL = r"[+-]?[0-9,]*[0-9]\.[0-9]{1,4}"
_POINT_OF_EITHER = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"

_DATES_SQL = """
WITH shaped AS (
    SELECT line_number, trim(invoice_date, $space) AS text,
        regexp_extract(trim(invoice_date, $space), $shape, ['a', 's1', 'b', 's2', 'c', 'hour']) AS part
    FROM read_parquet($path)
    WHERE defect IS NULL AND length(trim(invoice_date, $space)) > 0
), typed AS (
    SELECT line_number, text, part.s1 AS separator, part.hour AS hour, part.a AS a, part.b AS b, part.c AS c,
        part.s1 <> '' AND part.s1 = part.s2 AS dated,
        try_cast(part.a AS INTEGER) AS x, try_cast(part.b AS INTEGER) AS y, try_cast(part.c AS INTEGER) AS z
    FROM shaped
), judged AS (
    SELECT *,
        dated AND length(a) = 4 AND length(c) <= 2 AND y BETWEEN 1 AND 12 AND z BETWEEN 1 AND 31 AS ymd,
        dated AND length(c) = 4 AND length(a) <= 2 AND x BETWEEN 1 AND 12 AND y BETWEEN 1 AND 31 AS mdy,
        dated AND length(c) = 4 AND length(a) <= 2 AND y BETWEEN 1 AND 12 AND x BETWEEN 1 AND 31 AS dmy,
        length(a) = 1 OR length(b) = 1 OR length(hour) = 1 AS unpadded
    FROM typed
)
SELECT separator, count(*), count(*) FILTER (ymd), count(*) FILTER (mdy), count(*) FILTER (dmy),
    coalesce(bool_or(unpadded) FILTER (mdy OR dmy), false), arg_min(text, line_number) FILTER (mdy OR dmy),
    arg_min(text, line_number) FILTER (dmy AND NOT mdy), arg_min(text, line_number) FILTER (mdy AND NOT dmy)
FROM judged GROUP BY separator ORDER BY separator
"""

_MARKS_SQL = """
SELECT count(*) FILTER (regexp_full_match(trim(price, $space), $comma)),
    count(*) FILTER (regexp_full_match(trim(price, $space), $point)),
    count(*) FILTER (regexp_full_match(trim(price, $space), $either))
FROM read_parquet($path) WHERE defect IS NULL
"""

_AMOUNT_SQL = """
WITH numbers AS (
    SELECT translate(trim(quantity, $space), $marks, $plain) AS quantity,
        translate(trim(price, $space), $marks, $plain) AS price
    FROM read_parquet($path) WHERE defect IS NULL
)
SELECT sum(quantity::DECIMAL(19, 0) * price::DECIMAL(19, 4))
FROM numbers
WHERE regexp_full_match(quantity, $quantity) AND regexp_full_match(price, $price)
"""


@dataclass(frozen=True, slots=True)
class _DateTally:
    """How many values with one separator can be read in each order.

    Attributes:
        values: Values with this separator; an empty separator stands for values that are no dates.
        unpadded: Whether a day, month or hour of one digit occurs.
        first: First value with the year last.
        day_first: First value that can only be read day first.
        month_first: First value that can only be read month first.
    """

    separator: str
    values: int
    ymd: int
    mdy: int
    dmy: int
    unpadded: bool
    first: str | None
    day_first: str | None
    month_first: str | None

    @property
    def best(self) -> int:
        """Values readable in the order that fits most."""
        return max(self.ymd, self.mdy, self.dmy)


class StagedStyle:
    """Answers questions about a staged Parquet file, in bounded memory."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """Open `path`; what does not fit in memory goes to `scratch`."""
        self.path = str(path)
        self.connection = duckdb.connect(
            config={"memory_limit": "512MB", "threads": 2, "temp_directory": str(scratch / ".duckdb")}
        )

    def __enter__(self) -> StagedStyle:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def decide_dates(self, decisions: FileDecisions, setting: DateSetting) -> None:
        """Set date order, separator and basis of `decisions`, with a warning wherever doubt is left."""
        rows = self.connection.execute(
            _DATES_SQL, {"path": self.path, "space": WHITESPACE, "shape": f"^{_DATE}$"}
        ).fetchall()
        tallies = [_DateTally(*row) for row in rows]
        total = sum(tally.values for tally in tallies)
        if not total:
            decisions.date_basis = "convention"
            return
        main = max(tallies, key=lambda tally: tally.best)
        if main.best == 0:
            decisions.date_basis = "convention"
            decisions.warnings.append(
                f"None of the {total} invoice dates has a form that can be read, such as 2010-12-01 08:26:00."
            )
            return
        decisions.date_separator = _separator(main.separator)
        order, basis = _order(main, setting)
        decisions.date_order, decisions.date_basis = order, basis
        fitting = {"ymd": main.ymd, "mdy": main.mdy, "dmy": main.dmy}[order]
        if basis != "evidence" and main.day_first is not None and main.month_first is not None:
            decisions.warnings.append(_contradiction(main.day_first, main.month_first, order))
        elif basis == "convention" and main.first is not None:
            decisions.warnings.append(_ambiguity(main.first, order))
        if fitting < total:
            decisions.warnings.append(
                f"{total - fitting} of {total} invoice dates do not fit {_pattern(order, main.separator)}, "
                "the style of the rest; those lines are kept out."
            )

    def decide_decimal_mark(self, decisions: FileDecisions) -> None:
        """Set the decimal mark of `decisions`: a point, unless more prices make sense only with a comma.

        A price such as 1.234 makes sense with either.
        """
        comma, point, either = self._one(
            _MARKS_SQL,
            {
                "path": self.path,
                "space": WHITESPACE,
                "comma": _COMMA_DECIMAL,
                "point": _POINT_DECIMAL,
                "either": _POINT_OF_EITHER,
            },
        )
        decisions.decimal_mark = "," if comma > point - either else "."
        if comma and point:
            few, many, mark = comma, point, "decimal comma"
            if decisions.decimal_mark == ",":
                few, many, mark = point, comma, "point"
            decisions.warnings.append(
                f"{few} prices are written with a {mark}, unlike {many} others; those lines are kept out."
            )

    def amount(self, mark: str) -> Decimal:
        """Return the exact sum of quantity x price in GBP over the records where both are plain numbers.

        Args:
            mark: Decimal mark of the file; the other mark is none.
        """
        marks, plain = SWAPPED_MARKS if mark == "," else ("", "")
        (total,) = self._one(
            _AMOUNT_SQL,
            {
                "path": self.path,
                "space": WHITESPACE,
                "marks": marks,
                "plain": plain,
                "quantity": _QUANTITY,
                "price": _PRICE,
            },
        )
        return Decimal(0) if total is None else Decimal(total)

    def _one(self, sql: str, parameters: dict[str, str]) -> tuple[Any, ...]:
        row = self.connection.execute(sql, parameters).fetchone()
        assert row is not None  # an aggregate without GROUP BY yields one row
        return row


def _order(tally: _DateTally, setting: DateSetting) -> tuple[DateOrder, Literal["evidence", "convention", "setting"]]:
    """Return the order of a file and what it rests on."""
    if tally.ymd >= max(tally.mdy, tally.dmy):
        return "ymd", "evidence"
    if tally.mdy != tally.dmy:
        return ("mdy" if tally.mdy > tally.dmy else "dmy"), "evidence"
    if setting != "auto":
        return ("dmy" if setting == "day_first" else "mdy"), "setting"
    # US spreadsheets write 12/1/2010 8:26, without leading zeros; nearly everyone else writes the day first
    return ("mdy" if tally.separator == "/" and tally.unpadded else "dmy"), "convention"


def _separator(text: str) -> Literal["-", "/", "."]:
    return "/" if text == "/" else "." if text == "." else "-"


def _pattern(order: DateOrder, separator: str) -> str:
    return separator.join({"y": "year", "m": "month", "d": "day"}[letter] for letter in order)


def _ambiguity(first: str, order: DateOrder) -> str:
    parts = re.split(r"[-/.]", first.strip(WHITESPACE), maxsplit=2)
    month, day = (parts[0], parts[1]) if order == "mdy" else (parts[1], parts[0])
    return (
        f"Nothing in the file tells day from month; {first} was read as day {int(day)} of month {int(month)}. "
        f"{_other_order(order)}"
    )


def _contradiction(day_first: str, month_first: str, order: DateOrder) -> str:
    return (
        f"The invoice dates contradict each other: {day_first} can only be day first and {month_first} only month "
        f"first, and as many fit one as the other. All were read {'month' if order == 'mdy' else 'day'} first. "
        f"{_other_order(order)}"
    )


def _other_order(order: DateOrder) -> str:
    return f"Set RETAIL_DATE_ORDER={'day_first' if order == 'mdy' else 'month_first'} if that is wrong."
