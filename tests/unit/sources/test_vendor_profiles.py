"""The shipped profiles on a sample of each vendor's export, made to the vendor's published description."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
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
    """Return all that counts of a line."""
    quantity, price = Decimal(values["quantity"]), Decimal(values["price"])
    worth = Decimal(values.get("amount") or quantity * price)
    texts = [
        values[name] for name in ("invoice", "stock_code", "description", "invoice_date", "customer_id", "country")
    ]
    return *texts, quantity.normalize(), round(price, 4).normalize(), worth.normalize(), values["currency"] or "GBP"


def _counted(left_out: Iterable[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
    """Return status -> how many rows with it are left out, and the first of them; of texts, counts and first lines."""
    found: dict[str, tuple[int, int]] = {}
    for text, count, line in left_out:
        before = found.get(text, (0, line))
        found[text] = (before[0] + count, min(before[1], line))
    return found


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_export_becomes_its_lines(vendor: str, stage: Stage) -> None:
    [sample] = [path for path in SAMPLES.glob(f"{vendor}.*") if not path.name.endswith(".expected.json")]
    expected = json.loads((SAMPLES / f"{vendor}.expected.json").read_text("utf-8"))
    staged = stage(sample, sample.name, layouts=Layouts(shipped_profiles()))
    decisions = staged.reading.decisions
    assert decisions.profile == vendor
    judged = [(row, row["defect"] or next(iter(violations(row)), None)) for row in staged.rows]
    assert Counter(_line(row) for row, code in judged if code is None) == Counter(map(_line, expected["lines"]))
    kept_out = [(row["line_number"], row["invoice"], code) for row, code in judged if code is not None]
    assert kept_out == [(entry["line"], entry["invoice"], entry["reason"]) for entry in expected["kept_out"]]
    left_out = _counted((kind.example, kind.count, kind.first_line) for kind in decisions.left_out)
    assert left_out == _counted((entry["status"], 1, entry["line"]) for entry in expected["left_out"])


def test_every_shipped_profile_has_a_sample() -> None:
    assert sorted(shipped_profiles()) == VENDORS
