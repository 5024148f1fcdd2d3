"""What was found about the columns of money in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from include.sources.profiles.model import Per


class ChargeFound(NamedTuple):
    """An amount beside the goods; a sign of 0 says that the price has it in it already."""

    column: str
    code: str
    sign: int
    per: Per
    by_total: bool = False


@dataclass
class Money:
    """What was found.

    Attributes:
        price: Column with the price of one unit.
        amount: Column with what the line costs in all.
        total: Column that the lines and charges must add up to, and of what.
        charges: Amounts beside the goods that are added.
        ignored: Columns that add nothing -> why.
        suggested: Charges of which nothing shows whether the price has them in it.
        why: Part of the profile -> reason.
        undecided: Columns that change the money in a way that a person has to say.
        needed: What a person has to say besides.
        doubts: What a person should look at.
    """

    price: str | None = None
    amount: str | None = None
    total: tuple[str, Per] | None = None
    charges: list[ChargeFound] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    suggested: list[ChargeFound] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
