"""Rows of a table that are no records: totals, footers, units below the header, the header again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from include.sources.columns import USUAL, ColumnNames
from include.sources.defects import reject
from include.sources.model import CANONICAL_COLUMNS, FileDecisions
from include.sources.staged import Batch, Values, text_array
from include.sources.text import without_accents

_TOTAL_WORDS: dict[str, str] = {
    "any": "total totals subtotal",
    "English": "sum grandtotal subtotals",
    "German": "summe gesamt gesamtsumme zwischensumme endsumme gesamtbetrag gesamtergebnis summen",
    "French": "somme totaux soustotal",
    "Spanish": "suma totales",
    "Italian": "totale totali subtotale somma",
    "Dutch": "totaal subtotaal eindtotaal totalen som",
    "Portuguese": "totais soma",
}
"""Language -> words that make a text the name of a total."""

_WORDS_BESIDE: dict[str, str] = {
    "any": "gbp eur usd chf cad aud",
    "English": "sub grand net gross invoice order page report sales amount value goods quantity units items lines "
    "running overall for of the per and to date in incl including inc ex excl excluding vat tax due payable carried "
    "brought on next overleaf",
    "German": "netto brutto rechnung beleg seite betrag ergebnis menge umsatz der die des inkl exkl mwst ust",
    "French": "sous general generale generaux facture page montant ht ttc tva net brut de la du des",
    "Spanish": "general factura importe iva neto bruto de la del",
    "Italian": "generale complessivo fattura importo iva netto lordo di della",
    "Dutch": "algemeen factuur bedrag btw netto bruto van de het",
    "Portuguese": "geral fatura valor iva liquido bruto da do",
}
"""Language -> words that may stand beside those, without accents; any other word makes the text no total's name."""

_FOOTER_WORDS: dict[str, str] = {
    "English": "generated printed created exported produced prepared powered report end eof page source note notes "
    "copyright confidential disclaimer",
    "German": "erstellt gedruckt exportiert erzeugt seite ende stand",
    "French": "genere imprime edite exporte fin",
    "Spanish": "generado impreso exportado pagina",
    "Italian": "generato stampato esportato fine",
    "Dutch": "gegenereerd afgedrukt einde",
    "Portuguese": "gerado impresso fim",
}
"""Language -> words that a footer may begin with, without accents."""

_UNIT_WORDS: dict[str, str] = {
    "any": "pcs pc yyyy yy mm dd hh ss gbp eur usd chf cad aud integer int decimal float string date datetime",
    "English": "pieces units unit qty each ea number money currency text timestamp",
    "German": "stk stueck stuck st einheit einheiten datum euro jjjj tt zahl",
    "French": "unites pieces nombre jj aaaa",
    "Spanish": "piezas unidades fecha",
    "Italian": "pezzi unita data",
    "Dutch": "stuks eenheid getal",
    "Portuguese": "unidade pecas",
}
"""Language -> words of a row of units or types below the header, without accents."""


def _all(words: dict[str, str]) -> frozenset[str]:
    return frozenset(" ".join(words.values()).split())


_HEADS = _all(_TOTAL_WORDS)
_HEADS_WITHOUT_CODE = _HEADS | {"balance", "due", "payable", "forward", "ergebnis"}
_NAMES_OF_TOTALS = _HEADS_WITHOUT_CODE | _all(_WORDS_BESIDE)
_FOOTER_BEGINNINGS = _all(_FOOTER_WORDS)
_UNITS = _all(_UNIT_WORDS)
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W\d_]+")
_DECORATED = re.compile(r"[-*=_~#©(]")
_FIRST_ROWS = 3
"""Rows below the header among which the units may stand; the ones above may be blank."""
_FOOTER_CELLS = 2
_FOOTER_WORDS_LEAST = 3
_COUNTED = re.compile(
    r"[0-9][0-9.,]* (?:record|row|line|order|result)(?:s|\(s\))? (?:downloaded|exported|found|printed|listed)\b",
    re.IGNORECASE,
)
"""A row that counts the records above it."""

_CLOCK = re.compile(r"[0-9]{1,2}[:.h][0-9]{2}")
_MIDNIGHT = re.compile(r"[T ]0?0:00(:00(\.0+)?)?\s*$")


def says_total(text: str) -> bool:
    """Return whether a text is in full the name of a total: "Total care soap" and "TOTAL-1" are none.

    Words that may be a code by themselves, such as "BALANCE", are so only beside others, as in "Balance due".
    """
    words = _words(text)
    heads = _HEADS_WITHOUT_CODE if len(words) > 1 else _HEADS
    return not _DIGIT.search(text) and not heads.isdisjoint(words) and _NAMES_OF_TOTALS.issuperset(words)


def names_total(invoice: str, stock_code: str, filled: Iterable[str]) -> bool:
    """Return whether a row is a total, by its invoice, its stock code and its values that are not blank."""
    if stock_code.strip():
        return says_total(stock_code) or says_total(invoice)
    return any(map(says_total_of, filled))


def says_total_of(text: str) -> bool:
    """Return whether a text in a row without a stock code names a total: numbers may be in it, as in "536365 Total"."""
    words = _words(" ".join(part for part in text.split() if not _DIGIT.search(part)))
    return not _HEADS_WITHOUT_CODE.isdisjoint(words) and _NAMES_OF_TOTALS.issuperset(words)


def _words(text: str) -> list[str]:
    """Return the words of a text without accents, in lower case."""
    return _WORD.findall(without_accents(text))


def time_belongs(dates: Sequence[str], times: Sequence[str]) -> bool:
    """Return whether a column of times is the time of day of the dates: these have none, or midnight throughout."""
    own = any(_CLOCK.search(_MIDNIGHT.sub("", date)) for date in dates)
    return not own and any(times) and all(_CLOCK.match(time.strip()) for time in times if time.strip())


def moment(date: str, time: str) -> str:
    """Return a date with its time of day behind it, in the place of midnight."""
    return f"{_MIDNIGHT.sub('', date)} {time}"


def moments(dates: Values, times: Values) -> pa.Array:
    """Return dates with their times of day behind them; a date without a time, or no date, stays as it is.

    A date that has a time other than midnight gets a second one, which no rule accepts.
    """
    days = pc.replace_substring_regex(text_array(dates), _MIDNIGHT.pattern, "")
    joined = pc.binary_join_element_wise(days, text_array(times), " ")
    both = pc.and_(pc.not_equal(text_array(dates), ""), pc.not_equal(text_array(times), ""))
    return pc.if_else(pc.fill_null(both, False), joined, text_array(dates))


def only_records(
    batches: Iterable[Batch],
    decisions: FileDecisions,
    split: Callable[[str], Sequence[str]] | None = None,
    meaning: ColumnNames = USUAL,
) -> Iterator[Batch]:
    """Yield the batches without the rows that are no records, which are told in `decisions.left_out`.

    Args:
        batches: All rows below the header, in order.
        decisions: Gets what was left out.
        split: Cuts the text of a row with too few or too many values into its values.
        meaning: What the names of the columns mean.

    Raises:
        SourceRejected: changed_header.
    """
    rows = _Rows(decisions, split, meaning)
    for batch in batches:
        yield from rows.records(batch)
    rows.conclude()


class _Rows:
    """Judges rows in order. What may be a footer waits until it is known whether a record follows."""

    def __init__(
        self, decisions: FileDecisions, split: Callable[[str], Sequence[str]] | None, meaning: ColumnNames
    ) -> None:
        self.decisions = decisions
        self.meaning = meaning
        self.split = split
        self.started = False
        self.waiting: list[Batch] = []

    def records(self, batch: Batch) -> Iterator[Batch]:
        """Yield the records among the rows of a batch, after those of earlier batches that turned out to be some."""
        count = len(batch.line_numbers)
        kinds: dict[int, str] = {}
        for row in _suspects(batch, self.meaning, first=not self.started):
            kind = self._kind(batch, row)
            if kind is None:
                self.started = True
            else:
                kinds[row] = kind
        last = next((row for row in reversed(range(count)) if row not in kinds), -1)
        footers = [row for row, kind in kinds.items() if kind == "footer"]
        for row, kind in kinds.items():
            if kind not in {"footer", "blank row"}:
                self.decisions.leave_out(kind, batch.line_numbers[row], ", ".join(self._filled(batch, row)))
        self.started = self.started or last >= 0
        if last >= 0:
            yield from self.waiting
            self.waiting = []
            kept = [row for row in range(count) if row not in kinds or (kinds[row] == "footer" and row < last)]
            yield batch if len(kept) == count else batch.take(kept)
        trailing = [row for row in footers if row > last]
        if trailing:
            self.waiting.append(batch.take(trailing))

    def conclude(self) -> None:
        """Tell the footers: no record came after them."""
        for batch in self.waiting:
            for row, line in enumerate(batch.line_numbers):
                self.decisions.leave_out("footer", line, ", ".join(self._filled(batch, row)))

    def _kind(self, batch: Batch, row: int) -> str | None:
        """Return what kind of row it is if it is no record."""
        defect = batch.defects[row] if batch.defects is not None else None
        if defect not in {None, "too_few_columns", "too_many_columns"}:
            return None
        filled = self._filled(batch, row)
        if not filled:
            return "blank row"
        if defect is not None:
            return "total row" if says_total_of(filled[0]) else "footer" if _is_footer(filled) else None
        cells = {name: _cell(values, row) for name, values in batch.columns.items()}
        if self.meaning.is_header(filled):
            if any(self.meaning.canonical(text) != name for name, text in cells.items() if text.strip()):
                raise reject("changed_header", line=batch.line_numbers[row], value=", ".join(filled))
            return "repeated header"
        if not self.started and _is_of_units(cells):
            return "units row"
        # Where the stock code is made of other columns, a row is not known to have none.
        code = cells.get("stock_code", "") if "stock_code" in self.meaning.columns else "made"
        if names_total(cells.get("invoice", ""), code, filled):
            return "total row"
        return "footer" if not code.strip() and _is_footer(filled) else None

    def _filled(self, batch: Batch, row: int) -> list[str]:
        """Return the values of a row that are not blank."""
        raw = batch.raws[row] if batch.raws is not None else None
        if raw is not None:
            return [cell for cell in (self.split(raw) if self.split else [raw]) if cell.strip()]
        extras = batch.extras[row] if batch.extras is not None else None
        cells = [_cell(batch.columns[name], row) for name in CANONICAL_COLUMNS if name in batch.columns]
        return [cell for cell in (*cells, *(json.loads(extras).values() if extras else ())) if cell.strip()]


def _suspects(batch: Batch, meaning: ColumnNames, *, first: bool) -> list[int]:
    """Return the rows to look at: the first, defective ones, and those without a stock code or with a telling word.

    The rest of a file passes at the speed of Arrow: a text that begins with a digit is no such word.
    """
    if not batch.line_numbers:
        return []
    rows = {row for row, defect in enumerate(batch.defects or ()) if defect}
    for name in meaning.columns & {"stock_code", "invoice"}:
        array = batch.columns[name] = text_array(batch.columns[name])
        mask = _telling(array, meaning, blank=name == "stock_code")
        rows.update(pc.indices_nonzero(mask).to_pylist() if mask is not None else ())
    return sorted(rows.union(range(min(_FIRST_ROWS, len(batch.line_numbers)))) if first else rows)


def _telling(values: pa.Array, meaning: ColumnNames, *, blank: bool) -> pa.Array | None:
    """Return which values are blank or may be the name of a total or of a column, None if none is."""
    array = pc.fill_null(values, "")
    other = array.filter(pc.or_(pc.less(array, "0"), pc.greater_equal(array, ":")))
    words = [
        text
        for text in pc.unique(other).to_pylist()
        if (blank if not text.strip() else meaning.canonical(text) is not None or says_total(text))
    ]
    return pc.is_in(array, pa.array(words, pa.string())) if words else None


def _cell(values: Values, row: int) -> str:
    value = values[row]
    return (value.as_py() if isinstance(value, pa.Scalar) else value) or ""


def _is_of_units(cells: dict[str, str]) -> bool:
    """Return whether a row says in what units the columns are: `pcs`, `dd.mm.yyyy`, `GBP`, `------`."""
    texts = [cells.get(name, "").strip() for name in ("quantity", "invoice_date", "price")]
    if any(map(_DIGIT.search, (cells.get("invoice", ""), *texts))) or not any(texts):
        return False
    return all(_UNITS.issuperset(_words(text)) for text in texts)


def _is_footer(filled: list[str]) -> bool:
    """Return whether the values of a short row are a remark and not the beginning of a record that was cut off."""
    if _COUNTED.match(" ".join(filled)):
        return True
    words = _words(filled[0])
    if len(filled) > _FOOTER_CELLS or not words:
        return False
    if words[0] in _FOOTER_BEGINNINGS:
        return True
    return len(filled) == 1 and (len(words) >= _FOOTER_WORDS_LEAST or _DECORATED.match(filled[0].strip()) is not None)
