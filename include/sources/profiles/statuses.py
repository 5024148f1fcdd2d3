"""Columns that say whether a row is a sale, and which of their texts are known; the others a person has to sort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from include.sources.charges import one_of, words_of
from include.sources.guard import NEVER_SOLD, SETTLED, TAKEN_BACK
from include.sources.profiles.meanings import guess
from include.sources.profiles.model import Outcome
from include.sources.profiles.sample import Sample
from include.sources.profiles.values import folded

TAKEN_BACK_LATER = "the sale was taken back"
"""Why rows of a status such as refunded are left out."""

_DOCUMENTS = frozenset(
    "invoice; sales invoice; tax invoice; sale; sales; order; receipt; sales receipt; rechnung; verkauf; auftrag;"
    "facture; vente; commande; factura; venta; pedido; fattura; vendita; ordine; factuur; verkoop; bestelling; fatura;"
    "venda".replace("; ", ";").split(";")
)
"""Types of documents, in lower case, that are plain sales."""

_FLAGS = one_of(
    "cancelled canceled cancellation void voided refunded refund returned return storno storniert annule annulee "
    "cancelado anulado annullato geannuleerd"
)
"""Words, without accents, in the name of a column that says of a row that it is no sale."""

_NEVER = one_of("cancelled canceled cancellation void voided storno storniert annule annulee annullato")
_KINDS = one_of("type kind event typ art tipo action entry category")
_OF_OTHERS = one_of("payment card tender tax product item shipping delivery customer")
_YES = one_of("yes y true t 1 ja oui si sim x")
_NO = one_of("no n false f 0 nein non nao nee")

_TEXTS_MOST = 40
_TEXT_LENGTH = 200
_UNSURE = ("partial", "teil", "partiel", "parcial", "parzial", "gedeeltelijk", "pending", "request")


@dataclass
class StatusFound:
    """A column and what its texts mean.

    Attributes:
        column: Its name.
        texts: Text -> what becomes of rows with it; None where a person has to say. Of texts that differ in case and
            surplus spaces only there is one. Empty if all of it is left to a person.
        why: Text -> reason, of those that are no plain sale.
        blank: Rows of the file without a text.
    """

    column: str
    texts: dict[str, Outcome | None] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    blank: int = 0


def statuses(sample: Sample, worth: Mapping[int, Decimal]) -> list[StatusFound]:
    """Return the columns of a sample that say whether a row is a sale.

    Args:
        sample: The rows.
        worth: Row -> what it costs, as far as that is known.
    """
    found = []
    for name in sample.columns:
        kind = _kind(sample, name)
        if kind is None:
            continue
        texts = sample.texts(name)
        status = StatusFound(name, blank=texts.pop("", 0))
        told: dict[str, str] = {}
        for text in texts:
            told.setdefault(folded(text), text)
        if kind != "day" and len(told) <= _TEXTS_MOST and all(len(text) <= _TEXT_LENGTH for text in texts):
            alike = [folded(text) for text in sample.columns[name]]
            for key, text in told.items():
                signs = {amount > 0 for row, amount in worth.items() if amount and alike[row] == key}
                said = {"flag": _of_flag(name, text), "document_type": _of_type(text)}.get(
                    kind, _of_status(text, signs)
                )
                status.texts[text], status.why[text] = said
        if not any(status.texts.values()):
            status.texts = {}
        if status.texts or kind in {"status", "day"}:
            found.append(status)
    return found


def _kind(sample: Sample, name: str) -> str | None:
    """Return what a column seems to hold: `status`, `document_type`, or `flag` or `day` of what is no sale."""
    texts = set(sample.columns[name]) - {""}
    meaning = guess(name)
    if not texts or (meaning is not None and meaning[0] not in {"status", "document_type"}):
        return None
    if meaning is not None:
        return meaning[0]
    if words_of(name) & _FLAGS:
        if {text.casefold() for text in texts} <= _YES | _NO:
            return "flag"
        if sample.is_date(name):
            return "day"
    if len(texts) > _TEXTS_MOST:
        return None
    for kind, outcomes in (
        ("document_type", {_of_type(text)[0] for text in texts}),
        ("status", {_of_status(text, set())[0] for text in texts}),
    ):
        told = words_of(name) & _KINDS and not words_of(name) & _OF_OTHERS
        if outcomes & {"left_out", "reversed"} and ("counts" in outcomes or told):
            return kind
    return None


def _of_flag(name: str, text: str) -> tuple[Outcome | None, str]:
    """Return what becomes of rows that have a column such as Cancelled say yes or no, and why."""
    if text.casefold() in _NO:
        return "counts", ""
    return ("left_out", "no sale") if words_of(name) & _NEVER else (None, "")


def _of_type(text: str) -> tuple[Outcome | None, str]:
    """Return what becomes of documents of a type, and why."""
    folded = text.casefold()
    if folded in _DOCUMENTS:
        return "counts", ""
    if any(word in folded for word in NEVER_SOLD):
        return "left_out", "no sale"
    if any(word in folded for word in TAKEN_BACK):
        return "reversed", "gives money back"
    return None, ""


def _of_status(text: str, signs: set[bool]) -> tuple[Outcome | None, str]:
    """Return what becomes of rows with a status, and why.

    Args:
        text: The status.
        signs: Whether the amounts of these rows are positive.
    """
    folded = text.casefold()
    if folded in SETTLED:
        return "counts", ""
    if any(word in folded for word in _UNSURE):
        return None, ""
    if any(word in folded for word in TAKEN_BACK):
        if signs == {False}:
            return "counts", "its amounts are negative"
        return (None, "") if False in signs else ("left_out", TAKEN_BACK_LATER)
    if any(word in folded for word in NEVER_SOLD) and False not in signs:
        return "left_out", "no sale"
    return None, ""
