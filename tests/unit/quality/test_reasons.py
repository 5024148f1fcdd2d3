"""The sentences a sender gets about a broken rule."""

from __future__ import annotations

from include.domain.line import TYPED_FROM, LineText, violations
from include.quality.reasons import RULES, explain, field_of
from include.sources.defects import DEFECTS
from include.sources.model import FileDecisions


def broken(**values: str) -> list[str]:
    """Return the codes of a line that is valid but for `values`."""
    valid = {
        "invoice": "489434",
        "stock_code": "85048",
        "quantity": "12",
        "invoice_date": "2009-12-01 07:45:00",
        "price": "6.95",
    }
    return violations(valid | values)


def test_every_code_is_explained() -> None:
    assert all(all(explain(code)) for code in RULES)
    assert {field_of(code) for code in RULES} == set(LineText.model_fields)
    ranges = {code for code in RULES if code.endswith("_out_of_range")}
    assert ranges == {f"{column}_out_of_range" for column in TYPED_FROM.values()}
    assert all(explain(code)[1] for code, defect in DEFECTS.items() if defect.scope == "record")


def test_a_value_out_of_range_is_told_the_range() -> None:
    assert broken(invoice_date="2100-01-01") == ["invoice_date_out_of_range"]
    problem, remedy = explain("invoice_date_out_of_range")
    assert "between 1990-01-01 and 2099-12-31" in problem
    assert "rows" not in remedy
    for column in ("quantity", "price"):
        assert broken(**{column: "1000001"}) == [f"{column}_out_of_range"]
        problem, remedy = explain(f"{column}_out_of_range")
        assert "between -1,000,000 and 1,000,000" in problem
        assert "several rows" in remedy


def test_a_value_that_cannot_be_read_is_told_its_cause() -> None:
    problem, _ = explain("malformed_stock_code", "1.23E+05")
    assert problem.startswith("The stock_code cannot be read. A spreadsheet changed the code to a number")
    assert explain("missing_price", "x") == explain("missing_price")
    assert explain("too_few_columns", "1,2") == explain("too_few_columns")


def test_examples_are_written_as_the_file_writes_them() -> None:
    german = FileDecisions(format="csv", date_order="dmy", date_separator=".", decimal_mark=",")
    assert explain("malformed_price", decisions=german)[1].endswith("such as 2,55.")
    assert explain("malformed_invoice_date", decisions=german)[1].endswith("such as 01.12.2010 08:26:00.")
    serial = FileDecisions(format="csv", date_kind="serial")
    assert explain("malformed_invoice_date", decisions=serial)[1].endswith("such as 40513.3513888889.")
    plain = FileDecisions(format="csv")
    assert all(explain(code, decisions=plain) == explain(code) for code in RULES)
