"""Every file of the corpus becomes the lines, the money and the codes that it has to become."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal

import pytest

from include.domain.line import parse_date, trim, violations
from tests.support.corpus import Line, Odd, corpus
from tests.support.source_files import Reject, Stage

CORPUS = corpus()


def _loaded(row: dict[str, str | None]) -> Line:
    text = {name: trim(value) for name, value in row.items() if isinstance(value, str)}
    at = parse_date(text["invoice_date"] or "")
    assert isinstance(at, datetime)
    return Line(
        text["invoice"] or "",
        text["stock_code"] or "",
        text.get("description"),
        Decimal(text["quantity"] or ""),
        at,
        Decimal(text["price"] or ""),
        text.get("customer_id"),
        text.get("country"),
    )


@pytest.mark.parametrize("odd", [odd for odd in CORPUS if odd.rejected is None], ids=lambda odd: odd.name)
def test_a_file_becomes_its_lines(odd: Odd, stage: Stage) -> None:
    staged = stage(odd.content, odd.name, **odd.options)
    judged = [(row, row["defect"] or next(iter(violations(row)), None)) for row in staged.rows]
    assert [_loaded(row) for row, code in judged if code is None] == list(odd.lines)
    assert [code for _, code in judged if code] == list(odd.kept_out)
    assert Counter({entry.what: entry.count for entry in staged.reading.decisions.left_out}) == Counter(odd.left_out)
    if not odd.kept_out:
        assert staged.reading.amount == sum(line.quantity * line.price for line in odd.lines)


@pytest.mark.parametrize("odd", [odd for odd in CORPUS if odd.rejected is not None], ids=lambda odd: odd.name)
def test_a_file_that_cannot_be_read_is_refused(odd: Odd, rejection: Reject) -> None:
    assert rejection(odd.content, odd.name, **odd.options).code == odd.rejected


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 200
