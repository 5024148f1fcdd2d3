"""Columns that can change the money and that nothing explains: a file that has them is refused, never guessed.

Such a column is harmless where its values change nothing: a currency that is the base currency, a total that equals
quantity x price, a discount of nothing, a status that says paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import pyarrow as pa

from include.domain.line import WHITESPACE
from include.sources.canonical import LINES, NOTHING, StagedValues
from include.sources.charges import has_word, may_hold_amounts, words_of
from include.sources.columns import normalised
from include.sources.currency import candidates, pointer
from include.sources.defects import reject, shortened
from include.sources.numbers import NumberStyle

Role = Literal["currency", "total", "adjustment", "status", "document_type"]

_NAMES: dict[Role, str] = {
    "currency": "currency; currency code; ccy; curr; waehrung; währung; devise; moneda; valuta; divisa; moeda; munt",
    "total": "total; line total; item total; amount; line amount; total amount; total price; extended price; ext price;"
    "net amount; gross amount; subtotal; sales; revenue; betrag; gesamt; gesamtpreis; gesamtbetrag; summe; montant;"
    "total ligne; importe; importo; totale; totaal; bedrag; valor total; total gbp; amount gbp",
    "adjustment": "discount; discount amount; discounts; line discount; rabatt; remise; descuento; sconto; korting;"
    "desconto; tax; taxes; tax amount; item tax; sales tax; vat; vat amount; mwst; ust; tva; iva; btw; shipping;"
    "shipping cost; shipping amount; shipping price; freight; postage; delivery; versand; versandkosten; frais de port;"
    "envio; spedizione; verzendkosten; frete; tip; gratuity; fee; fees; surcharge; refund; refund amount;"
    "refunded amount; refunds; credit; credit amount; gift card; discount codes; discount lines; tax lines;"
    "shipping lines; fee lines; coupon lines; discount allocations; total discount; total tax; total shipping;"
    "total discounts",
    "status": "status; order status; financial status; payment status; fulfillment status; fulfilment status;"
    "item status; invoice status; state; statut; estado; stato",
    "document_type": "type; document type; doc type; transaction type; invoice type; order type; record type; belegart;"
    "type de document; tipo; tipo documento",
}
ROLES: dict[str, Role] = {normalised(name): role for role, names in _NAMES.items() for name in names.split(";")}
"""Name of a column, its letters and digits in lower case -> what it seems to hold."""

SETTLED = frozenset(
    "paid; payed; complete; completed; shipped; delivered; fulfilled; closed; invoiced; sent; approved; success;"
    "succeeded; successful; captured; settled; done; ok; active; posted; final; bezahlt; abgeschlossen; versendet;"
    "payé; payée; terminé; expédié; pagado; completado; enviado; pagato; completato; spedito; betaald; verzonden;"
    "voltooid; pago; concluído".replace("; ", ";").split(";")
)
"""What says of an order, in lower case, that it is a sale."""

TAKEN_BACK = (
    "credit", "refund", "return", "reversal", "storno", "gutschrift", "avoir", "remboursement", "devolu", "reembols",
    "abono", "nota de cr", "nota di cr", "reso", "rimborso", "creditnota",
)  # fmt: skip
"""What stands in the name of what gives money back."""

NEVER_SOLD = (
    "cancel", "void", "quote", "estimate", "proforma", "pro forma", "draft", "angebot", "entwurf", "devis", "offerte",
)  # fmt: skip
"""What stands in the name of what never became a sale."""

_NO_SALE = (*TAKEN_BACK, *NEVER_SOLD, "chargeback", "deposit", "payment", "payout")
"""What stands in the type of a document that is no plain sale."""

_CURRENCY_WORDS = "currency waehrung wahrung devise moneda valuta divisa moeda"

_ROUNDING = "0.01 + 0.005 * abs(quantity)"
"""What a line's total may differ from quantity x price: both are rounded to pennies."""

_TOO_LARGE = Decimal(10) ** 15
"""Amounts from here on do not fit the type in which they are compared."""

_READ = pa.schema({"text": pa.string(), "number": pa.string()})

_MONEY = "DECIMAL(26, 6)"


def columns_of(role: Role, extra_columns: Sequence[str]) -> list[str]:
    """Return the columns that seem to hold one thing."""
    return [name for name in extra_columns if ROLES.get(normalised(name)) == role]


def check_other_currencies(values: StagedValues, extra_columns: Sequence[str], base: str) -> None:
    """Refuse a file that only a column such as `Shop Currency` says to be in another currency: whose it is, is unclear.

    Raises:
        SourceRejected: unexplained_currency.
    """
    for name in extra_columns:
        if not has_word(words_of(name), _CURRENCY_WORDS):
            continue
        rows = values.ask(
            f"SELECT trim(json_extract_string(extras, {pointer(name)}), $space) AS text, count(*) "
            "FROM read_parquet($path) WHERE defect IS NULL GROUP BY 1 HAVING text <> '' ORDER BY 2 DESC, 1"
        ).fetchall()
        others = {text: count for text, count in rows if candidates(text, base) - {base}}
        if others:
            raise reject("unexplained_currency", column=name, values=_listed(others), base=base)


def check_money_columns(values: StagedValues, extra_columns: Sequence[str], numbers: NumberStyle) -> list[str]:
    """Return what was seen in columns that could change the money and do not.

    Args:
        values: The canonical values of the file.
        extra_columns: Its columns of other names.
        numbers: How the file writes numbers.

    Raises:
        SourceRejected: total_differs, unreadable_total, unexplained_amounts, unexplained_status,
            unexplained_document_type.
    """
    found: dict[Role, list[str]] = {}
    likely: list[str] = []
    for name in extra_columns:
        role = ROLES.get(normalised(name))
        if role:
            found.setdefault(role, []).append(name)
        elif may_hold_amounts(name):
            likely.append(name)
    if not found and not likely:
        return []
    guard = _Guard(values, [*(name for names in found.values() for name in names), *likely], numbers)
    told = [guard.check_total(name) for name in found.get("total", [])]
    for name in found.get("adjustment", []):
        guard.check_adjustment(name)
    for name in likely:
        guard.check_adjustment(name, if_number=True)
    for name in found.get("status", []):
        guard.check_status(name)
    for name in found.get("document_type", []):
        guard.check_document_type(name)
    return told


class _Guard:
    """Asks the lines of a file what its money columns say."""

    def __init__(self, values: StagedValues, names: Sequence[str], numbers: NumberStyle) -> None:
        self.column = {name: f"extra_{position}" for position, name in enumerate(names)}
        self.numbers = numbers
        self.connection = values.connection
        extras = ", ".join(
            f"nullif(nullif(trim(json_extract_string(extras, {pointer(name)})), ''), '[]') AS {column}"
            for name, column in self.column.items()
        )
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE money AS SELECT line_number, quantity, price, worth, false AS has_total, "
            f"{extras} FROM ({LINES}) ORDER BY line_number",
            {"path": str(values.path), "space": WHITESPACE},
        )

    def check_total(self, name: str) -> str:
        too_large = self._read_numbers(name)
        column = self.column[name]
        count, line, example = self._one(
            f"SELECT count(*), min(line_number), arg_min({column}, line_number) FROM money "
            f"LEFT JOIN amounts ON amounts.text = money.{column} WHERE {column} IS NOT NULL AND amount IS NULL "
            f"AND lower({column}) NOT IN (SELECT unnest($nothing)) "
            f"AND (quantity * price <> 0 OR list_contains($too_large, {column}) AND quantity * price IS NOT NULL)",
            nothing=list(NOTHING),
            too_large=too_large,
        )
        if count:
            raise reject("unreadable_total", line=line, value=example, column=name, rows=count)
        rows = self.connection.execute(
            f"SELECT line_number, quantity, price, amount FROM money JOIN amounts ON amounts.text = money.{column} "
            f"WHERE quantity * price - amount NOT BETWEEN -({_ROUNDING}) AND {_ROUNDING} ORDER BY line_number"
        ).fetchall()
        if rows:
            line, quantity, price, amount = rows[0]
            raise reject(
                "total_differs",
                line=line,
                column=name,
                rows=len(rows),
                example=f"{_plain(quantity)} x {_plain(price)} is {_plain(quantity * price)}, not {_plain(amount)}",
            )
        self.connection.execute(f"UPDATE money SET has_total = true FROM amounts WHERE amounts.text = money.{column}")
        return f"{name!r} equals quantity x price on every line."

    def check_adjustment(self, name: str, *, if_number: bool = False) -> None:
        """Refuse amounts beside the goods; of a column that only seems to hold some, texts that are no numbers pass."""
        self._read_numbers(name)
        column = self.column[name]
        changes = "amount <> 0" if if_number else "amount IS DISTINCT FROM 0"
        (rows, line, example) = self._one(
            f"SELECT count(*), min(line_number), arg_min({column}, line_number) FROM money "
            f"LEFT JOIN amounts ON amounts.text = money.{column} "
            f"WHERE {column} IS NOT NULL AND {changes} AND NOT has_total"
        )
        if rows:
            raise reject("unexplained_amounts", line=line, value=example, column=name, rows=rows)

    def check_status(self, name: str) -> None:
        others = {
            text: count for text, count in self._values(name, money=True).items() if text.casefold() not in SETTLED
        }
        if others:
            raise reject("unexplained_status", column=name, values=_listed(others))

    def check_document_type(self, name: str) -> None:
        found = self._values(name, money=True, positive=True)
        others = {text: count for text, count in found.items() if any(word in text.casefold() for word in _NO_SALE)}
        if others:
            raise reject("unexplained_document_type", column=name, values=_listed(others))

    def _values(self, name: str, *, money: bool = False, positive: bool = False) -> dict[str, int]:
        """Return the values of a column and how often each occurs, of lines that are worth something if asked."""
        worth = "worth > 0" if positive else "worth IS DISTINCT FROM 0" if money else "true"
        column = self.column[name]
        rows = self.connection.execute(
            f"SELECT {column}, count(*) FROM money WHERE {column} IS NOT NULL AND {worth} GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        return dict(rows)

    def _read_numbers(self, name: str) -> list[str]:
        """Make table `amounts`: texts of a column and the numbers they are; return the texts of too large numbers."""
        numbers = {text: number.text for text in self._values(name) if (number := self.numbers.read(text))}
        read = {text: number for text, number in numbers.items() if abs(Decimal(number)) < _TOO_LARGE}
        self.connection.register("read", pa.table({"text": list(read), "number": list(read.values())}, _READ))
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE amounts AS SELECT text, number::{_MONEY} AS amount FROM read"
        )
        return [text for text in numbers if text not in read]

    def _one(self, query: str, **values: object) -> tuple[int, int | None, str | None]:
        row = self.connection.execute(query, values or None).fetchone()
        assert row is not None  # an aggregate without GROUP BY yields one row
        return row[0], row[1], row[2]


def _listed(values: Mapping[str, int]) -> str:
    shown = [f"{shortened(text, 30)!r} on {count} lines" for text, count in list(values.items())[:5]]
    return ", ".join(shown) + (", ..." if len(values) > 5 else "")


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
