"""JSON as pandas writes it, and lines nested in invoices."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from tests.support.source_files import HEADER, Reject, Stage, Staged

LINE = {"stock_code": "85123A", "description": "HEART", "quantity": 6, "unit_price": "2.550"}
MUG = {**LINE, "stock_code": "85123B", "quantity": 1}
HEAD = {"invoice_no": "536365", "invoice_date": "2010-12-01T08:26:00", "customer_id": 17850, "country": "France"}
INVOICE = {**HEAD, "lines": [LINE, MUG]}
ROW = ("536365", "85123A", "HEART", 6, "2010-12-01 08:26:00", 2.55, 17850, "France")
FRAME = pd.DataFrame([ROW, (*ROW[:4], None, *ROW[5:])], columns=HEADER.split(","))


def codes(staged: Staged) -> list[tuple[Any, ...]]:
    assert staged.reading.defects == {}
    names = ("invoice", "stock_code", "quantity", "price", "country")
    return list(zip(*(staged.column(name) for name in names), strict=True))


@pytest.mark.parametrize("buffer", [5, 1 << 20])
@pytest.mark.parametrize("orient", ["records", "split", "columns", "index", "table"])
def test_every_orientation_of_pandas(stage: Stage, monkeypatch: pytest.MonkeyPatch, orient: Any, buffer: int) -> None:
    monkeypatch.setattr("include.sources.json_document._READ_CHARACTERS", buffer)
    staged = stage(FRAME.to_json(orient=orient), "sales.json")
    assert codes(staged) == [("536365", "85123A", "6", "2.55", "France")] * 2
    assert staged.column("invoice_date") == ["2010-12-01 08:26:00", None]
    assert len(staged.reading.decisions.header) == 8


def test_values_without_names_are_refused(rejection: Reject) -> None:
    error = rejection(FRAME.to_json(orient="values"), "sales.json")
    assert error.code == "unnamed_values"
    assert 'orient="records"' in error.remedy


def test_split_in_another_order_and_a_row_of_another_width(stage: Stage) -> None:
    document = json.loads(FRAME.to_json(orient="split"))
    document["data"].append([1, 2])
    for names in (("data", "columns", "index"), ("columns", "index", "data")):
        staged = stage(json.dumps({name: document[name] for name in names}), "sales.json")
        assert staged.defects == [(3, "not_an_object")]


def test_columns_as_lists(stage: Stage) -> None:
    staged = stage(
        json.dumps({name: [value] * 3 for name, value in zip(HEADER.split(","), ROW, strict=True)}), "a.json"
    )
    assert codes(staged) == [("536365", "85123A", "6", "2.55", "France")] * 3


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "document",
    [
        [INVOICE],
        {"invoices": [INVOICE]},
        {"next": None, "total": 2, "invoices": [INVOICE], "customers": [{"id": 17850, "country": "Spain"}]},
        {"data": {"total": 2, "page": {"orders": [INVOICE]}}},
        INVOICE,
        {"invoices": [{**HEAD, "parcels": [{"weight": 2, "lines": [LINE]}, {"lines": [MUG]}]}]},
        {"invoices": [{**HEAD, "order": {"lines": {"line": [LINE, MUG]}}}]},
        {"a": {"b": {"c": {"d": [INVOICE]}}}},
    ],
)
def test_lines_inside_invoices(stage: Stage, document: object, indent: int | None) -> None:
    staged = stage(json.dumps(document, indent=indent), "sales.json")
    assert codes(staged) == [
        ("536365", "85123A", "6", "2.550", "France"),
        ("536365", "85123B", "1", "2.550", "France"),
    ]
    assert staged.column("line_number") == [1, 2]
    assert "total" not in staged.reading.decisions.extra_columns


def test_lines_inside_invoices_on_lines(stage: Stage) -> None:
    staged = stage("\n".join(json.dumps(value) for value in (INVOICE, {**INVOICE, "lines": []}, INVOICE)), "a.jsonl")
    assert staged.column("line_number") == [1, 1, 3, 3]
    assert [(entry.what, entry.count, entry.first_line) for entry in staged.reading.decisions.left_out] == [
        ("invoice without lines", 1, 2)
    ]


def test_an_invoice_without_lines_is_told(stage: Stage) -> None:
    empty = [{**HEAD, "lines": []}, {**HEAD, "lines": None}, HEAD]
    staged = stage(json.dumps([*empty, INVOICE]), "sales.json")
    assert len(codes(staged)) == 2
    assert [(entry.what, entry.count) for entry in staged.reading.decisions.left_out] == [("invoice without lines", 3)]


def test_the_inner_field_counts(stage: Stage) -> None:
    outer = {**HEAD, "quantity": 7, "price": 99, "id": 1, "order_date": "2009-01-01", "tags": ["a"]}
    inner = {**LINE, "id": 2, "date": None}
    staged = stage(json.dumps([{**outer, "lines": [inner]}]), "sales.json")
    assert (staged.column("quantity"), staged.column("price")) == (["6"], ["2.550"])
    assert staged.column("invoice_date") == ["2010-12-01T08:26:00"]
    assert json.loads(staged.rows[0]["extras"]) == {
        "id": "2",
        "outer quantity": "7",
        "outer price": "99",
        "id_2": "1",
        "order_date": "2009-01-01",
        "tags": '["a"]',
    }


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"a": [INVOICE], "b": [INVOICE]}, "a.lines, b.lines"),
        ([{**INVOICE, "returns": [LINE]}], "lines, returns"),
        ({"data": {"invoices": [INVOICE], "credits": [INVOICE]}}, "data.invoices.lines, data.credits.lines"),
    ],
)
def test_several_lists_of_lines_are_refused(rejection: Reject, document: object, paths: str) -> None:
    error = rejection(json.dumps(document), "sales.json")
    assert error.code == "ambiguous_json"
    assert f": {paths}." in error.problem


def test_a_defective_line_shows_itself(stage: Stage) -> None:
    staged = stage(json.dumps([{**HEAD, "lines": [LINE, {**LINE, "quantity": [1]}, 7]}]), "sales.json")
    assert staged.defects == [(2, "nested_value"), (3, "not_an_object")]
    assert staged.rows[1]["raw"].startswith('{"stock_code"')


@pytest.mark.parametrize(("escape", "code"), [("\\u0000", "nul_byte"), ("\\ud800", "undecodable_bytes")])
def test_damage_is_found_in_every_shape(stage: Stage, escape: str, code: str) -> None:
    for text in (json.dumps([INVOICE]), FRAME.to_json(orient="columns"), FRAME.to_json(orient="split")):
        assert {found for _, found in stage(text.replace("HEART", escape), "sales.json").defects} == {code}


def test_lines_deeper_than_five_fields_are_not_found(rejection: Reject) -> None:
    document: Any = [LINE]
    for name in "abcdef":
        document = {name: document}
    assert rejection(json.dumps({**HEAD, **document}), "sales.json").code == "missing_columns"


def test_a_document_too_long_to_be_held_is_refused(rejection: Reject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.sources.json_document.WHOLE_CHARACTERS", 500)
    error = rejection(json.dumps({f"list {n}": [{"id": n}] * 20 for n in range(9)}), "sales.json")
    assert error.code == "json_too_large"


def test_streams_are_not_bounded_by_what_can_be_held(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.sources.json_document.WHOLE_CHARACTERS", 500)
    assert len(stage(json.dumps({"page": 1, "invoices": [INVOICE] * 300}), "sales.json").rows) == 600
    assert len(stage(pd.concat([FRAME] * 300).to_json(orient="split"), "sales.json").rows) == 600


def test_a_date_and_a_time_are_one_moment(stage: Stage) -> None:
    line = {**HEAD, **LINE, "invoice_date": "2010-12-01", "invoice_time": "08:26"}
    staged = stage(json.dumps([line, {**line, "invoice_time": None}]), "sales.json")
    assert staged.column("invoice_date") == ["2010-12-01 08:26", "2010-12-01"]
    assert staged.reading.decisions.header["invoice_date"] == "invoice_date and invoice_time"
    own = stage(json.dumps([{**line, "invoice_date": "2010-12-01 07:00"}]), "sales.json")
    assert own.column("invoice_date") == ["2010-12-01 07:00"]
    assert json.loads(own.rows[0]["extras"]) == {"invoice_time": "08:26"}


def test_a_general_name_gives_way(stage: Stage) -> None:
    staged = stage(
        json.dumps([{"order_id": 9, **HEAD, **LINE}, {"order_id": 9, **HEAD, **LINE, "invoice_no": None}]), "a.json"
    )
    assert staged.column("invoice") == ["536365", "9"]
    assert staged.reading.decisions.header["invoice"] == "invoice_no"
