"""The shipped profiles on a sample of each vendor's export, made to the vendor's published description."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.domain.line import violations
from include.sources.profiles.library import shipped_profiles
from include.sources.profiles.names import Layouts
from tests.support.source_files import Stage

SAMPLES = Path(__file__).parents[2] / "fixtures" / "profiles"
VENDORS = sorted(path.name.removesuffix(".expected.json") for path in SAMPLES.glob("*.expected.json"))


def _line(values: dict[str, Any]) -> tuple[Any, ...]:
    """Return what counts of a line; equal sales are told apart by how often they stand there."""
    worth = values.get("amount") or Decimal(values["quantity"]) * Decimal(values["price"])
    texts = (values["invoice"], values["stock_code"].upper(), values["invoice_date"])
    return *texts, Decimal(worth).normalize(), values.get("currency") or "GBP", values["customer_id"], values["country"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_export_becomes_its_lines(vendor: str, stage: Stage) -> None:
    [sample] = [path for path in SAMPLES.glob(f"{vendor}.*") if not path.name.endswith(".expected.json")]
    expected = json.loads((SAMPLES / f"{vendor}.expected.json").read_text("utf-8"))
    staged = stage(sample, sample.name, layouts=Layouts(shipped_profiles()))
    assert staged.reading.decisions.profile == vendor
    judged = [(row, row["defect"] or next(iter(violations(row)), None)) for row in staged.rows]
    assert Counter(_line(row) for row, code in judged if code is None) == Counter(map(_line, expected["lines"]))
    kept_out = [(row["line_number"], code) for row, code in judged if code is not None]
    assert kept_out == [(entry["line"], entry["reason"]) for entry in expected["kept_out"]]


def test_every_shipped_profile_has_a_sample() -> None:
    assert sorted(shipped_profiles()) == VENDORS
