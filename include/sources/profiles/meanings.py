"""What the name of a column that no layout declares may mean: a guess, which its values have to bear out."""

from __future__ import annotations

from functools import lru_cache

from include.sources.charges import charge_code, has_word, one_of, words_of
from include.sources.columns import canonical, is_general, normalised
from include.sources.guard import ROLES, Role

_WORDS: tuple[tuple[str, str], ...] = (
    ("currency", "currency ccy waehrung wahrung devise moneda valuta divisa moeda"),
    ("status", "status state statut estado stato"),
    ("invoice_date", "date datum fecha data timestamp datetime created placed ordered purchased sold"),
    ("country", "country land pays pais paese nazione"),
    (
        "quantity",
        "qty quantity units menge anzahl stuckzahl quantite qte cantidad quantita aantal quantidade pieces pcs",
    ),
    ("price", "price preis prix precio prezzo prijs preco"),
    (
        "amount",
        "total amount subtotal revenue sales betrag summe montant importe importo totale totaal bedrag gross net",
    ),
    ("customer_id", "customer client buyer kunde kunden cliente klant email mail"),
    ("stock_code", "sku asin ean upc gtin isbn plu barcode stock artikelnr artikelnummer"),
    ("description", "description desc title bezeichnung beschreibung designation libelle descripcion descrizione"),
    ("invoice", "invoice receipt rechnung beleg facture factura fattura factuur fatura"),
)
"""Meaning -> words, without accents; the first that has one of a name's words is meant."""

_GOODS = one_of("product item article lineitem artikel produkt produit producto articulo prodotto line items")
_ORDER = one_of("order transaction bill document ticket sale bestellung auftrag commande pedido ordine")
_IDENTIFIES = one_of("id no nr num number code ref reference nummer numero key")
_NUMBER_ALONE = one_of("no nr num number nummer numero ref reference")
_OF_UNIT = one_of("unit each per einzel stuck unitaire unitario stuk")
_MONEY = one_of("price amount cost value preis prix precio prezzo prijs preco valor betrag")
_NUMBERS = one_of("quantity price amount")
_OTHER_DAYS = one_of(
    "paid shipped fulfilled cancelled canceled updated modified due delivery delivered payment refunded closed "
    "expected birth expiry"
)

_OF_ROLE: dict[Role, str] = {
    "currency": "currency",
    "total": "amount",
    "status": "status",
    "document_type": "document_type",
}

EXACT, GENERAL, LAST, LAST_GENERAL, WORD = range(5)
"""How sure a guess is: a usual name, one that gives way to these, either of them at the end of a path, a word of it."""


@lru_cache(maxsize=1_000)
def guess(name: str) -> tuple[str, int] | None:
    """Return what a name may mean and how sure that is, None if nothing is known.

    Meanings are the canonical columns, `amount` (a total), `currency`, `status`, `document_type` and `charge`.
    """
    exact = _usual(name)
    if exact is not None:
        return exact
    words = words_of(name)
    if charge_code(name) is not None:
        return "charge", WORD
    if words & _OF_UNIT and words & _MONEY:
        return "price", WORD
    last = name.rpartition(".")[2]
    if last != name and (found := _usual(last)) is not None:
        return found[0], LAST + found[1]
    for meaning, known in _WORDS:
        if has_word(words, known) and not (meaning in _NUMBERS and words & _IDENTIFIES):
            return meaning, WORD
    if words & _GOODS and words & _IDENTIFIES:
        return "stock_code", WORD
    if words & _GOODS and (words & {"name"} or words <= _GOODS):
        return "description", WORD
    if words and words <= _NUMBER_ALONE:
        return "invoice", WORD
    if words & _ORDER and (words & _IDENTIFIES or words <= _ORDER):
        return "invoice", WORD
    return None


def _usual(name: str) -> tuple[str, int] | None:
    """Return what one of the usual names means."""
    column = canonical(name)
    if column is not None:
        return column, GENERAL if is_general(name) else EXACT
    role = ROLES.get(normalised(name))
    if role == "adjustment":
        return "charge", EXACT
    return None if role is None else (_OF_ROLE[role], EXACT)


def is_of_another_day(name: str) -> bool:
    """Return whether the name is that of a day other than that of the sale, such as of the payment."""
    return not words_of(name).isdisjoint(_OTHER_DAYS)


def says_unit(name: str) -> bool:
    """Return whether the name of a price says that it is that of one unit."""
    return not words_of(name).isdisjoint(_OF_UNIT)
