"""How the columns of money in a file belong together: found by trying which of them add up to which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import NamedTuple

from include.sources.charges import charge_code, one_of, words_of
from include.sources.profiles.meanings import LAST, guess, says_unit
from include.sources.profiles.model import MAX_BY_TOTAL, Per
from include.sources.profiles.money import ChargeFound, Money
from include.sources.profiles.sample import Sample

_TRIED = 1_000
"""Rows on which sums are tried."""

_CHARGES_TRIED = 4
_MOSTLY = Decimal("0.9")
_PENNY = Decimal("0.01")
_HALF = Decimal("0.005")
_OTHER_PRICES = one_of("cost list compare msrp rrp old original purchase shipping")
_OF_INVOICE = one_of("order invoice grand receipt")
_NOT_FINAL = one_of("sub subtotal net netto item line excl excluding ex zwischensumme")


class _Worth(NamedTuple):
    """What a row costs before charges: the column as it is, or quantity times it."""

    column: str
    times: bool


class _Fit(NamedTuple):
    """A total that goods and charges add up to, and on how many of the rows or invoices tried."""

    total: str
    per: Per
    worth: _Worth
    charges: tuple[ChargeFound, ...]
    fitting: int
    tried: int

    @property
    def explained(self) -> int:
        """Number of charges that are added."""
        return sum(charge.sign != 0 for charge in self.charges)


class Amounts:
    """Tries the sums of a sample."""

    def __init__(self, sample: Sample, invoice: str | None, quantity: str | None, goods: str | None) -> None:
        """Prepare.

        Args:
            sample: The rows.
            invoice: Column that tells the invoices apart.
            quantity: Column with the quantity; without one, each row is taken for one piece.
            goods: Column that tells the products apart.
        """
        self.sample = sample
        self.goods = goods
        self.rows = range(min(sample.rows, _TRIED))
        one: list[Decimal | None] = [Decimal(1)] * sample.rows
        self.quantity = one if quantity is None else sample.numbers(quantity)
        self.invoices = self._by_invoice(invoice)
        numeric = [name for name in sample.columns if sample.is_number(name)]
        prices = [name for name in numeric if sample.means(name, "price")]
        self.prices = sorted(prices, key=lambda name: (bool(words_of(name) & _OTHER_PRICES), _rank(name)))
        self.unnamed = [name for name in numeric if guess(name) is None and sample.is_money(name)]
        self.totals = [name for name in numeric if sample.means(name, "amount")]
        charges = [name for name in numeric if sample.means(name, "charge")]
        self.charges = [name for name in charges if charge_code(name) is not None]
        self.odd = [name for name in charges if name not in self.charges and any(sample.numbers(name))]

    def money(self) -> Money:
        """Return what was found."""
        fits = [fit for worth in self._worths() for total in self.totals for fit in self._fits(worth, total)]
        best = max(fits, key=lambda fit: (fit.explained, fit.fitting * 10_000 // fit.tried), default=None)
        found = Money()
        if best is None:
            self._without_total(found)
        else:
            self._with_total(found, best)
        used = {found.price, found.amount, found.total and found.total[0], *found.ignored}
        used |= {charge.column for charge in found.charges}
        left = [name for name in (*self.totals, *self.charges) if name not in used and any(self.sample.numbers(name))]
        found.undecided = [*left, *self.odd]
        found.suggested = [self._usual(name) for name in left if name in self.charges]
        return found

    def _worths(self) -> Iterator[_Worth]:
        for name in self.prices or self.unnamed:
            yield _Worth(name, times=True)
            if any(number not in {None, 1} for number in self.quantity):
                yield _Worth(name, times=False)
        if not self.prices:
            yield from (_Worth(name, times=False) for name in self.totals if not self._is_of_invoice(name))

    def _fits(self, worth: _Worth, total: str) -> Iterator[_Fit]:
        """Yield the best way in which a total comes about, if it does: by line, or by invoice."""
        if worth.column == total:
            return
        kinds: list[Per] = ["line"]
        if self._is_of_invoice(total) or (len(self.invoices) == len(self.rows) and words_of(total) & _OF_INVOICE):
            kinds = ["invoice"]
        for per in kinds:
            groups = list(self.invoices.values()) if per == "invoice" else [[row] for row in self.rows]
            tried = [fit for charges in self._ways(per) if (fit := self._fit(worth, total, per, charges, groups))]
            if per == "invoice" and not any(fit.fitting >= _MOSTLY * fit.tried for fit in tried):
                tried = [fit for fit in [self._varying(worth, total, groups)] if fit is not None]
            if tried and (best := max(tried, key=lambda fit: fit.fitting)).fitting >= _MOSTLY * best.tried:
                yield best

    def _ways(self, per: Per) -> Iterator[tuple[ChargeFound, ...]]:
        """Yield the ways in which the charges may be added, likelier ones first."""
        options = []
        tried = [name for name in self.charges if per == "invoice" or not self.sample.is_of_order(name)]
        tried.sort(key=lambda name: not any(self.sample.numbers(name)))
        for name in tried[:_CHARGES_TRIED]:
            usual = self._usual(name)
            each: list[Per] = [usual.per] if per == "invoice" else ["line"]
            if per == "invoice" and usual.per == "invoice" and not self.sample.is_of_order(name):
                each.append("line")
            ways = [usual._replace(per=one, sign=sign) for sign in (usual.sign, 0, -usual.sign) for one in each]
            options.append(ways if any(self.sample.numbers(name)) else ways[:1])
        yield from product(*options)

    def _usual(self, name: str) -> ChargeFound:
        """Return a charge as its name and numbers have it."""
        code = charge_code(name) or "FEE"
        negative = any(number < 0 for number in self.sample.numbers(name) if number)
        per: Per = "invoice" if self._is_of_invoice(name) else "line"
        return ChargeFound(name, code, -1 if code == "DISCOUNT" and not negative else 1, per)

    def _fit(
        self, worth: _Worth, total: str, per: Per, charges: tuple[ChargeFound, ...], groups: Sequence[list[int]]
    ) -> _Fit | None:
        fitting = tried = 0
        for rows in groups:
            wanted, goods = self._total_of(total, rows), self._goods(worth, rows)
            if wanted is None or goods is None:
                continue
            tried += 1
            added = sum((charge.sign * self._charge(charge, rows) for charge in charges), goods)
            fitting += abs(added - wanted) <= self._rounding(rows)
        return _Fit(total, per, worth, charges, fitting, tried) if tried else None

    def _varying(self, worth: _Worth, total: str, groups: Sequence[list[int]]) -> _Fit | None:
        """Return the fit in which the total of each invoice decides which charges it includes."""
        charges = tuple(
            self._usual(name)._replace(by_total=True) for name in self.charges if any(self.sample.numbers(name))
        )
        if not charges or len(charges) > MAX_BY_TOTAL:
            return None
        fitting = tried = 0
        for rows in groups:
            wanted, goods = self._total_of(total, rows), self._goods(worth, rows)
            if wanted is None or goods is None:
                continue
            tried += 1
            amounts = [charge.sign * self._charge(charge, rows) for charge in charges]
            sums = (
                sum((amount for amount, taken in zip(amounts, way, strict=True) if taken), goods)
                for way in product((True, False), repeat=len(amounts))
            )
            fitting += any(abs(one - wanted) <= self._rounding(rows) for one in sums)
        return _Fit(total, "invoice", worth, charges, fitting, tried) if tried else None

    def _with_total(self, found: Money, fit: _Fit) -> None:
        total, of = fit.total, "invoices" if fit.per == "invoice" else "lines"
        seen = f"{fit.fitting} of {fit.tried} {of}"
        if fit.worth.times:
            found.price = fit.worth.column
            found.why["price"] = f"of one unit: quantity x {fit.worth.column} leads to {total} on {seen}"
        else:
            found.amount = fit.worth.column
            same = not any(charge.sign for charge in fit.charges)
            leads = "equals" if same else "leads to"
            found.why["amount"] = (
                f"what the line costs in all: {fit.worth.column} itself {leads} {total} on {seen}, where the quantity "
                "is not 1 too"
            )
        found.total = (total, fit.per)
        found.why["total"] = f"lines and charges add up to it on {seen}"
        final = fit.per == "invoice" and not words_of(total) & _NOT_FINAL
        within = [charge for charge in fit.charges if charge.sign == 0]
        for charge in fit.charges:
            if charge.sign != 0:
                found.charges.append(charge)
            elif final and len(within) <= MAX_BY_TOTAL:
                found.charges.append(self._usual(charge.column)._replace(per=charge.per, by_total=True))
        if fit.per == "line" and found.charges and len(self.invoices) == len(self.rows) > 0:
            names = ", ".join(charge.column for charge in found.charges)
            found.doubts.append(
                f"Each invoice has one line here. If {names} or {total} are sums of a whole invoice that its lines "
                "repeat, say per: invoice."
            )
        for other in self.totals:
            if other in {total, found.amount}:
                continue
            again = next(self._fits(fit.worth, other), None)
            if again is not None:
                found.ignored[other] = f"a sum of the others: it comes out on {again.fitting} of {again.tried}"

    def _without_total(self, found: Money) -> None:
        if not self.prices:
            of_lines = [name for name in self.totals if not self._is_of_invoice(name)]
            if of_lines:
                found.amount = of_lines[0]
                found.why["amount"] = "what the line costs in all, by its name; there is no price of one unit"
            return
        name = self.prices[0]
        unit, line = self._by_products(name)
        if line > unit:
            found.amount = name
            found.why["amount"] = f"of the whole line: it grows with the quantity for {line} of {unit + line} products"
            return
        found.price = name
        if unit:
            found.why["price"] = f"of one unit: it is the same for other quantities of {unit} of {unit + line} products"
        elif _rank(name) <= LAST or says_unit(name) or all(number in {None, 1} for number in self.quantity):
            found.why["price"] = "of one unit, by its name; no total proves it"
        else:
            found.why["price"] = "of one unit, or of the whole line? Then say amount: instead of price:"
            found.needed.append(
                f"Nothing shows whether {name} is the price of one unit or of the whole line: say which."
            )

    def _by_products(self, name: str) -> tuple[int, int]:
        """Return for how many products a price does not depend on the quantity, and for how many it grows with it."""
        if self.goods is None:
            return 0, 0
        seen: dict[str, set[tuple[Decimal, Decimal]]] = {}
        prices = self.sample.numbers(name)
        for row in self.rows:
            price, quantity = prices[row], self.quantity[row]
            if price and quantity:
                seen.setdefault(self.sample.columns[self.goods][row], set()).add((quantity, price))
        several = [pairs for pairs in seen.values() if len({abs(quantity) for quantity, _ in pairs}) > 1]
        unit = sum(len({abs(price) for _, price in pairs}) == 1 for pairs in several)
        line = sum(
            max(each := [abs(price / quantity) for quantity, price in pairs]) - min(each) <= _PENNY for pairs in several
        )
        return unit, line

    def _goods(self, worth: _Worth, rows: Sequence[int]) -> Decimal | None:
        """Return what the goods of some rows cost, None if one of them does not say."""
        total = Decimal(0)
        column = self.sample.numbers(worth.column)
        for row in rows:
            number, quantity = column[row], self.quantity[row]
            if number is None or quantity is None:
                return None
            total += number * quantity if worth.times else number
        return total

    def _total_of(self, name: str, rows: Sequence[int]) -> Decimal | None:
        """Return the one total of some rows, None if there is none or they differ."""
        found = {number for row in rows if (number := self.sample.numbers(name)[row]) is not None}
        return found.pop() if len(found) == 1 else None

    def _charge(self, charge: ChargeFound, rows: Sequence[int]) -> Decimal:
        numbers = [number for row in rows if (number := self.sample.numbers(charge.column)[row]) is not None]
        return sum(numbers[:1] if charge.per == "invoice" else numbers, Decimal(0))

    def _rounding(self, rows: Sequence[int]) -> Decimal:
        return _HALF * (len(rows) + len(self.charges))

    def _is_of_invoice(self, name: str) -> bool:
        """Return whether a column says one thing an invoice: on its first row alone, or the same on all."""
        if self.sample.is_of_order(name):
            return True
        several = [rows for rows in self.invoices.values() if len(rows) > 1]
        texts = self.sample.columns[name]
        if not any(texts[row] for rows in several for row in rows):
            return False
        return all(len({texts[row] for row in rows if texts[row]}) <= 1 for rows in several)

    def _by_invoice(self, invoice: str | None) -> dict[str, list[int]]:
        """Return the rows of each invoice; a blank one is that of the row above."""
        found: dict[str, list[int]] = {}
        current = ""
        for row in self.rows:
            current = (self.sample.columns[invoice][row] if invoice else str(row)) or current
            found.setdefault(current, []).append(row)
        if self.sample.rows > len(self.rows):
            del found[current]  # its other rows may be beyond those that are tried
        return found


def _rank(name: str) -> int:
    found = guess(name)
    return LAST + 1 if found is None else found[1]
