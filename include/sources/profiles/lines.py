"""The rows of a file made into lines as its profile declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from zoneinfo import ZoneInfo

import duckdb

from include.domain.money import ISO_4217, MONEY_PLACES
from include.files import replacing
from include.sources.canonical import StagedValues
from include.sources.currency import AMBIGUOUS_SIGNS
from include.sources.model import FileDecisions, LeftOut
from include.sources.profiles.model import Charge, Profile
from include.sources.profiles.rows import ProfiledRows
from include.sources.profiles.sql import NUMBER, quoted, texts_in
from include.sources.profiles.values import sources_of
from include.sources.staged import SCHEMA

_LOADED = "outcome IN ('counts', 'reversed') AND NOT repeated"
_PRODUCT = "DECIMAL(38, 6)"
"""Type of quantity x price: wide enough for sums of what numbers may be."""

_FIRST = "first({0} ORDER BY position) FILTER ({0} IS NOT NULL)"
_CHOICE = "{{'off': {off}, 'skipped': {skipped}, 'amounts': {amounts}, 'chosen': {chosen}}}"
_OFF = """CASE WHEN all_reversed THEN abs(abs(counted + turned + {fixed} + {added}) - abs(total))
    ELSE abs(counted + turn * turned + {fixed} + {added} - total) END"""

_TOLD = """
CREATE TEMP TABLE told AS
SELECT rows.*, coalesce(dates.moment, invoice_date) AS moment, {of_invoice} AS of_invoice, {repeated} AS repeated
FROM rows LEFT JOIN dates ON dates.text = invoice_date
"""
_REPEATED = """row_number() OVER (
    PARTITION BY defect, {alike}, quantity, price, amount, coalesce(dates.moment, invoice_date), country, currency,
        outcome, unreadable{of_line}
    ORDER BY position
) > 1"""
"""Whether a row equals one above it, its own charges and total too: where such rows are one sale, it adds nothing."""

_INVOICES = """
CREATE TEMP TABLE invoices AS
WITH valued AS (
    SELECT *, {worth} AS worth, {loaded} AS loaded FROM told WHERE defect IS NULL AND invoice IS NOT NULL
), summed AS (
    SELECT of_invoice, count(*) FILTER (loaded) AS lines, count(*) FILTER (outcome = 'counts') = 0 AS all_reversed,
        coalesce(sum(worth) FILTER (loaded AND outcome = 'counts'), 0) AS counted,
        coalesce(sum(worth) FILTER (loaded AND outcome = 'reversed'), 0) AS turned,
        {charges} ({total})::{number} AS total, {conflicting} AS conflicting, bool_or(unreadable) AS unreadable,
        count(DISTINCT currency) FILTER (loaded) AS currencies
    FROM valued GROUP BY of_invoice
), turned AS (
    SELECT *, CASE WHEN coalesce(nullif(turned, 0), CASE WHEN all_reversed THEN coalesce(total, {fixed}) END) > 0
        THEN -1 ELSE 1 END AS turn
    FROM summed
), chosen AS (
    SELECT *, list_sort([{choices}]) AS choices, {tolerance} AS tolerance FROM turned
)
SELECT of_invoice, lines, turn, CASE WHEN all_reversed THEN turn ELSE 1 END AS charge_turn, {charge_names}
    choices[1].chosen AS chosen,
    CASE WHEN unreadable THEN 'unreadable_amount'
        WHEN conflicting THEN 'conflicting_charge'
        WHEN currencies > 1 AND {of_all} IS NOT NULL THEN 'several_currencies'
        WHEN total IS NULL THEN CASE WHEN {undecided} > 0 THEN 'invoice_total_differs' END
        WHEN choices[1].off > tolerance THEN 'invoice_total_differs'
        WHEN len(list_filter(choices, lambda one: one.off = choices[1].off AND one.amounts <> choices[1].amounts)) > 0
            THEN 'invoice_total_differs' END AS reason
FROM chosen WHERE lines > 0
"""
"""What each invoice amounts to. Of the charges that its total decides about, the choice that comes nearest is taken.

turn is the sign that rows of status `reversed` get: the sender may give credits with either sign, they are negative.
Rounding may change the total by half a penny for each line and charge.
"""

_AMBIGUOUS = " OR ".join(
    f"(list_contains(signs, {quoted(sign)}) AND currency NOT IN {texts_in(sorted(codes), fold=False)})"
    for sign, codes in AMBIGUOUS_SIGNS.items()
)
_GOODS = """
CREATE TEMP TABLE goods AS
WITH signed AS (
    SELECT told.*, invoices.charge_turn, invoices.chosen,
        invoices.reason, CASE WHEN outcome = 'reversed' THEN coalesce(turn, -1) ELSE 1 END AS turn,
        unpriced AND amount IS NOT NULL AS derived,
        CASE WHEN amount < 0 AND quantity > 0 AND coalesce(price, 1) > 0 THEN -quantity ELSE quantity END AS units
    FROM told LEFT JOIN invoices USING (of_invoice)
    WHERE told.defect IS NOT NULL OR outcome <> 'left_out'
)
SELECT * EXCLUDE (defect, units, derived),
    (turn * units)::{number} AS units, (turn * amount)::{number} AS worth,
    coalesce(price, CASE WHEN derived AND units <> 0 THEN round(amount / units, {places})::{number} END) AS unit_price,
    coalesce(defect, CASE WHEN outcome = 'refused' THEN 'unknown_status'
        WHEN unreadable THEN 'unreadable_amount'
        WHEN currency NOT IN {currencies} THEN 'unknown_currency'
        WHEN {ambiguous} THEN 'unknown_currency'
        WHEN len(list_filter(sign_currencies, lambda one: one <> currency)) > 0 THEN 'currency_contradicts'
        WHEN derived AND units = 0 AND amount <> 0 THEN 'amount_without_quantity'
        WHEN amount > 0 AND units < 0 AND coalesce(price, 1) > 0 THEN 'amount_contradicts_quantity'
        ELSE reason END) AS defect
FROM signed
"""

_CHARGES_OF_LINES = """
SELECT position, line_number, {place} AS place, page, invoice, {code} AS stock_code, {description} AS description,
    turn::{number} AS units, '' AS quantity_text, charge_{at} AS unit_price, '' AS price_text, NULL::{number} AS worth,
    moment, invoice_date, customer_id, country, currency, false AS repeated
FROM goods WHERE defect IS NULL AND NOT repeated AND charge_{at} IS NOT NULL {condition}
"""

_CHARGES_OF_INVOICES = """
SELECT position, line_number, {place} AS place, page, invoice, {code} AS stock_code, {description} AS description,
    goods.charge_turn::{number} AS units, '' AS quantity_text, invoices.charge_{at} AS unit_price, '' AS price_text,
    NULL::{number} AS worth, moment, invoice_date, customer_id, country, currency, false AS repeated
FROM goods JOIN invoices USING (of_invoice)
WHERE defect IS NULL AND invoices.charge_{at} IS NOT NULL {condition}
QUALIFY row_number() OVER (PARTITION BY of_invoice ORDER BY position) = 1
"""

_LINES = """
CREATE TEMP TABLE lines AS
WITH all_lines AS (
    SELECT position, line_number, 0 AS place, page, invoice, stock_code, description, units, quantity_text, unit_price,
        price_text, worth, moment, invoice_date, customer_id, country, currency, repeated, extras, defect, raw
    FROM goods {charges}
)
SELECT *, row_number() OVER (
    PARTITION BY defect IS NULL AND NOT repeated, {alike}, units, unit_price, worth, moment, country, currency
    ORDER BY position, place
) AS nth
FROM all_lines
"""

_WHOLE = "regexp_replace({}, '^([0-9]+)\\.0+$', '\\1')"
_OF_INVOICE = f"upper({_WHOLE.format('invoice')})"
_ALIKE = ", ".join(
    (
        _OF_INVOICE,
        f"upper({_WHOLE.format('stock_code')})",
        "regexp_replace(description, '[\\s\\x{00a0}]+', ' ', 'g')",
        _WHOLE.format("customer_id"),
    )
)
"""What Silver makes of the texts of a line before it compares two."""

_STAGED = {
    "line_number": "line_number",
    "page": "page::INTEGER",
    "invoice": "invoice",
    "stock_code": "stock_code",
    "description": "description",
    "quantity": "coalesce(quantity_plain, quantity_text)",
    "invoice_date": "moment",
    "price": "coalesce(price_plain, price_text)",
    "customer_id": "customer_id",
    "country": "country",
    "amount": "CASE WHEN worth <> units * unit_price THEN {plain_worth} END",
    "currency": "nullif(currency, {base})",
    "occurrence": "CASE WHEN nth > 1 AND NOT repeated THEN nth END::INTEGER",
    "extras": "extras",
    "written": "nullif(json_merge_patch('{{}}', json_object('quantity', nullif(quantity_text, quantity_plain), "
    "'invoice_date', nullif(invoice_date, moment), 'price', nullif(price_text, price_plain)))::VARCHAR, '{{}}')",
    "defect": "defect",
    "raw": "raw",
}
"""Column of a staged file -> what it becomes; the order is that of `staged.SCHEMA`."""


def make_lines(
    values: StagedValues, profile: Profile, decisions: FileDecisions, zone: ZoneInfo, base_currency: str
) -> tuple[int, dict[str, int]]:
    """Replace the staged rows of a file by its lines.

    Args:
        values: The staged rows: canonical columns that the profile simply names, all others as extras.
        profile: The layout.
        decisions: Gets what is decided, left out and added.
        zone: The shop's.
        base_currency: ISO 4217 code of the currency where nothing says another.

    Returns:
        The number of lines, and that of defective ones by reason code.

    Raises:
        SourceRejected: As `ProfiledRows.make`.
    """
    ProfiledRows(values, profile, decisions, base_currency).make(zone)
    connection = values.connection
    repeated = "false" if profile.repeats == "each" else _repeated(profile)
    connection.execute(_TOLD.format(of_invoice=_OF_INVOICE, repeated=repeated))
    connection.execute(_invoices(profile))
    connection.execute(
        _GOODS.format(
            number=NUMBER, places=MONEY_PLACES, currencies=texts_in(sorted(ISO_4217), fold=False), ambiguous=_AMBIGUOUS
        )
    )
    decisions.left_out += _left_out(values, profile)
    charges = [_charge_lines(at, charge, profile.charges) for at, charge in enumerate(profile.charges)]
    nulls = "NULL::VARCHAR AS extras, NULL::VARCHAR AS defect, NULL::VARCHAR AS raw"
    united = "".join(f" UNION ALL SELECT *, {nulls} FROM ({select})" for select in charges)
    connection.execute(_LINES.format(charges=united, alike=_ALIKE))
    plain = {"quantity_plain": _plain("units"), "price_plain": _plain("unit_price")}
    chosen = ", ".join(
        f"{expression.format(plain_worth=_plain('worth'), base=quoted(base_currency))} AS {name}"
        for name, expression in _STAGED.items()
    )
    with replacing(values.path) as partial:
        connection.execute(
            f"COPY (SELECT {chosen} FROM (SELECT *, {', '.join(f'{of} AS {name}' for name, of in plain.items())} "
            f"FROM lines) ORDER BY position, place) TO {quoted(str(partial))} (FORMAT parquet, COMPRESSION zstd)"
        )
    decisions.added_lines = _counted(connection, "stock_code", "place > 0")
    defects = _counted(connection, "defect", "defect IS NOT NULL")
    return sum(connection.execute("SELECT count(*) FROM lines").fetchone() or ()), defects


def _counted(connection: duckdb.DuckDBPyConnection, column: str, condition: str) -> dict[str, int]:
    """Return how many lines have each value of a column, of those that meet a condition."""
    found = connection.execute(f"SELECT {column}, count(*) FROM lines WHERE {condition} GROUP BY 1 ORDER BY 1")
    return dict(found.fetchall())


def _invoices(profile: Profile) -> str:
    charges = profile.charges
    of_invoice = [at for at, charge in enumerate(charges) if charge.per == "invoice"]
    by_total = _by_total(charges)
    values = [
        f"{_FIRST.format(f'charge_{at}') if at in of_invoice else f'sum(charge_{at}) FILTER (loaded)'} AS charge_{at}, "
        for at in range(len(charges))
    ]
    total_of_invoice = profile.total is not None and profile.total.per == "invoice"
    once = [f"charge_{at}" for at in of_invoice] + (["total"] if total_of_invoice else [])
    fixed = _sum(f"charge_{at}" for at in of_invoice if at not in by_total)
    of_line = [f"charge_{at}" for at in range(len(charges)) if at not in of_invoice and at not in by_total]
    choices = []
    for chosen in product((True, False), repeat=len(by_total)):
        added = _sum(f"charge_{at}" for at, taken in zip(by_total, chosen, strict=True) if taken)
        off = _OFF.format(fixed=fixed, added=added)
        flags = "[" + ", ".join(map(str, chosen)) + "]::BOOLEAN[]"
        amounts = _list(
            f"coalesce(charge_{at}, 0)" if taken else "0" for at, taken in zip(by_total, chosen, strict=True)
        )
        choices.append(_CHOICE.format(off=off, skipped=chosen.count(False), amounts=amounts, chosen=flags))
    return _INVOICES.format(
        loaded=_LOADED,
        number=NUMBER,
        worth=_sum([f"coalesce(amount, quantity * price)::{_PRODUCT}", *of_line]),
        charges="".join(values),
        charge_names="".join(f"charge_{at}, " for at in range(len(charges))),
        total=_FIRST.format("total") if total_of_invoice else "sum(total) FILTER (loaded)",
        conflicting=" OR ".join(f"count(DISTINCT {name}) > 1" for name in once) or "false",
        of_all=f"coalesce({', '.join([*once, 'NULL'])})",
        fixed=fixed,
        choices=", ".join(choices),
        tolerance=f"0.005 * (lines + {len(charges)})",
        undecided=_sum(f"abs(charge_{at})" for at in by_total),
    )


def _repeated(profile: Profile) -> str:
    """Return the condition of rows that equal another one."""
    of_line = [f"charge_{at}" for at, charge in enumerate(profile.charges) if charge.per == "line"]
    if profile.total is not None and profile.total.per == "line":
        of_line.append("total")
    return _REPEATED.format(alike=_ALIKE, of_line="".join(f", {name}" for name in of_line))


def _by_total(charges: Sequence[Charge]) -> list[int]:
    return [at for at, charge in enumerate(charges) if charge.included == "by_total"]


def _charge_lines(at: int, charge: Charge, charges: Sequence[Charge]) -> str:
    """Return the query of the lines of a charge."""
    by_total = _by_total(charges)
    table = "invoices" if charge.per == "invoice" else "goods"
    condition = f"AND {table}.chosen[{by_total.index(at) + 1}]" if at in by_total else ""
    description = charge.description or next(sources_of(charge.column), charge.code)
    pattern = _CHARGES_OF_INVOICES if charge.per == "invoice" else _CHARGES_OF_LINES
    return pattern.format(
        at=at,
        place=at + 1,
        code=quoted(charge.code),
        description=quoted(description),
        number=NUMBER,
        condition=condition,
    )


def _left_out(values: StagedValues, profile: Profile) -> list[LeftOut]:
    """Return the rows that statuses leave out, by column and text."""
    found = []
    told = "defect IS NOT NULL"
    for at, status in enumerate(profile.statuses):
        rows = values.connection.execute(
            f"SELECT coalesce(status_{at}, ''), count(*), min(line_number) FROM rows "
            f"WHERE outcome_{at} = 'left_out' AND NOT ({told}) GROUP BY 1 ORDER BY 3"
        ).fetchall()
        told += f" OR outcome_{at} = 'left_out'"
        name = next(sources_of(status.column), "status")
        found += [
            LeftOut(what=f"row by {name}", count=count, first_line=line, example=text) for text, count, line in rows
        ]
    return found


def _sum(expressions: Iterable[str]) -> str:
    """Return the sum of numbers, those that are null counted as 0."""
    return "(" + " + ".join([f"0::{NUMBER}", *(f"coalesce({one}, 0)" for one in expressions)]) + ")"


def _list(numbers: Iterable[str]) -> str:
    """Return a list of numbers."""
    return f"[{', '.join(numbers)}]::{NUMBER}[]"


def _plain(number: str) -> str:
    """Return the expression of a number as text without superfluous zeros."""
    return f"regexp_replace(({number})::{NUMBER}::VARCHAR, '\\.?0+$', '')"


assert list(_STAGED) == SCHEMA.names
