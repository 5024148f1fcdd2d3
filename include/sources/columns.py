"""Which spellings of a column name mean which canonical column."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from include.sources.defects import reject, shortened
from include.sources.model import CANONICAL_COLUMNS, SourceRejected

REQUIRED_COLUMNS = ("invoice", "stock_code", "quantity", "invoice_date", "price")

TABLE_COLUMNS = ("stock_code", "quantity", "price")
"""Columns that a header must name to begin a table of lines, in a document that holds other things too."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "invoice": (
        *("Invoice", "Invoice No", "Invoice Number", "Invoice Num", "Invoice Nr", "Invoice ID", "Invoice Code"),
        *("Rechnung", "Rechnungsnummer", "Rechnungsnr", "Rechnung Nr"),
        *("Facture", "Numéro de facture", "Numéro facture", "N° facture", "No facture"),
        *("Factura", "Número de factura", "Número factura", "N° factura", "Nº factura"),
        *("Fattura", "Numero fattura", "Numero di fattura", "N. fattura", "Nr fattura"),
        *("Factuur", "Factuurnummer", "Factuurnr"),
        *("Fatura", "Número da fatura", "Nº fatura", "Nota fiscal"),
    ),
    "stock_code": (
        *("Stock Code", "StockCode No", "Stock No", "Stock Number", "SKU", "Product Code", "Product SKU"),
        *("Item Code", "Item SKU", "Article Code", "Article No", "Article Number"),
        *("Artikelnummer", "Artikelnr", "Art.-Nr.", "Artikelcode", "Produktnummer", "Produktcode"),
        *("Code article", "Référence article", "Code produit", "Référence produit"),
        *("Código de producto", "Código producto", "Código de artículo", "Código artículo"),
        *("Codice articolo", "Codice prodotto", "Cod. articolo", "Código do produto", "Código do artigo"),
    ),
    "description": (
        *("Description", "Desc", "Product Description", "Item Description", "Product Name", "Item Name"),
        *("Product Title", "Item Title", "Article Name", "Article Description"),
        *("Bezeichnung", "Artikelbezeichnung", "Produktbezeichnung", "Beschreibung", "Artikelbeschreibung"),
        *("Artikelname", "Produktname", "Désignation", "Libellé", "Nom du produit", "Nom produit"),
        *("Descripción", "Descripción del producto", "Nombre del producto", "Nombre producto"),
        *("Descrizione", "Descrizione articolo", "Descrizione prodotto", "Nome prodotto"),
        *("Omschrijving", "Artikelomschrijving", "Productomschrijving", "Productnaam"),
        *("Descrição", "Descrição do produto", "Nome do produto"),
    ),
    "quantity": (
        *("Quantity", "Qty", "Units", "Quantity Sold", "Qty Sold", "Units Sold", "Item Quantity"),
        *("Menge", "Anzahl", "Stückzahl", "Quantité", "Qté", "Cantidad", "Quantità", "Q.tà", "Aantal", "Hoeveelheid"),
        *("Quantidade", "Qtd", "Qtde"),
    ),
    "invoice_date": (
        *("Invoice Date", "Invoice Timestamp", "Invoice Date Time", "Invoice Time", "Date", "Timestamp"),
        *("Rechnungsdatum", "Datum", "Date de facture", "Date de facturation", "Date facture"),
        *("Fecha", "Fecha de factura", "Fecha factura", "Data", "Data fattura", "Data di fatturazione"),
        *("Factuurdatum", "Data da fatura", "Data fatura"),
    ),
    "price": (
        *("Price", "Unit Price", "Price GBP", "Unit Price GBP", "Price Each", "Price Per Unit", "Unit Selling Price"),
        *("Einzelpreis", "Stückpreis", "Preis", "Preis pro Stück", "Prix", "Prix unitaire", "Prix à l'unité"),
        *("Precio", "Precio unitario", "Precio por unidad", "Prezzo", "Prezzo unitario"),
        *("Prijs", "Stukprijs", "Eenheidsprijs", "Prijs per stuk", "Preço", "Preço unitário", "Valor unitário"),
    ),
    "customer_id": (
        *("Customer ID", "Customer No", "Customer Number", "Cust ID", "Customer Code", "Client ID"),
        *("Kundennummer", "Kundennr", "Kunden-ID", "Numéro client", "N° client", "Code client", "ID client"),
        *("ID cliente", "Código cliente", "Código de cliente", "Número de cliente", "N° cliente", "Nº cliente"),
        *("Codice cliente", "Numero cliente", "Klantnummer", "Klantnr", "Klant-ID"),
        *("ID do cliente", "Código do cliente"),
    ),
    "country": (
        *("Country", "Customer Country", "Country Name", "Country/Region", "Country Code"),
        *("Land", "Pays", "País", "Paese", "Nazione"),
    ),
}
"""Canonical column -> names people use. Case, accents, spaces, underscores and punctuation do not matter.

No name that may mean a line's total (Amount, Betrag, Importe) may stand among those of the price.
"""

GENERAL_SPELLINGS: dict[str, tuple[str, ...]] = {
    "invoice": (
        *("Order No", "Order Number", "Order ID", "Receipt No", "Receipt Number", "Receipt ID", "Bill No"),
        *("Bill Number", "Transaction ID", "Transaction No", "Transaction Number", "Document No", "Document Number"),
        *("Belegnummer", "Belegnr", "Bestellnummer", "Auftragsnummer", "Numéro de commande", "N° commande"),
        *("Número de pedido", "N° pedido", "Nº pedido", "Numero ordine", "Bestelnummer", "Ordernummer"),
        *("Número do pedido",),
    ),
    "stock_code": (
        *("Product ID", "Product No", "Product Number", "Item ID", "Item No", "Item Number", "Article ID"),
        *("Part No", "Part Number", "Référence", "Réf", "Referencia", "Código", "Codice"),
    ),
    "description": (
        *("Product", "Item", "Article", "Title", "Artikel", "Produkt", "Produit", "Producto", "Artículo"),
        *("Prodotto", "Articolo", "Produto", "Artigo"),
    ),
    "quantity": ("Order Quantity", "Quantity Ordered", "Qty Ordered", "Pieces", "Stück", "Unidades"),
    "invoice_date": (
        *(
            "Order Date",
            "Transaction Date",
            "Sale Date",
            "Sales Date",
            "Purchase Date",
            "Receipt Date",
            "Document Date",
        ),
        *("Date Time", "Belegdatum", "Bestelldatum", "Verkaufsdatum", "Auftragsdatum", "Date de commande"),
        *("Date de vente", "Fecha de pedido", "Fecha de venta", "Data ordine", "Data vendita", "Besteldatum"),
        *("Orderdatum", "Verkoopdatum", "Data do pedido", "Data da venda", "Data da compra"),
    ),
    "customer_id": ("Customer",),
}
"""Names that mean a column only where no name of `SPELLINGS` does; beside one they are a column of the sender's own."""

TIME_SPELLINGS = (
    *("Invoice Time", "Time", "Time of Day", "Order Time", "Transaction Time", "Sale Time", "Uhrzeit", "Zeit"),
    *("Heure", "Hora", "Ora", "Orario", "Tijd", "Tijdstip"),
)
"""Names of a column with the time of day beside one with the date."""


def normalised(name: str) -> str:
    """Return `name` with everything but its letters and digits removed, accents too, in lower case."""
    folded = unicodedata.normalize("NFKD", name.casefold())
    return "".join(character for character in folded if character.isalnum())


_NAMES_TOLD = 6
"""Names of a column that a message lists; docs/sources.md has them all."""

_OWN = {normalised(spelling): column for column, names in SPELLINGS.items() for spelling in names}
_GENERAL = {normalised(spelling): column for column, names in GENERAL_SPELLINGS.items() for spelling in names}
_CANONICAL = {**_GENERAL, **_OWN}
_TIMES = frozenset(map(normalised, TIME_SPELLINGS))


class ColumnNames:
    """What the names of columns mean: here the usual spellings, of a declared layout what its profile says.

    Attributes:
        profile: Name of the profile, None for the usual spellings.
        lines: In JSON of a declared layout, the path of the list of lines below each invoice.
        columns: Canonical columns that a name can mean.
    """

    profile: str | None = None
    lines: str | None = None
    columns: frozenset[str] = frozenset(CANONICAL_COLUMNS)

    def canonical(self, name: str) -> str | None:
        """Return the canonical column that `name` means, None for a column of the sender's own."""
        return canonical(name)

    def is_general(self, name: str) -> bool:
        """Return whether `name` gives way to one of `SPELLINGS` with the same meaning."""
        return is_general(name)

    def names_time(self, name: str) -> bool:
        """Return whether `name` means the time of day where another column has the date."""
        return names_time(name)

    def is_header(self, names: Iterable[str]) -> bool:
        """Return whether `names` are the column names of a table of lines."""
        return is_header(names)

    def check(self, present: Container[str], names: Sequence[str], *, line: int | None = None) -> None:
        """Refuse a table that lacks a required column; see `check_required`."""
        check_required(present, names, line=line)

    def warnings(self, present: Iterable[str]) -> list[str]:
        """Return a sentence for each optional column that a file lacks."""
        return optional_column_warnings(present)


USUAL = ColumnNames()


@lru_cache(maxsize=1_000)
def canonical(name: str) -> str | None:
    """Return the canonical column that `name` usually means, None for a column of the sender's own."""
    return _CANONICAL.get(normalised(name))


@lru_cache(maxsize=1_000)
def is_general(name: str) -> bool:
    """Return whether `name` gives way to one of `SPELLINGS` with the same meaning."""
    return normalised(name) in _GENERAL


def names_time(name: str) -> bool:
    """Return whether `name` means the time of day where another column has the date."""
    return normalised(name) in _TIMES


def is_header(names: Iterable[str]) -> bool:
    """Return whether `names` name every required column."""
    return {canonical(name) for name in names}.issuperset(REQUIRED_COLUMNS)


def check_required(present: Container[str], names: Sequence[str], *, line: int | None = None) -> None:
    """Refuse a table that lacks a required column.

    Args:
        present: The canonical columns it has.
        names: The names of its columns, for the message.
        line: Where they stand, for the message.

    Raises:
        SourceRejected: missing_columns.
    """
    if any(column not in present for column in REQUIRED_COLUMNS):
        raise missing_columns(present, names, line=line)


def missing_columns(
    present: Container[str | None], names: Sequence[str], *, line: int | None = None, value: str | None = None
) -> SourceRejected:
    """Return the rejection of a table that lacks a required column.

    Args:
        present: The canonical columns it has.
        names: The names of its columns, for the message.
        line: Where they stand, for the message.
        value: The text there, for the message.
    """
    missing = [column for column in REQUIRED_COLUMNS if column not in present]
    return reject(
        "missing_columns",
        line=line,
        value=value,
        missing=", ".join(missing),
        found=", ".join(repr(shortened(name.strip(), 40)) for name in names[:20]) or "none",
        accepted="; ".join(f"{column}: {', '.join(SPELLINGS[column][:_NAMES_TOLD])}" for column in missing),
    )


@dataclass(slots=True)
class Header:
    """The columns of a table by position.

    Attributes:
        width: Number of columns.
        positions: Canonical column -> position.
        spellings: Canonical column -> name as written in the file.
        extras: Position -> name of a column that is not canonical; names are made unique.
        time: Position of the one column with the time of day beside the date; it is one of `extras`.
    """

    width: int
    positions: dict[str, int] = field(default_factory=dict)
    spellings: dict[str, str] = field(default_factory=dict)
    extras: dict[int, str] = field(default_factory=dict)
    time: int | None = None

    @classmethod
    def of(cls, names: Sequence[str], line: int | None = None, meaning: ColumnNames = USUAL) -> Header:
        """Return the header made of `names`.

        Args:
            names: Column names in order.
            line: Where they stand, for the message.
            meaning: What they mean.

        Raises:
            SourceRejected: With `duplicate_columns` if two names mean the same column.
        """
        header = cls(len(names))
        claims: dict[str, list[int]] = {}
        for position, name in enumerate(names):
            column = meaning.canonical(name)
            if column is not None:
                claims.setdefault(column, []).append(position)
        clashes: list[str] = []
        for column, claimants in claims.items():
            chosen = [at for at in claimants if not meaning.is_general(names[at])] or claimants
            chosen = [at for at in chosen if not meaning.names_time(names[at])] or chosen
            if len(chosen) > 1:
                same = " and ".join(repr(names[at].strip()) for at in chosen)
                clashes.append(f"{same} {'both' if len(chosen) == 2 else 'all'} mean {column}")
            header.positions[column] = chosen[0]
            header.spellings[column] = names[chosen[0]].strip()
        if clashes:
            raise reject("duplicate_columns", line=line, value=", ".join(names), clashes="; ".join(clashes))
        taken: set[str] = set()
        used = set(header.positions.values())
        for position, name in enumerate(names):
            if position not in used:
                header.extras[position] = unique_name(name.strip() or f"column_{position + 1}", taken)
        times = [position for position in header.extras if meaning.names_time(names[position])]
        header.time = times[0] if len(times) == 1 and "invoice_date" in header.positions else None
        return header

    def join_time(self) -> None:
        """Make the column with the time a part of `invoice_date`; its values are then joined to the dates."""
        assert self.time is not None
        self.spellings["invoice_date"] += f" and {self.extras.pop(self.time)}"


def unique_name(name: str, taken: set[str]) -> str:
    """Return `name`, numbered if it is in `taken`, and add it there."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def optional_column_warnings(present: Iterable[str]) -> list[str]:
    """Return a sentence for each optional column that a file lacks."""
    absent = [c for c in CANONICAL_COLUMNS if c not in REQUIRED_COLUMNS and c not in set(present)]
    consequence = {
        "description": "products keep the descriptions they have",
        "customer_id": "every line counts as a sale to an unknown customer",
        "country": "every line counts as sold in an unspecified country",
    }
    return [f"There is no {column} column: {consequence[column]}." for column in absent]
