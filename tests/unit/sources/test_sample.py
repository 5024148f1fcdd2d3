"""The sample generator: deterministic, of the right shape, in every style that sources may come in."""

from __future__ import annotations

import builtins
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.sample import SampleError, SampleStyle, catalogue, generate_lines, write_sample
from deploy.sample.__main__ import app
from include.domain.classify import NON_PRODUCT_CODES
from include.domain.line import violations
from include.sources.model import CANONICAL_COLUMNS
from tests.support.source_files import Stage

DAY = date(2011, 1, 4)
LINES = list(generate_lines(5_000, 7, DAY, 5))


def test_the_same_seed_makes_the_same_lines() -> None:
    assert list(generate_lines(5_000, 7, DAY, 5)) == LINES
    assert LINES[:100] != list(generate_lines(100, 8, DAY, 5))


def test_rows_columns_and_days() -> None:
    assert len(LINES) == 5_000
    assert all(tuple(line) == CANONICAL_COLUMNS for line in LINES)
    days = Counter(line["invoice_date"][:10] for line in LINES)
    assert [days[f"2011-01-0{day}"] > 900 for day in (4, 5, 6, 7, 8)] == [True] * 5
    for rows, days_ in ((1, 1), (1, 3), (7, 3), (19, 1), (20, 1)):
        assert len(list(generate_lines(rows, 1, DAY, days_))) == rows


def share(count: int) -> float:
    return count / len(LINES)


def test_oddities_are_there_in_proportion() -> None:
    assert 0.15 < share(sum(not line["customer_id"] for line in LINES)) < 0.35
    assert 0.02 < share(len(LINES) - len({tuple(line.values()) for line in LINES})) < 0.04
    assert any(line["invoice"].startswith("C") and line["quantity"].startswith("-") for line in LINES)
    assert any(line["invoice"].startswith("A") for line in LINES)
    assert any(line["quantity"].startswith("-") and line["price"] == "0.0" for line in LINES)
    codes = {line["stock_code"] for line in LINES}
    assert {"POST", "DOT", "M", "BANK CHARGES", "gift_0001_10", "DCGS0003"} <= codes
    assert {"POST", "DOT", "M", "BANK CHARGES"} <= set(NON_PRODUCT_CODES)
    assert any(code[-1:].islower() for code in codes)
    descriptions = [line["description"] for line in LINES]
    assert "" in descriptions
    assert any(text != text.strip() for text in descriptions)
    many = generate_lines(60_000, 7, DAY, 5)
    assert {"EIRE", "Unspecified", "United Kingdom"} <= {line["country"] for line in many}
    customers = {line["customer_id"] for line in LINES if line["customer_id"]}
    assert all(text.endswith(".0") for text in customers)
    assert len({line["invoice"] for line in LINES}) < 600


def test_catalogue() -> None:
    products = catalogue()
    assert len({product.code for product in products}) == len(products) >= 150
    assert len({product.name for product in products}) == len(products)


def test_defects_are_few_and_optional() -> None:
    assert 0 < sum(bool(violations(line)) for line in LINES) <= 25
    assert not any(violations(line) for line in generate_lines(2_000, 7, DAY, 1, defects=False))


def test_nothing_to_make() -> None:
    with pytest.raises(SampleError):
        list(generate_lines(0, 1, DAY, 1))


@pytest.mark.parametrize(
    ("style", "decided"),
    [
        (SampleStyle(), {"date_order": "ymd"}),
        (SampleStyle(encoding="cp1252", delimiter=";", decimal_mark=","), {"delimiter": ";", "decimal_mark": ","}),
        (SampleStyle(byte_order_mark=True, line_end="crlf"), {"byte_order_mark": True}),
        (SampleStyle(encoding="utf-16", delimiter="\t", line_end="cr"), {"encoding": "utf-16", "delimiter": "\t"}),
        (SampleStyle(date_style="us", header_style="older"), {"date_order": "mdy", "date_basis": "evidence"}),
        (SampleStyle(date_style="uk", header_style="snake"), {"date_order": "dmy", "date_separator": "/"}),
        (SampleStyle(date_style="uk_dash", header_style="spaced"), {"date_order": "dmy", "date_separator": "-"}),
        (SampleStyle(date_style="dots", delimiter="|"), {"date_order": "dmy", "date_separator": "."}),
    ],
)
def test_every_style_is_read_back(stage: Stage, tmp_path: Path, style: SampleStyle, decided: dict[str, Any]) -> None:
    lines = list(generate_lines(600, 3, date(2011, 1, 10), 10, defects=False))
    path = tmp_path / "sample.csv"
    write_sample(lines, path, "csv", SampleStyle(**{**_options(style), "defects": False}))
    staged = stage(path)
    decisions = staged.reading.decisions.model_dump()
    assert {name: decisions[name] for name in decided} == decided
    assert staged.reading.defects == {}
    assert staged.reading.amount == sum(Decimal(line["quantity"]) * Decimal(line["price"]) for line in lines)
    assert staged.column("description") == [line["description"] or None for line in lines]
    assert staged.column("customer_id") == [line["customer_id"] or None for line in lines]


def _options(style: SampleStyle) -> dict[str, Any]:
    return {name: getattr(style, name) for name in SampleStyle.__slots__}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv.gz", "a.csv.xz", "a.json.gz", "ruled.pdf", "plain.pdf"])
def test_every_format_holds_the_same_lines(stage: Stage, tmp_path: Path, name: str) -> None:
    lines = list(generate_lines(120, 5, DAY, 1, defects=False))
    path = tmp_path / name
    layout: Any = path.stem if path.suffix == ".pdf" else "ruled"
    write_sample(lines, path, name.split(".")[1], SampleStyle(defects=False, pdf_layout=layout))  # type: ignore[arg-type]
    staged = stage(path)
    found = [[" ".join((row[column] or "").split()) for column in CANONICAL_COLUMNS] for row in staged.rows]
    assert found == [[" ".join(text.split()) for text in line.values()] for line in lines]


def test_invoice_documents(stage: Stage, tmp_path: Path) -> None:
    lines = list(generate_lines(60, 5, DAY, 1, defects=False))
    path = tmp_path / "invoices.pdf"
    write_sample(lines, path, "pdf", SampleStyle(defects=False, pdf_layout="invoices"))
    staged = stage(path)
    assert staged.column("invoice") == [line["invoice"] for line in lines]
    assert staged.column("customer_id") == [line["customer_id"] or None for line in lines]


def test_files_with_defects(stage: Stage, tmp_path: Path) -> None:
    lines = list(generate_lines(1_000, 7, DAY, 1))
    write_sample(lines, tmp_path / "a.csv", "csv")
    assert set(stage(tmp_path / "a.csv").reading.defects) == {"too_few_columns", "too_many_columns", "unbalanced_quote"}
    write_sample(lines, tmp_path / "a.jsonl", "jsonl")
    assert set(stage(tmp_path / "a.jsonl").reading.defects) == {"invalid_json_line"}


def test_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    for name in ("one.csv", "two.csv"):
        words = ["--rows", "50", "--out", str(tmp_path / name), "--delimiter", "tab", "--date-style", "us"]
        done = run(app, words)
        assert (done.exit_code, done.output) == (0, f"50 lines written to {tmp_path / name}\n")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    done = run(app, ["--out", str(tmp_path / "missing" / "a.csv")])
    assert done.exit_code == 1
    assert "No sample was made" in done.stderr


def test_pdf_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("reportlab"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SampleError, match="reportlab"):
        write_sample(LINES[:5], tmp_path / "a.pdf", "pdf")
