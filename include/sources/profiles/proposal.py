"""A profile for a file that has no declared layout, proposed with the reason for each part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from pathlib import PurePath

from include.domain.model import Model
from include.settings import Settings
from include.sources.charges import charge_code
from include.sources.columns import normalised, unique_name
from include.sources.dates import decide_dates
from include.sources.defects import shortened
from include.sources.guard import ROLES
from include.sources.model import CANONICAL_COLUMNS, FileDecisions, SourceRejected
from include.sources.numbers import decide_numbers
from include.sources.profiles.amounts import Amounts
from include.sources.profiles.choosing import Choices, choose, filled_down
from include.sources.profiles.money import ChargeFound, Money
from include.sources.profiles.sample import NAME_LENGTH, Sample
from include.sources.profiles.statuses import TAKEN_BACK_LATER, StatusFound, statuses
from include.sources.profiles.values import folded
from include.sources.profiles.wording import UNDECIDED, Draft, said, scalar

_ENDINGS = re.compile(r"\.(csv|tsv|txt|jsonl?|ndjson|xlsx?|xlsb|ods|parquet|gz|xz|zip)$")
_NAME_LENGTH = 40
_MONEY_TOLD = 10
_OF_INVOICE = ("invoice_date", "customer_id", "country", "currency")
"""What is the same for all lines of an invoice, besides statuses; never the product."""


class Proposal(Model):
    """A proposed profile.

    Attributes:
        name: Its name.
        text: Its YAML.
        reasons: What was decided and why.
        needed: What a person has to decide before it reads anything.
        doubts: What a person should decide besides.
    """

    name: str
    text: str
    reasons: list[str]
    needed: list[str]
    doubts: list[str]


def profile_name(file: str, taken: Collection[str]) -> str:
    """Return a name for the profile of a file that none of `taken` has."""
    name = PurePath(file).name.lower()
    while (shorter := _ENDINGS.sub("", name)) != name:
        name = shorter
    plain = re.sub(r"[^a-z0-9]+", "_", name).strip("_")
    plain = re.sub(r"(_?[0-9]+)+$", "", plain) or plain  # the numbers at its end are those of a day or a month
    plain = plain if plain[:1].isalpha() else f"file_{plain}".rstrip("_")
    return unique_name(plain[:_NAME_LENGTH].rstrip("_"), set(taken))


def propose(sample: Sample, file: str, taken: Collection[str], settings: Settings) -> Proposal:
    """Return a profile that fits a file as far as its rows tell.

    Args:
        sample: Its first rows.
        file: Its name.
        taken: Names that other profiles have.
        settings: Say how dates and numbers are read that may be either.
    """
    return _Proposing(sample, file, settings).proposal(profile_name(file, taken))


class _Proposing:
    def __init__(self, sample: Sample, file: str, settings: Settings) -> None:
        self.sample = sample
        self.file = file
        self.settings = settings
        self.needed: list[str] = []
        self.doubts: list[str] = []
        self.chosen: Choices = choose(sample)
        column = self.chosen.column
        goods = column.get("stock_code")
        amounts = Amounts(sample, column.get("invoice"), column.get("quantity"), goods)
        self.money: Money = amounts.money()
        self.statuses: list[StatusFound] = statuses(sample, self._worth(amounts))
        self.lists = [
            name
            for name, texts in sample.columns.items()
            if any(text.startswith("[{") for text in texts)
            and (charge_code(name) or ROLES.get(normalised(name.rpartition(".")[2])) == "adjustment")
        ]

    def _worth(self, amounts: Amounts) -> dict[int, Decimal]:
        """Return what each row costs, as far as it is known."""
        name = self.money.price or self.money.amount
        if name is None:
            return {}
        quantities = amounts.quantity if self.money.price else [Decimal(1)] * self.sample.rows
        pairs = zip(self.sample.numbers(name), quantities, strict=True)
        return {row: one * times for row, (one, times) in enumerate(pairs) if one is not None and times is not None}

    def proposal(self, name: str) -> Proposal:
        """Return the profile under a name."""
        body = Draft()
        used = self._columns(body)
        used += self._statuses(body)
        used += self._charges(body)
        self._repeats(body)
        self._rest(body, used)
        head = Draft()
        head.remark(f"Proposed for {self.file}: check each line, above all what is marked {UNDECIDED}.")
        head.put(f"name: {name}")
        head.put(f"title: {scalar(shortened(said(f'Files such as {PurePath(self.file).name}'), 200))}")
        head.put("recognise:")
        wanted = [column for column in self.sample.columns if column in used]
        if self.needed:
            head.remark(
                f"While {UNDECIDED} stands here, no file is read by this profile. Take it out when all is decided."
            )
            wanted = [UNDECIDED, *wanted]
        head.put_list("  columns", wanted)
        if self.sample.lines:
            head.put(f"lines: {scalar(self.sample.lines)}", "the list with most of what a line is made of")
        return Proposal(
            name=name,
            text=head.text + body.text,
            reasons=head.reasons + body.reasons,
            needed=self.needed,
            doubts=self.doubts,
        )

    def _columns(self, draft: Draft) -> list[str]:
        chosen, money = self.chosen, self.money
        draft.put("columns:")
        for meaning in (*CANONICAL_COLUMNS, "currency"):
            if meaning == "price":
                self._price(draft)
            elif meaning in chosen.value:
                draft.put(f"  {meaning}: {chosen.value[meaning]}", chosen.why.get(meaning, ""))
        used = [*chosen.column.values(), *(name for name in (money.price, money.amount) if name)]
        for meaning in chosen.missing:
            hint = ' If each row is one piece, say quantity: {text: "1"}.' if meaning == "quantity" else ""
            self.needed.append(f"No column of {meaning} was found: name it.{hint}")
        if "currency" not in chosen.column:
            draft.remark(
                "defaults: {currency: ...}: no column says the currency, so it is that of signs, or the base currency"
            )
        if "country" not in chosen.column:
            draft.remark(
                "defaults: {country: United Kingdom}: no column says the country; without this it is unspecified"
            )
        invoice = chosen.column.get("invoice")
        if invoice and not all(self.sample.columns[invoice]):
            draft.put_list("carry", [invoice], "it stands on the first row of each invoice alone")
        if invoice:
            candidates = [chosen.column[meaning] for meaning in _OF_INVOICE if meaning in chosen.column]
            candidates += [status.column for status in self.statuses]
            self.filled = filled_down(self.sample, invoice, candidates)
            draft.put_list("fill_down", self.filled, "empty on later rows of an invoice")
        else:
            self.filled = []
        self._values(draft)
        return used

    def _price(self, draft: Draft) -> None:
        money = self.money
        for part, name in (("price", money.price), ("amount", money.amount)):
            if name is not None:
                draft.put(f"  {part}: {scalar(name)}", money.why[part])
        if money.price is None and money.amount is None:
            draft.put(f'  price: "{UNDECIDED}"')
            self.needed.append(
                "No column of prices was found: name the price of one unit, or amount: for the line's total."
            )

    def _values(self, draft: Draft) -> None:
        """Tell where a person has to say how dates or numbers are written."""
        decisions = FileDecisions(format=self.sample.decisions.format, delimiter=self.sample.decisions.delimiter)
        date = self.chosen.column.get("invoice_date")
        try:
            dates = Counter(text for text in self.sample.columns[date] if text) if date else Counter()
            decide_dates(dates, decisions, self.settings.date_order, self.sample.zone)
        except SourceRejected as error:
            draft.remark("values: {date_order: day_first}: or month_first; a person has to decide")
            self.doubts.append(f"{error.problem} Say date_order under values.")
        names = [self.money.price, self.money.amount, self.chosen.column.get("quantity")]
        try:
            numbers = Counter(text for name in names if name for text in self.sample.columns[name] if text)
            decide_numbers(numbers, decisions, self.settings.decimal_mark)
        except SourceRejected as error:
            draft.remark("values: {decimal_mark: comma}: or point; a person has to decide")
            self.doubts.append(f"{error.problem} Say decimal_mark under values.")

    def _statuses(self, draft: Draft) -> list[str]:
        known = [status for status in self.statuses if status.texts]
        if known:
            draft.put("statuses:")
        for status in known:
            draft.put(f"  - column: {scalar(status.column)}")
            for outcome in ("counts", "left_out", "reversed"):
                texts = [text for text, becomes in status.texts.items() if becomes == outcome]
                why = "; ".join(f"{text}: {status.why[text]}" for text in texts if status.why[text])
                draft.put_list(f"    {outcome}", texts, why)
            unknown = [text for text, becomes in status.texts.items() if becomes is None]
            if unknown:
                draft.remark(
                    f"{UNDECIDED} {', '.join(unknown)}: a person has to sort them; till then rows are kept out"
                )
                self.doubts.append(
                    f"{status.column} says {', '.join(unknown)}: list each under counts, left_out or reversed; rows "
                    "with other texts are kept out."
                )
            if status.blank and status.column not in self.filled:
                self.doubts.append(
                    f"{status.column} is empty on {status.blank} rows, which are kept out; if they are sales, say "
                    f"column: [{scalar(status.column)}, {{text: none}}] and list none under counts."
                )
            if taken_back := [text for text, why in status.why.items() if why == TAKEN_BACK_LATER]:
                self.doubts.append(
                    f"Rows of {status.column} {', '.join(taken_back)} are left out as sales that were taken back. If "
                    "the sale itself is in another file or row, list the text under reversed."
                )
        for status in self.statuses:
            if not status.texts:
                name = scalar(status.column)
                draft.remark(
                    f"{UNDECIDED} {{column: {name}}}: under statuses if it tells sales from others, or ignored"
                )
                self.needed.append(
                    f"{status.column} says something of which it is unclear whether it tells sales from others: name "
                    "it under statuses or ignored."
                )
        return [status.column for status in known]

    def _charges(self, draft: Draft) -> list[str]:
        money = self.money
        if money.charges:
            draft.put("charges:")
            for charge in money.charges:
                draft.put(f"  - {_charge(charge)}", "the total decides whether it is added" if charge.by_total else "")
        used = [charge.column for charge in money.charges]
        if money.total:
            name, per = money.total
            draft.put(f"total: {{column: {scalar(name)}, per: {per}}}", money.why["total"])
            used.append(name)
        if money.ignored:
            draft.put("ignored:")
            for name, why in money.ignored.items():
                draft.put(f"  - {scalar(name)}", why)
        self.doubts += money.doubts
        self.needed += money.needed
        suggested = {charge.column: _charge(charge) for charge in money.suggested}
        for name in (*money.undecided, *self.lists):
            found = ", ".join(dict.fromkeys(shortened(text, 30) for text in self.sample.columns[name] if text).keys())
            told = suggested.get(name, f"{scalar(name)}")
            draft.remark(f"{UNDECIDED} {told}: under charges if it is to be added, under ignored if not")
            self.needed.append(
                f"{name} holds money ({shortened(found, 60)}) and nothing shows whether it comes on top of the prices: "
                "name it under charges if so, else under total or ignored."
            )
        return used

    def _repeats(self, draft: Draft) -> None:
        rows = Counter(zip(*self.sample.columns.values(), strict=True))
        equal = sum(count - 1 for count in rows.values())
        if equal:
            draft.put(
                "repeats: once", f"{equal} rows repeat others word for word; each: if they are sales of their own"
            )
            self.doubts.append(
                f"{equal} rows repeat others word for word: say repeats: each if they are sales of their own."
            )

    def _rest(self, draft: Draft, used: list[str]) -> None:
        """List the other columns as known, but for those that may hold money."""
        named = {folded(name) for name in (*used, *self.money.ignored, *self.money.undecided, *self.lists)}
        named |= {folded(status.column) for status in self.statuses}
        money = [name for name in self.sample.columns if folded(name) not in named and self.sample.is_money(name)]
        if money:
            draft.remark(f"These hold numbers that may be money, and add nothing: {', '.join(money)}")
            more = ", ..." if len(money) > _MONEY_TOLD else ""
            self.doubts.append(
                f"These may hold money, and add nothing to the lines: {', '.join(money[:_MONEY_TOLD])}{more}."
            )
        named |= {folded(name) for name in money}
        known = [
            name
            for name in self.sample.names
            if len(name) <= NAME_LENGTH
            and not folded(name).startswith("column_")
            and not any(folded(name) == one or one.startswith(f"{folded(name)}.") for one in named)
        ]
        draft.put_list("known", known)


def _charge(charge: ChargeFound) -> str:
    """Return a charge as YAML."""
    parts = [f"column: {scalar(charge.column)}", f"code: {charge.code}"]
    parts += [f"sign: {charge.sign}"] if charge.sign == -1 else []
    parts += [f"per: {charge.per}"] + (["included: by_total"] if charge.by_total else [])
    return f"{{{', '.join(parts)}}}"
