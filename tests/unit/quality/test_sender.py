"""Reports on rows, as a spreadsheet opens them."""

from __future__ import annotations

import pytest

from include.quality.sender import as_text


@pytest.mark.parametrize("value", ["=1+1", "+cmd", "-rf", "@SUM(A1)", "\tx", "-1-1"])
def test_a_formula_is_shown_and_not_computed(value: str) -> None:
    assert as_text(value) == f"'{value}"


@pytest.mark.parametrize("value", [None, "", "-1", "+1,234.50", "-0.5", "six", "1=1", "'quoted'"])
def test_anything_else_stays_as_it_is(value: str | None) -> None:
    assert as_text(value) == value
