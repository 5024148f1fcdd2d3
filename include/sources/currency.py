"""In which currency the lines of a file are: told by a column, or by a sign or code that stands with the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from include.domain.line import WHITESPACE
from include.domain.money import ISO_4217
from include.sources.canonical import StagedValues
from include.sources.defects import reject, shortened

_DOLLARS = "AUD BBD BMD BND BSD BZD CAD FJD GYD HKD JMD KYD LRD NAD NZD SBD SGD SRD TTD TWD USD XCD"
_SIGNS: dict[str, frozenset[str]] = {
    "$": frozenset(_DOLLARS.split()) | {"MXN", "ARS", "CLP", "COP", "UYU"},
    "KR": frozenset({"SEK", "NOK", "DKK", "ISK"}),
    "KR.": frozenset({"SEK", "NOK", "DKK", "ISK"}),
    "¥": frozenset({"JPY", "CNY"}),
    **{
        sign: frozenset({code})
        for sign, code in {
            "£": "GBP",
            "STG": "GBP",
            "POUND": "GBP",
            "POUNDS": "GBP",
            "€": "EUR",
            "EURO": "EUR",
            "EUROS": "EUR",
            "₹": "INR",
            "₺": "TRY",
            "₽": "RUB",
            "₩": "KRW",
            "₪": "ILS",
            "ZŁ": "PLN",
            "FR.": "CHF",
            "R$": "BRL",
            "US$": "USD",
            "C$": "CAD",
            "CA$": "CAD",
            "A$": "AUD",
            "AU$": "AUD",
            "NZ$": "NZD",
            "HK$": "HKD",
        }.items()
    },
}
"""Sign or name, in upper case -> the currencies it may stand for."""


AMBIGUOUS_SIGNS = {sign: codes for sign, codes in _SIGNS.items() if len(codes) > 1}
"""Sign that several countries have -> their currencies."""


def candidates(text: str, base: str) -> frozenset[str]:
    """Return the currencies that a sign or code may stand for, none if it is not known.

    A sign of several currencies stands for the base currency if that is one of them; without `base` for each of them.
    """
    name = text.strip().upper()
    found = frozenset({name}) if name in ISO_4217 else _SIGNS.get(name, frozenset())
    return frozenset({base}) if base in found else found


def line_currencies(
    values: StagedValues, columns: Sequence[str], price_signs: Mapping[str, str], base: str
) -> pa.Array | None:
    """Return the code of each record's currency, null for the base currency; None if all are of that.

    Args:
        values: The staged file, before its prices are rewritten.
        columns: Its columns that seem to hold a currency.
        price_signs: Price as written -> sign or code that stands with it.
        base: Code of the base currency.

    Raises:
        SourceRejected: unexplained_currency, if a sign is not known, may stand for several currencies, or contradicts
            another, or if a line with a price has none where others have a foreign one.
    """
    signs = {"text": list(price_signs), "sign": list(price_signs.values())}
    values.connection.register("signs", pa.table(signs, pa.schema(dict.fromkeys(signs, pa.string()))))
    told = ", ".join(
        f"nullif(trim(json_extract_string(extras, {pointer(name)})), '') AS told_{place}"
        for place, name in enumerate(columns)
    )
    names = ["sign", *(f"told_{place}" for place in range(len(columns)))]
    values.connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE told AS
        SELECT file_row_number AS position, defect IS NULL AS whole, sign{", " if told else ""}{told}
        FROM read_parquet($path, file_row_number = true) LEFT JOIN signs ON signs.text = trim(price, $space)""",
        {"path": str(values.path), "space": WHITESPACE},
    )
    found = values.connection.execute(
        f"SELECT {', '.join(names)}, count(*) FROM told WHERE whole GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    codes = {row[:-1]: _code([text for text in row[:-1] if text], base) for row in found}
    counts = {row[:-1]: row[-1] for row in found}
    foreign = {code for code in codes.values() if code not in {None, base}}
    nothing = (None,) * len(names)
    unclear = [row for row, code in codes.items() if code is None and row != nothing]
    if columns and foreign and nothing in codes:
        unclear.append(nothing)
    if unclear:
        shown = [
            f"{' and '.join(repr(shortened(text, 30)) for text in row if text) or 'nothing'} on {counts[row]} lines"
            for row in unclear[:5]
        ]
        raise reject(
            "unexplained_currency",
            column=", ".join(columns) or "price",
            values=", ".join(shown) + (", ..." if len(unclear) > 5 else ""),
            base=base,
        )
    if not foreign:
        return None
    rows = {name: [row[place] for row in codes] for place, name in enumerate(names)}
    table = pa.table(rows, pa.schema(dict.fromkeys(names, pa.string())))
    known = [None if code == base else code for code in codes.values()]
    values.connection.register("codes", table.append_column("code", pa.array(known, pa.string())))
    same = " AND ".join(f"told.{name} IS NOT DISTINCT FROM codes.{name}" for name in names)
    answer = values.connection.execute(
        f"SELECT CASE WHEN whole THEN code END FROM told LEFT JOIN codes ON {same} ORDER BY position"
    )
    return pa.array([code for (code,) in answer.fetchall()], pa.string())


def _code(told: Sequence[str], base: str) -> str | None:
    """Return the one currency that texts agree on, None if there is none."""
    if not told:
        return None
    common = frozenset.intersection(*(candidates(text, base) for text in told))
    return next(iter(common)) if len(common) == 1 else None


def pointer(*names: str) -> str:
    """Return the JSON pointer of a member, or of one inside it, as an SQL literal."""
    path = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    return "'" + path.replace("'", "''") + "'"
