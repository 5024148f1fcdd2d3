"""Which columns of a file without a declared layout hold what a line is made of, by their names and their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from include.domain.line import violations
from include.sources.charges import one_of, words_of
from include.sources.columns import names_time
from include.sources.currency import candidates
from include.sources.layout import time_belongs
from include.sources.profiles.meanings import EXACT, WORD, guess, is_of_another_day
from include.sources.profiles.sample import Sample
from include.sources.profiles.wording import UNDECIDED, scalar

_OF_LINES = frozenset({"stock_code", "description", "quantity"})
_OTHER_QUANTITIES = one_of("refunded returned cancelled canceled shipped stock available open")
_NUMBER_OF_ORDER = ("number", "no", "nr", "name", "id", "code", "reference")
_KEY = re.compile(r"#?[\w-]*[0-9][\w-]*")


@dataclass
class Choices:
    """The columns of a line.

    Attributes:
        column: Canonical column, or `currency` -> column of the file.
        value: The same -> VALUE of the profile, as YAML.
        why: The same -> reason.
        missing: Needed ones for which there is no column.
    """

    column: dict[str, str] = field(default_factory=dict)
    value: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def take(self, meaning: str, name: str, why: str, value: str | None = None) -> None:
        """Note the column of a meaning."""
        self.column[meaning] = name
        self.value[meaning] = value or scalar(name)
        self.why[meaning] = why


def choose(sample: Sample) -> Choices:
    """Return the columns of a line, but for its price."""
    chosen = Choices()
    for meaning in ("quantity", "invoice_date", "stock_code", "description", "customer_id", "country", "currency"):
        names = [name for name in sample.columns if _may_be(sample, name, meaning)]
        if names:
            best = min(names, key=lambda name: _rank(sample, name, meaning))
            chosen.take(meaning, best, _by_name(best))
    if "invoice_date" not in chosen.column:
        dates = [name for name in sample.columns if sample.is_date(name) and not is_of_another_day(name)]
        if dates:
            chosen.take("invoice_date", dates[0], "its values are dates")
    _join_time(sample, chosen)
    _choose_invoice(sample, chosen)
    _choose_code(sample, chosen)
    _map_signs(sample, chosen)
    if "customer_id" in chosen.column:
        _encode(sample, chosen, "customer_id")
    for needed in ("invoice", "stock_code", "quantity", "invoice_date"):
        if needed not in chosen.value:
            chosen.missing.append(needed)
            chosen.value[needed] = f'"{UNDECIDED}"'
    return chosen


def _may_be(sample: Sample, name: str, meaning: str) -> bool:
    """Return whether name and values of a column are those of a meaning."""
    if not sample.means(name, meaning) or not any(sample.columns[name]):
        return False
    fits: dict[str, Callable[[str], bool]] = {"quantity": sample.is_number, "invoice_date": sample.is_date}
    return fits[meaning](name) if meaning in fits else not any(text.startswith("[") for text in sample.columns[name])


def _rank(sample: Sample, name: str, meaning: str) -> tuple[bool, bool, int, bool, float]:
    """Return how far a column is from being the one of a meaning; the least is taken."""
    found = guess(name)
    words = words_of(name)
    texts = sample.columns[name]
    elsewhere = sample.lines is not None and sample.is_of_order(name) == (meaning in _OF_LINES)
    other = is_of_another_day(name) if meaning == "invoice_date" else bool(words & _OTHER_QUANTITIES)
    person = meaning == "customer_id" and not words & {"id", "no", "nr", "number", "code", "email", "mail"}
    return elsewhere, other, EXACT if found is None else found[1], person, -sum(map(bool, texts)) / (len(texts) or 1)


def _by_name(name: str) -> str:
    found = guess(name)
    return "by its name" if found is not None and found[1] < WORD else "by a word of its name"


def _join_time(sample: Sample, chosen: Choices) -> None:
    """Join the time of day to the date, if it has a column of its own."""
    date = chosen.column.get("invoice_date")
    for name in sample.columns:
        if date and name != date and names_time(name) and time_belongs(sample.columns[date], sample.columns[name]):
            chosen.take(
                "invoice_date", date, "the time stands beside it", f"{{join: [{scalar(date)}, {scalar(name)}]}}"
            )
            return


def _choose_invoice(sample: Sample, chosen: Choices) -> None:
    names = [name for name in sample.columns if _may_be(sample, name, "invoice")]
    if names:
        best = min(names, key=lambda name: _rank(sample, name, "invoice"))
        chosen.take("invoice", best, _by_name(best))
    else:
        _choose_invoice_by_values(sample, chosen)
    if "invoice" in chosen.column:
        _encode(sample, chosen, "invoice")


def _choose_invoice_by_values(sample: Sample, chosen: Choices) -> None:
    if sample.lines is not None:
        for last in _NUMBER_OF_ORDER:
            if last in sample.columns and all(sample.columns[last]):
                chosen.take("invoice", last, f"the {last} of the object around the lines")
                return
    date = chosen.column.get("invoice_date")
    taken = set(chosen.column.values())
    found = []
    for name, texts in sample.columns.items():
        filled = [text for text in texts if text]
        if name in taken or guess(name) is not None or not filled or not all(map(_KEY.fullmatch, filled)):
            continue
        if date and texts[0] and not sample.is_money(name) and _is_constant(sample, date, name):
            found.append((len(set(filled)) == len(texts), name))
    if found:
        _, name = min(found, key=lambda one: one[0])
        chosen.take("invoice", name, f"its values look like numbers of invoices, and {date} is one for each")


def _is_constant(sample: Sample, name: str, within: str) -> bool:
    """Return whether a column has no two texts within one text of another."""
    seen: dict[str, str] = {}
    pairs = zip(sample.columns[within], sample.columns[name], strict=True)
    return all(not text or seen.setdefault(key, text) == text for key, text in pairs if key)


def _choose_code(sample: Sample, chosen: Choices) -> None:
    """Make the stock code of the description where there is none."""
    code, description = chosen.column.get("stock_code"), chosen.column.get("description")
    if code is not None:
        _encode(sample, chosen, "stock_code")
    if description is None:
        return
    of_description = f"{{code: {scalar(description)}}}"
    if code is None:
        chosen.take("stock_code", description, "there is no column of codes: made of the description", of_description)
    elif not all(sample.columns[code]):
        why = f"{chosen.why['stock_code']}; where it is empty, made of the description"
        chosen.take("stock_code", code, why, f"[{chosen.value['stock_code']}, {of_description}]")


def _encode(sample: Sample, chosen: Choices, meaning: str) -> None:
    """Make codes of texts that are none."""
    name = chosen.column[meaning]
    if any(f"malformed_{meaning}" in violations({meaning: text}) for text in set(sample.columns[name]) if text):
        chosen.take(
            meaning, name, f"{chosen.why[meaning]}; its texts are made fit to be codes", f"{{code: {scalar(name)}}}"
        )


def _map_signs(sample: Sample, chosen: Choices) -> None:
    """Replace the signs of currencies by their codes."""
    name = chosen.column.get("currency")
    texts = {text.upper() for text in sample.columns[name] if text} if name else set()
    codes = {text: candidates(text, "") for text in sorted(texts)}
    signs = {text: next(iter(of)) for text, of in codes.items() if len(of) == 1 and text not in of}
    if name and signs:
        mapped = ", ".join(f"{scalar(sign)}: {{text: {code}}}" for sign, code in signs.items())
        value = f"{{column: {scalar(name)}, map: {{{mapped}}}, otherwise: {scalar(name)}}}"
        chosen.take("currency", name, chosen.why["currency"], value)


def filled_down(sample: Sample, invoice: str, names: Iterable[str]) -> list[str]:
    """Return the columns that stand on the first row of an invoice alone, where it has several."""
    found = []
    for name in dict.fromkeys(names):
        groups: dict[str, list[str]] = {}
        current = ""
        for key, text in zip(sample.columns[invoice], sample.columns[name], strict=True):
            current = key or current
            groups.setdefault(current, []).append(text)
        several = [texts for texts in groups.values() if len(texts) > 1 and any(texts)]
        if any(not all(texts) for texts in several) and all(len(set(filter(None, t))) == 1 for t in several):
            found.append(name)
    return found
