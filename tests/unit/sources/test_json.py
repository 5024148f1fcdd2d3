"""JSON lists and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from include.sources.json_reader import read_json
from include.sources.model import FileDecisions, SourceRejected
from include.sources.profiles.names import Layouts
from include.sources.text import encoding_of
from tests.support.source_files import LIMIT, Reject, Stage

RECORD: dict[str, Any] = {
    "Invoice": "536365",
    "StockCode": "85123A",
    "Description": "CAF\u00c9 \u20ac MUG",
    "Quantity": 6,
    "InvoiceDate": "2010-12-01 08:26:00",
    "Price": 2.55,
    "Customer ID": None,
    "Country": "France",
}


def record(**changes: Any) -> dict[str, Any]:
    return {**RECORD, **changes}


def test_a_list(stage: Stage) -> None:
    staged = stage(json.dumps([RECORD, record(Invoice="C536366", till=7, note="")], indent=2), "sales.json")
    assert staged.reading.decisions.format == "json"
    assert staged.column("line_number") == [1, 2]
    assert staged.column("invoice") == ["536365", "C536366"]
    assert staged.column("customer_id") == [None, None]
    assert staged.column("extras") == [None, '{"till": "7"}']
    assert staged.reading.decisions.extra_columns == ["till", "note"]


@pytest.mark.parametrize("text", ["2.50", "-0", "12345678901234567890.123456789", "1e-3", "6.0"])
def test_numbers_keep_their_text(stage: Stage, text: str) -> None:
    staged = stage(json.dumps([RECORD]).replace("2.55", text), "sales.json")
    [row] = staged.rows
    assert (json.loads(row["written"])["price"] if row["written"] else row["price"]) == text


def test_the_name_does_not_matter(stage: Stage) -> None:
    assert stage(json.dumps([RECORD]), "sales.csv").reading.decisions.format == "json"
    assert stage(json.dumps(RECORD) + "\n" + json.dumps(RECORD), "sales.txt").reading.decisions.format == "jsonl"


def test_other_spellings_in_other_records(stage: Stage) -> None:
    other = {"invoice_no": "2", "sku": "B", "qty": 1, "date": "2010-12-02", "unit_price": 1, "country": "EIRE"}
    staged = stage(json.dumps([RECORD, other]), "sales.json")
    assert staged.column("stock_code") == ["85123A", "B"]
    assert staged.reading.decisions.header["stock_code"] == "StockCode"


def test_not_a_number_is_absent(stage: Stage) -> None:
    staged = stage(json.dumps([record(**{"Customer ID": float("nan")})]), "sales.json")
    assert staged.column("customer_id") == [None]


@pytest.mark.parametrize("value", [[1], {"gbp": 1}, True, [], {}])
def test_a_nested_value_costs_its_record(stage: Stage, value: object) -> None:
    staged = stage(json.dumps([RECORD, record(Price=value), RECORD]), "sales.json")
    assert staged.defects == [(2, "nested_value")]
    assert json.loads(staged.rows[1]["raw"])["Price"] == value


def test_a_nested_value_of_the_senders_own_is_kept(stage: Stage) -> None:
    staged = stage(json.dumps([record(tags=[{"a": 1.50}], paid=True)]), "sales.json")
    assert json.loads(staged.rows[0]["extras"]) == {"tags": '[{"a": "1.5"}]', "paid": "true"}


def test_repeated_names_of_the_senders_own_are_all_kept(stage: Stage) -> None:
    text = json.dumps(record(Till_2="c")).replace("{", '{"Till": "a", "Till": 7, "note": "", "note": "d", ', 1)
    for content, name in ((f"[{text}]", "sales.json"), (f"{text}\n{text}", "sales.jsonl")):
        staged = stage(content, name)
        assert json.loads(staged.rows[0]["extras"]) == {"Till": "a", "Till_2": "7", "note_2": "d", "Till_2_2": "c"}
        assert staged.reading.decisions.extra_columns == ["Till", "Till_2", "note", "note_2", "Till_2_2"]


@pytest.mark.parametrize("value", ["1", '"text"', "null", "[1, 2]", "true"])
def test_what_is_no_object_costs_its_record(stage: Stage, value: str) -> None:
    text = json.dumps(RECORD)
    staged = stage(f"[{text}, {value}, {text}]", "sales.json")
    assert staged.defects == [(2, "not_an_object")]


def test_two_fields_of_one_meaning_cost_their_record(stage: Stage) -> None:
    staged = stage(json.dumps([record(UnitPrice=3), record(UnitPrice=None)]), "sales.json")
    assert staged.defects == [(1, "duplicate_field")]
    repeated = json.dumps(RECORD).replace('"Price": 2.55', '"Price": 2.55, "Price": 3')
    assert stage(f"[{repeated}]", "sales.json").defects == [(1, "duplicate_field")]


@pytest.mark.parametrize(("escape", "code"), [("\\u0000", "nul_byte"), ("\\ud800", "undecodable_bytes")])
def test_escaped_damage_costs_its_record(stage: Stage, escape: str, code: str) -> None:
    text = json.dumps(RECORD)
    staged = stage(f"[{text}, {text.replace('MUG', escape)}]", "sales.json")
    assert staged.defects == [(2, code)]


def test_one_list_inside_an_object(stage: Stage) -> None:
    wrapped = {"shop": "north", "pages": [1, 2], "invoices": [RECORD, RECORD], "total": 2}
    staged = stage(json.dumps(wrapped, indent=1), "sales.json")
    assert len(staged.sound) == 2
    assert stage(json.dumps(wrapped), "sales.json").column("line_number") == [1, 2]


def test_one_record_alone(stage: Stage) -> None:
    assert stage(json.dumps(RECORD), "sales.json").column("price") == ["2.55"]
    assert stage(json.dumps(RECORD, indent=2), "sales.json").column("price") == ["2.55"]


def test_an_empty_list_has_no_records(stage: Stage) -> None:
    staged = stage("[ ]\n", "sales.json")
    assert staged.rows == []
    assert staged.reading.decisions.warnings == ["The file has no records."]
    for text in ('{"invoices": []}', '{"data": [], "next": null, "errors": []}'):
        assert stage(text, "sales.json").reading.decisions.warnings == ["The file has no records."]


def test_byte_order_mark_and_utf_16(stage: Stage) -> None:
    for codec in ("utf-8-sig", "utf-16"):
        staged = stage(json.dumps([RECORD], ensure_ascii=False).encode(codec), "sales.json")
        assert staged.column("description") == ["CAF\u00c9 \u20ac MUG"]


def test_records_across_buffers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.sources.json_document._READ_CHARACTERS", 7)
    staged = stage(json.dumps([record(Invoice=n, Quantity=n) for n in range(1000, 1030)]), "sales.json")
    assert staged.column("quantity") == [str(n) for n in range(1000, 1030)]


@pytest.mark.parametrize("shape", ["list", "wrapped"])
@pytest.mark.parametrize("buffer", [5, 1 << 20])
def test_cut_off_anywhere_nothing_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, buffer: int
) -> None:
    monkeypatch.setattr("include.sources.json_document._READ_CHARACTERS", buffer)
    records = [record(Quantity=-12.5, paid=True), record(Description='7" \u00e9\\')]
    whole = json.dumps(records if shape == "list" else {"invoices": records}).encode()
    path = tmp_path / "sales.json"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceRejected) as caught:
            list(read_json(path, encoding_of(path), LIMIT, FileDecisions(format="json"), Layouts()))
        assert caught.value.code == "truncated_json", whole[:size]


def test_a_cut_off_list_is_reported_with_its_line(rejection: Reject) -> None:
    text = json.dumps([RECORD] * 3, indent=1)
    error = rejection(text[: len(text) // 2], "sales.json")
    assert error.code == "truncated_json"
    assert error.line == text[: len(text) // 2].count("\n") + 1
    assert "cut off" in error.remedy


@pytest.mark.parametrize(
    "text",
    [
        "[%s, ]",
        "[%s %s]",
        "[%s, {'Invoice': 1}]",
        '[%s, {"Invoice": 1,}]',
        '[%s, {"Invoice": nope}]',
        '[%s, {"Invoice": "a\nb"}]',
        '{"a" [%s]}',
        "{}",
        '[{"a":' + "[" * 100_000,
    ],
)
def test_invalid_json_is_rejected_whole(rejection: Reject, text: str) -> None:
    error = rejection(text.replace("%s", json.dumps(RECORD, indent=1)), "sales.json")
    assert error.code == "invalid_json"
    assert error.line is not None


def test_missing_fields(rejection: Reject) -> None:
    error = rejection(json.dumps([{"Invoice": 1, "Amount": 2}]), "sales.json")
    assert error.code == "missing_columns"
    assert "'Amount'" in error.problem


def test_an_overlong_record_is_rejected(rejection: Reject) -> None:
    for size in (2_000, 4_000_000):
        error = rejection(json.dumps([record(Description="x" * size)]), "sales.json", max_line_bytes=1_024)
        assert error.code == "json_record_too_long"


def test_lines(stage: Stage) -> None:
    staged = stage("\n".join([json.dumps(RECORD), "", json.dumps(record(Price=1.10))]), "sales.jsonl")
    assert staged.reading.decisions.format == "jsonl"
    assert staged.column("line_number") == [1, 3]


@pytest.mark.parametrize(
    ("damaged", "code"),
    [
        ('{"Invoice": 1, "Sto', "invalid_json_line"),
        ("Invoice,StockCode", "invalid_json_line"),
        ('{"a":' * 100_000, "invalid_json_line"),
        ("[1]", "not_an_object"),
        ('{"Invoice": 1},', "comma_after_json"),
        ('{"Invoice": 1} {"Invoice": 2}', "text_after_json_line"),
        ('{"Invoice": "\0"}', "nul_byte"),
        ('{"Invoice": "' + "x" * 2_000_000 + '"}', "line_too_long"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_damaged_line_costs_only_itself(stage: Stage, damaged: str, code: str, place: int) -> None:
    lines = [json.dumps(RECORD)] * 3
    lines.insert(place, damaged)
    staged = stage("\n".join(lines), "sales.jsonl")
    assert staged.defects == [(place + 1, code)]
    assert len(staged.sound) == 3


def test_broken_bytes_cost_only_their_line(stage: Stage) -> None:
    line = json.dumps(RECORD, ensure_ascii=False).encode()
    staged = stage(b"\n".join([*[line] * 5, line.replace(b"MUG", b"M\xffG")]), "sales.jsonl")
    assert staged.defects == [(6, "undecodable_bytes")]


@pytest.mark.parametrize("text", ["[%s] []", "%s,\n%s,", "[%s]\n[%s]", "%s\n%s"])
def test_text_after_the_end(rejection: Reject, text: str) -> None:
    error = rejection(text.replace("%s", json.dumps(RECORD, indent=1)), "sales.json")
    assert (error.code, error.line is not None) == ("text_after_json", True)
    assert ".jsonl" in error.remedy


def test_a_comma_before_the_end_is_named(rejection: Reject) -> None:
    assert "comma stands before" in rejection(f"[{json.dumps(RECORD)},]", "sales.json").problem
