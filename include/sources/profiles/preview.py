"""What would become of a file: its layout, its first lines as they would be loaded, sums, and what would be kept out.

Of a file that has no declared layout, a profile is proposed, and what would become of the file with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
from pydantic import Field

from include.domain.line import violations
from include.domain.model import Model
from include.settings import Settings
from include.sources.compression import UnpackLimits
from include.sources.defects import UNDECLARED, reject
from include.sources.model import FileDecisions, SourceRejected
from include.sources.profiles.library import layouts, parse_profile
from include.sources.profiles.names import Layouts
from include.sources.profiles.proposal import Proposal, propose
from include.sources.profiles.sample import sampled
from include.sources.profiles.wording import UNDECIDED
from include.sources.staging import stage_file
from include.sources.zip_archive import unpack

LINES_SHOWN = 10

_HELPED = UNDECLARED | {"duplicate_columns", "ambiguous_dates", "ambiguous_numbers"}
"""Codes of files that a profile could make readable."""

Layout = Literal["profile", "usual names", "proposed", "unknown"]

_SHOWN = (
    "invoice", "stock_code", "description", "quantity", "invoice_date", "price", "amount", "currency", "customer_id",
    "country",
)  # fmt: skip


class PreviewLine(Model):
    """A line as it would be loaded; `amount` is what it costs in all, in its currency."""

    invoice: str
    stock_code: str
    description: str | None
    quantity: str
    invoice_date: str
    price: str
    amount: Decimal
    currency: str
    customer_id: str | None
    country: str | None


class CurrencySum(Model):
    """What the lines in one currency cost."""

    currency: str
    lines: int
    amount: Decimal


class Refusal(Model):
    """Why nothing of a file would be loaded."""

    code: str
    problem: str
    remedy: str
    line: int | None
    value: str | None


class Preview(Model):
    """What would become of a file.

    Attributes:
        file: Its name.
        layout: That of a profile, the one with the usual names of columns, a proposed one, or none that is known.
        profile: Name of the profile.
        decisions: How it is read; with what is left out and why.
        lines: The first that would be loaded.
        sums: Of all of them.
        kept_out: Reason code -> rows that would be kept out and reported.
        refusal: Why nothing would be loaded.
        proposal: Of a file without a declared layout.
    """

    file: str
    layout: Layout
    profile: str | None = None
    decisions: FileDecisions | None = None
    lines: list[PreviewLine] = Field(default_factory=list)
    sums: list[CurrencySum] = Field(default_factory=list)
    kept_out: dict[str, int] = Field(default_factory=dict)
    refusal: Refusal | None = None
    proposal: Proposal | None = None


def preview_file(path: Path, name: str, settings: Settings) -> Preview:
    """Return what would become of a file; nothing is kept of it.

    Args:
        path: The file.
        name: Its name as it would be dropped.
        settings: Say where the user's profiles are, and how files are read.

    Raises:
        OSError: If the file cannot be read.
    """
    known = layouts(settings.profiles)
    with TemporaryDirectory(prefix="preview-") as folder:
        scratch = Path(folder)
        try:
            members = unpack(path, scratch / "members", UnpackLimits())
            if members is not None and len(members) > 1:
                raise reject("several_files", count=len(members))
            if members is not None:
                path, name = scratch / "members" / members[0], f"{name}/{members[0]}"
            return _previewed(path, name, settings, known, scratch)
        except SourceRejected as error:
            layout: Layout = "unknown" if error.profile is None else "profile"
            refused = Preview(file=name, layout=layout, profile=error.profile, refusal=_refusal(error))
            if error.profile is not None or error.code not in _HELPED:
                return refused
        try:
            with sampled(path, name, settings, scratch) as sample:
                proposal = propose(sample, name, known.profiles.keys(), settings)
        except SourceRejected:
            return refused
        return _with_proposal(path, name, settings, proposal, scratch)


def _with_proposal(path: Path, name: str, settings: Settings, proposal: Proposal, scratch: Path) -> Preview:
    """Return what would become of a file with a proposed profile, as if all that it asks for added nothing."""
    profile = parse_profile(proposal.text, proposal.name)
    found = Preview(file=name, layout="proposed", profile=proposal.name, proposal=proposal)
    if UNDECIDED in profile.used():
        return found
    wanted = [column for column in profile.recognise.columns if column != UNDECIDED]
    profile.recognise.columns[:] = wanted
    try:
        staged = _previewed(path, name, settings, Layouts({profile.name: profile}), scratch)
    except SourceRejected as error:
        found.refusal = _refusal(error)
        return found
    return staged.model_copy(update={"layout": "proposed", "proposal": proposal})


def _refusal(error: SourceRejected) -> Refusal:
    return Refusal(code=error.code, problem=error.problem, remedy=error.remedy, line=error.line, value=error.value)


def _previewed(path: Path, name: str, settings: Settings, known: Layouts, scratch: Path) -> Preview:
    """Return what would become of a file whose layout is known.

    Raises:
        SourceRejected: As `stage_file`.
    """
    out = scratch / "staged.parquet"
    reading = stage_file(
        path,
        name,
        out,
        date_order=settings.date_order,
        decimal_mark=settings.decimal_mark,
        zone=ZoneInfo(settings.time_zone),
        base_currency=settings.base_currency,
        max_line_bytes=settings.max_line_bytes,
        layouts=known,
    )
    lines: list[PreviewLine] = []
    sums: dict[str, tuple[int, Decimal]] = {}
    kept_out: Counter[str] = Counter()
    for row in _rows(out):
        codes = [row["defect"]] if row["defect"] is not None else violations(row)
        if codes:
            kept_out[codes[0]] += 1
            continue
        currency = row["currency"] or settings.base_currency
        worth = Decimal(row["amount"]) if row["amount"] else Decimal(row["quantity"]) * Decimal(row["price"])
        count, amount = sums.get(currency, (0, Decimal(0)))
        sums[currency] = count + 1, amount + worth
        if len(lines) < LINES_SHOWN:
            lines.append(PreviewLine(**{**{name: row[name] for name in _SHOWN}, "amount": worth, "currency": currency}))
    profile = reading.decisions.profile
    return Preview(
        file=name,
        layout="usual names" if profile is None else "profile",
        profile=profile,
        decisions=reading.decisions,
        lines=lines,
        sums=[CurrencySum(currency=one, lines=count, amount=amount) for one, (count, amount) in sorted(sums.items())],
        kept_out=dict(sorted(kept_out.items())),
    )


def _rows(staged: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(staged) as file:
        for batch in file.iter_batches(columns=[*_SHOWN, "defect"]):
            yield from batch.to_pylist()
