"""The rows of a staged file with the values that a profile names: texts, numbers and what the statuses say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from include.sources.canonical import NOTHING, StagedValues
from include.sources.currency import candidates
from include.sources.dates import DateStyle, decide_dates
from include.sources.defects import reject
from include.sources.model import FileDecisions
from include.sources.numbers import Number, decide_numbers
from include.sources.profiles.model import Charge, Profile, Status, with_parents
from include.sources.profiles.sql import NUMBER, Compiler, in_extras, quoted, texts_in, without_case
from include.sources.profiles.values import folded, is_number

NUMBERS = ("quantity", "price", "amount")
TEXTS = ("invoice", "stock_code", "description", "invoice_date", "customer_id", "country")

_LARGEST = Decimal(10) ** 12
"""Numbers of this size and above are not read: products of two would not fit."""

_SCALE = 6
_NAMES_TOLD = 10


def check_columns(profile: Profile, decisions: FileDecisions) -> None:
    """Tell which columns of a file are new or missing; refuse them if its profile is strict.

    Raises:
        SourceRejected: profile_columns.
    """
    named = with_parents((*profile.used(), *profile.known, *profile.ignored, *profile.recognise.columns))
    found = [*decisions.header.values(), *decisions.extra_columns]
    new = [name for name in found if folded(name) not in named and not folded(name).startswith("column_")]
    missing = profile.lacking(lambda name: location(name, profile, decisions) is not None)
    if new:
        decisions.warnings.append(f"Columns that profile {profile.name} does not name: {_listed(new)}.")
    if missing:
        told = f"Columns that profile {profile.name} names are not in the file: {_listed(missing)}."
        decisions.warnings.append(told)
    if profile.strict and (new or missing):
        told = " and ".join(
            f"{what} {_listed(names)}" for what, names in (("new are", new), ("missing are", missing)) if names
        )
        raise reject("profile_columns", profile=profile.name, told=told)


def location(name: str, profile: Profile, decisions: FileDecisions) -> str | None:
    """Return the expression of a column of the sender's in the staged file, None if there is none.

    A name with points is that of a column, or the path to a member of one that holds JSON.
    """
    canonical = profile.direct().get(folded(name))
    if canonical is not None and canonical in decisions.header:
        return canonical
    return in_extras(name, decisions.extra_columns)


class ProfiledRows:
    """Makes table `rows` of a staged file, and with it table `dates`."""

    def __init__(self, values: StagedValues, profile: Profile, decisions: FileDecisions, base_currency: str) -> None:
        """Prepare.

        Args:
            values: The staged rows: canonical columns that the profile simply names, all others as extras.
            profile: The layout.
            decisions: Says which columns there are; gets what is decided.
            base_currency: ISO 4217 code of the currency where nothing says another.
        """
        self.values = values
        self.connection: duckdb.DuckDBPyConnection = values.connection
        self.profile = profile
        self.decisions = decisions
        self.base = base_currency
        self.source = {folded(name): f"source_{position}" for position, name in enumerate(profile.used())}
        self.compiled = Compiler(self.source, profile.values.minor_places)

    def make(self, zone: ZoneInfo) -> None:
        """Make the tables.

        rows has position (that in the file: sheets and lists in JSON repeat the numbers of lines), line_number, page,
        extras, defect, raw; the texts; for each of the numbers itself and, as name_text, what the file says; total;
        charge_0 ... with their signs; status_0 ... (texts) and outcome_0 ...; outcome; unreadable; unpriced; currency;
        signs (of currencies, beside its amounts) and sign_currencies. dates has text and moment.

        Args:
            zone: The shop's.

        Raises:
            SourceRejected: ambiguous_numbers, ambiguous_dates.
        """
        self._make_source()
        self._make_rows()
        self._make_dates(zone)

    def _make_source(self) -> None:
        """Make table `source`: the columns that the profile names, filled down, and the invoice."""
        nothing = ", ".join(map(quoted, (*NOTHING, "", "[]")))
        columns = ["file_row_number AS position", "line_number", "page", "extras", "defect", "raw"]
        for name in self.profile.used():
            text = f"trim({location(name, self.profile, self.decisions) or 'NULL::VARCHAR'}, $space)"
            columns.append(f"CASE WHEN lower({text}) NOT IN ({nothing}) THEN {text} END AS {self.source[folded(name)]}")
        carried = [self.source[folded(name)] for name in self.profile.carry]
        filled = [self.source[folded(name)] for name in self.profile.fill_down]
        self.values.ask(
            f"""
            CREATE TEMP TABLE source AS
            WITH raw_rows AS (SELECT {", ".join(columns)} FROM read_parquet($path, file_row_number = true)),
            carried AS (SELECT * {_replaced(carried, _FROM_ABOVE)} FROM raw_rows),
            numbered AS (SELECT *, {self.compiled.text(self.profile.columns.invoice)} AS invoice FROM carried)
            SELECT * {_replaced(filled, _FROM_INVOICE)} FROM numbered
            """
        )

    def _make_rows(self) -> None:
        columns, profile, compiled = self.profile.columns, self.profile, self.compiled
        chosen: dict[str, str] = {}
        for name in TEXTS[1:]:
            chosen[name] = compiled.text(getattr(columns, name))
        for name in ("description", "customer_id", "country"):
            if name in profile.defaults:
                chosen[name] = f"coalesce({chosen[name]}, {quoted(profile.defaults[name])})"
        for name in NUMBERS:
            value = getattr(columns, name)
            chosen[name] = compiled.number(value)
            chosen[f"{name}_text"] = compiled.written(value)
        amounts = [charge.column for charge in profile.charges] + ([profile.total.column] if profile.total else [])
        chosen["total"] = compiled.number(profile.total.column) if profile.total else f"NULL::{NUMBER}"
        chosen |= {f"charge_{at}": self._charge(charge) for at, charge in enumerate(profile.charges)}
        made = [value for value in (columns.quantity, columns.price) if value is not None and is_number(value)]
        amounts += made if columns.amount is None else [*made, columns.amount]
        chosen["unreadable"] = " OR ".join(map(compiled.unreadable, amounts)) or "false"
        chosen["unpriced"] = f"NOT {compiled.unreadable(columns.price)} AND {compiled.number(columns.price)} IS NULL"
        chosen |= {f"status_{at}": compiled.text(status.column) for at, status in enumerate(profile.statuses)}
        chosen |= {f"outcome_{at}": self._outcome(status) for at, status in enumerate(profile.statuses)}
        chosen["outcome"] = _all_outcomes([f"outcome_{at}" for at in range(len(profile.statuses))])
        self._make_numbers()
        names = list(compiled.leaves.values())
        joins = [f"LEFT JOIN numbers AS of_{name} ON of_{name}.text = {text}" for text, name in compiled.leaves.items()]
        self.connection.execute(
            f"""
            CREATE TEMP TABLE rows AS
            WITH numbered AS (
                SELECT source.*, {"".join(f"of_{name}.number AS {name}, " for name in names)}
                    {_list(f"of_{name}.sign" for name in names)} AS signs,
                    {_list(f"of_{name}.currency" for name in names)} AS sign_currencies
                FROM source {" ".join(joins)}
            ), valued AS (
                SELECT *, coalesce(upper({compiled.text(columns.currency)}), sign_currencies[1],
                    {quoted(profile.defaults.get("currency", self.base))}) AS currency
                FROM numbered
            )
            SELECT position, line_number, page, extras, defect, raw, currency, signs, sign_currencies, invoice,
                {", ".join(f"{expression} AS {name}" for name, expression in chosen.items())}
            FROM valued
            """
        )

    def _charge(self, charge: Charge) -> str:
        number = f"nullif({charge.sign} * {self.compiled.number(charge.column)}, 0)::{NUMBER}"
        if charge.when is None:
            return number
        condition = f"{without_case(self.compiled.text(charge.when.column))} IN {texts_in(charge.when.is_)}"
        return f"CASE WHEN {condition} THEN {number} END"

    def _outcome(self, status: Status) -> str:
        outcomes = status.outcomes().items()
        cases = " ".join(f"WHEN {without_case(quoted(text))} THEN {quoted(outcome)}" for text, outcome in outcomes)
        otherwise = quoted(status.otherwise)
        text = without_case(self.compiled.text(status.column))
        return f"CASE {text} {cases} ELSE {otherwise} END" if cases else otherwise

    def _make_numbers(self) -> None:
        """Make table `numbers`: the texts that are to be numbers, what they are, and the currency beside them."""
        counts: dict[str, int] = {}
        for expression in self.compiled.leaves:
            for text, count in self._counted(f"{expression}", "source").items():
                counts[text] = counts.get(text, 0) + count
        style = decide_numbers(counts, self.decisions, self.profile.values.decimal_mark)
        read = {text: number for text in counts if (number := style.read(text)) is not None and _fits(number)}
        self._make_table(
            "numbers",
            {
                "text": list(read),
                "number": [number.text for number in read.values()],
                "sign": [number.currency for number in read.values()],
                "currency": [_currency_of(number.currency) for number in read.values()],
            },
        )
        self.connection.execute(f"ALTER TABLE numbers ALTER number TYPE {NUMBER}")

    def _make_dates(self, zone: ZoneInfo) -> None:
        dates = self._counted("invoice_date", "rows")
        senders = ZoneInfo(self.profile.values.time_zone) if self.profile.values.time_zone else zone
        style = decide_dates(dates, self.decisions, self.profile.values.date_order, senders)
        moments = {text: moment for text in dates if (moment := style.read(text)) is not None}
        brought = {
            text: moment if _is_day(text, moment, style) else _brought(moment, senders, zone)
            for text, moment in moments.items()
        }
        shown = [moment.isoformat(sep=" ") for moment in brought.values()]
        self._make_table("dates", {"text": list(brought), "moment": shown})

    def _counted(self, expression: str, table: str) -> dict[str, int]:
        """Return the texts of an expression and how often each occurs, in the order of the file."""
        rows = self.connection.execute(
            f"SELECT {expression} AS text, count(*), min(line_number) FROM {table} "
            "WHERE defect IS NULL GROUP BY 1 HAVING text IS NOT NULL ORDER BY 3"
        ).fetchall()
        return {text: count for text, count, _ in rows}

    def _make_table(self, name: str, columns: Mapping[str, list[str] | list[str | None]]) -> None:
        table = pa.table(columns, pa.schema([(column, pa.string()) for column in columns]))
        self.connection.register("made", table)
        self.connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM made")
        self.connection.unregister("made")


_FROM_ABOVE = "last_value({0} IGNORE NULLS) OVER (ORDER BY position) AS {0}"
_FROM_INVOICE = (
    "coalesce({0}, first_value({0} IGNORE NULLS) OVER (PARTITION BY coalesce(invoice, 'line ' || position) "
    "ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) AS {0}"
)


def _replaced(columns: list[str], pattern: str) -> str:
    return f"REPLACE ({', '.join(pattern.format(column) for column in columns)})" if columns else ""


def _list(expressions: Iterable[str]) -> str:
    """Return the expression of the distinct values of some, without nulls."""
    return f"list_sort(list_distinct([{', '.join(expressions)}]::VARCHAR[]))"


def _all_outcomes(names: list[str]) -> str:
    """Return the expression of what becomes of a row by all its statuses."""
    if not names:
        return "'counts'"
    listed = f"[{', '.join(names)}]"
    return (
        f"CASE WHEN list_contains({listed}, 'left_out') THEN 'left_out' "
        f"WHEN list_contains({listed}, 'refused') THEN 'refused' "
        f"WHEN len(list_filter({listed}, lambda one: one = 'reversed')) % 2 = 1 THEN 'reversed' ELSE 'counts' END"
    )


def _fits(number: Number) -> bool:
    """Return whether a number can be kept exactly, and what stands beside it is known."""
    if number.currency and not candidates(number.currency, ""):
        return False
    _, _, decimals = number.text.partition(".")
    return len(decimals.rstrip("0")) <= _SCALE and abs(Decimal(number.text)) < _LARGEST


def _currency_of(sign: str | None) -> str | None:
    """Return the currency that a sign or code beside a number stands for, None if it may be several."""
    codes = candidates(sign, "") if sign else ()
    return next(iter(codes)) if len(codes) == 1 else None


def _is_day(text: str, moment: datetime, style: DateStyle) -> bool:
    """Return whether a text names a day without a time, which is the same day in every zone."""
    return moment.time() == time.min and ":" not in text and not style.kind.startswith("epoch")


def _brought(moment: datetime, senders: ZoneInfo, zone: ZoneInfo) -> datetime:
    """Return a moment by the shop's clock, of one by the sender's."""
    return moment if senders == zone else moment.replace(tzinfo=senders).astimezone(zone).replace(tzinfo=None)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMES_TOLD]) + (", ..." if len(names) > _NAMES_TOLD else "")
