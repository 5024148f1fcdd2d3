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
from include.sources.profiles.library import load_profile, shipped_profiles
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


CASES = SAMPLES / "cases"


@pytest.mark.parametrize(
    ("file", "profile", "sound", "worth", "left_out"),
    [
        ("status_void.csv", "status_void", 1, "20.00", 3),
        ("credit_type.csv", "credit_type", 2, "0.00", 0),
        ("discount_columns.csv", "discount_columns", 3, "18.00", 0),
        ("line_total_as_price.csv", "line_total_as_price", 3, "39.98", 0),
        ("identical_lines.csv", "identical_lines", 2, "10.00", 0),
        ("shopify_orders.csv", "shopify_orders", 2, "21.00", 0),
        ("shopify_rest.json", "shopify_rest", 2, "68.50", 0),
        ("amazon_all_orders.txt", "amazon_all_orders", 1, "19.98", 1),
    ],
)
def test_small_files_with_profiles(
    stage: Stage, file: str, profile: str, sound: int, worth: str, left_out: int
) -> None:
    own = {path.stem: load_profile(path) for path in CASES.glob("*.yaml")}
    staged = stage(CASES / file, file, layouts=Layouts(shipped_profiles() | own, own=frozenset(own)))
    assert staged.reading.decisions.profile == profile
    assert staged.reading.defects == {}
    assert len(staged.sound) == sound
    assert sum(_line(row)[-2] for row in staged.sound) == Decimal(worth)
    assert sum(kind.count for kind in staged.reading.decisions.left_out) == left_out


def test_values_of_a_shopify_order_fill_down(stage: Stage) -> None:
    staged = stage(CASES / "shopify_orders.csv", "orders.csv", layouts=Layouts(shipped_profiles()))
    assert staged.column("country") == ["GB", "GB"]
    assert staged.column("invoice_date") == ["2024-03-04 10:22:31"] * 2
    assert staged.column("occurrence") == [None, None]


def test_equal_scans_of_a_till_are_two_sales(stage: Stage) -> None:
    profile = load_profile(CASES / "identical_lines.yaml")
    staged = stage(CASES / "identical_lines.csv", layouts=Layouts({profile.name: profile}))
    assert staged.column("occurrence") == [None, 2]
