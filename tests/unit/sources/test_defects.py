"""Every reason code has its sentences, in the table and in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import include.sources
from include.sources.columns import GENERAL_SPELLINGS, SPELLINGS, TIME_SPELLINGS, canonical
from include.sources.defects import DECLARE, DEFECTS, IN_PROFILE, UNDECLARED, reject, with_profile_advice
from include.sources.model import CANONICAL_COLUMNS, SourceRejected

PACKAGE = Path(include.sources.__file__).parent
DOCUMENT = PACKAGE.parent.parent / "docs" / "sources.md"


def test_every_code_used_is_declared_and_every_code_declared_is_used() -> None:
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "defects.py")
    assert set(re.findall(r'reject\(\s*"([a-z_]+)"', source)) == {c for c, d in DEFECTS.items() if d.scope == "file"}
    for code, defect in DEFECTS.items():
        assert defect.scope == "file" or re.search(rf"['\"]{code}['\"]", source)


@pytest.mark.parametrize("code", DEFECTS)
def test_sentences(code: str) -> None:
    defect = DEFECTS[code]
    assert re.fullmatch(r"[a-z_]+", code)
    assert defect.problem.endswith(".")
    assert defect.remedy.endswith((".", "}"))
    if defect.scope == "record":
        assert "{" not in defect.problem


def test_documentation_lists_the_codes_and_spellings() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)) == set(DEFECTS) | set(CANONICAL_COLUMNS)
    for names in SPELLINGS.values():
        assert f"| {', '.join(names)} |" in text
    unwrapped = " ".join(text.split())
    for column, names in GENERAL_SPELLINGS.items():
        assert f"- {column}: {', '.join(names)}." in unwrapped
    assert f"names: {', '.join(TIME_SPELLINGS)}." in unwrapped


def test_documentation_says_what_a_profile_can_do() -> None:
    unwrapped = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    codes = [f"`{code}`" for code in sorted(UNDECLARED)]
    assert f"For {', '.join(codes[:-1])} and {codes[-1]} a report goes on" in unwrapped
    assert f'"{DECLARE}…"' in unwrapped
    assert f'"{IN_PROFILE.format(profile="…")}"' in unwrapped


@pytest.mark.parametrize(
    ("name", "profile", "end"),
    [
        ("jan.csv", None, "Or declare the layout: make profile FILE=jan.csv"),
        ("all.zip/Jan 's.csv", None, "Or declare the layout: make profile FILE='Jan '\"'\"'s.csv'"),
        ("jan.csv", "till", "Or say in profile till what it is: under charges, total, statuses or ignored."),
    ],
)
def test_a_rejection_says_what_a_profile_can_do(name: str, profile: str | None, end: str) -> None:
    for code in UNDECLARED:
        plain = SourceRejected(code, "Problem.", "Remedy.", 3, "x")
        told = with_profile_advice(plain, name, profile)
        assert vars(told) == {**vars(plain), "remedy": f"Remedy. {end}", "profile": profile}
    assert with_profile_advice(reject("empty_file"), name, profile).remedy == reject("empty_file").remedy


def test_values_are_shortened() -> None:
    error = reject("empty_file", value="x" * 1_000)
    assert error.value is not None
    assert len(error.value) == 200


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("InvoiceNo", "invoice"),
        ("invoice_no", "invoice"),
        ("INVOICE-NO.", "invoice"),
        (" stock  code ", "stock_code"),
        ("UnitPrice", "price"),
        ("Unit Price (GBP)", "price"),
        ("unit_price", "price"),
        ("\uff29nvoice", "invoice"),
        ("Total", None),
        ("", None),
    ],
)
def test_spellings(name: str, column: str | None) -> None:
    assert canonical(name) == column
