"""Encodings: decided over the whole file, and damage kept to the records it is in."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from include.sources.text import encoding_of, line_blocks
from tests.support.source_files import Reject, Stage, csv_lines, text_of


def named(*names: str) -> str:
    lines = csv_lines(len(names))
    return text_of([lines[0], *(line.replace("MEADOW", name) for line, name in zip(lines[1:], names, strict=True))])


@pytest.mark.parametrize(
    ("codec", "name", "mark"),
    [
        ("utf-8", "utf-8", False),
        ("utf-8-sig", "utf-8", True),
        ("utf-16", "utf-16", True),
        ("utf-32", "utf-32", True),
        ("cp1252", "cp1252", False),
        ("latin-1", "cp1252", False),
    ],
)
def test_encodings(stage: Stage, codec: str, name: str, mark: bool) -> None:
    staged = stage(named("CAF\u00c9", "PLAIN", "\u00a35 GIFT").encode(codec))
    assert staged.reading.decisions.encoding == name
    assert staged.reading.decisions.byte_order_mark is mark
    assert staged.column("description") == ["CAF\u00c9 MUG", "PLAIN MUG", "\u00a35 GIFT MUG"]
    assert next(iter(staged.reading.decisions.header.values())) == "Invoice"


def test_utf_16_big_endian(stage: Stage) -> None:
    staged = stage(codecs.BOM_UTF16_BE + named("CAF\u00c9").encode("utf-16-be"))
    assert staged.column("description") == ["CAF\u00c9 MUG"]


def test_the_last_line_decides_as_much_as_the_first(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(text_of(csv_lines(30_000)).encode() + named("\u20ac5").encode("cp1252"))
    assert encoding_of(path).name == "cp1252"


def test_a_character_across_two_reads_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.sources.text._READ_BYTES", 1)
    path = tmp_path / "sales.csv"
    path.write_bytes("\u20ac\u00e9".encode())
    assert encoding_of(path).name == "utf-8"


def test_windows_encoding_is_said(stage: Stage) -> None:
    assert "not UTF-8" in stage(named("CAF\u00c9").encode("cp1252")).warnings


def test_other_alphabets_are_guessed(stage: Stage) -> None:
    name = "\u043a\u0440\u0443\u0436\u043a\u0430 \u0441\u0438\u043d\u044f\u044f"
    country = "\u0413\u0435\u0440\u043c\u0430\u043d\u0438\u044f"
    content = named(*[f'"{name}"'] * 20).replace("France", country).replace(" MUG", "")
    assert stage(content.encode("cp1251")).column("description") == [name] * 20


def test_broken_bytes_in_utf_8_cost_only_their_record(stage: Stage) -> None:
    content = named(*("CAF\u00c9",) * 8, "X", "CAF\u00c9").encode().replace(b"X MUG", b"X\xff MUG")
    staged = stage(content)
    assert staged.defects == [(10, "undecodable_bytes")]
    assert r"X\xff MUG" in staged.rows[8]["raw"]
    assert staged.sound[0]["description"] == "CAF\u00c9 MUG"
    assert staged.reading.decisions.encoding == "utf-8"


def test_bytes_unknown_to_windows_cost_only_their_record(stage: Stage) -> None:
    content = named("CAF\u00c9", "X", "CAF\u00c9").encode("cp1252").replace(b"X MUG", b"X\x81 MUG")
    staged = stage(content)
    assert len(staged.sound) >= 2


def test_a_cut_off_utf_16_file_costs_its_last_record(stage: Stage) -> None:
    staged = stage(named("A", "B", "C").encode("utf-16")[:-3])
    assert len(staged.sound) == 2
    assert staged.defects == [(4, "undecodable_bytes")]


def test_an_exchanged_character_that_was_in_the_text_is_no_damage(stage: Stage) -> None:
    assert stage(named("A\ufffd")).defects == []


def test_utf_16_without_mark_is_refused(rejection: Reject) -> None:
    assert rejection(named("A").encode("utf-16-le")).code == "not_text"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", range(1, 12))
def test_a_line_end_may_stand_where_two_blocks_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, end: str
) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", size)
    path = tmp_path / "sales.csv"
    lines = ["abc", "", "defghijklmnopqrst", "uv", "w"]
    path.write_bytes(text_of(lines, end).encode())
    for limit in (8, 1_000):
        found = [
            (block.first + index, line.rstrip("\r\n")[:3], index in block.overlong)
            for block in line_blocks(path, encoding_of(path), limit)
            for index, line in enumerate(block.lines)
        ]
        assert found == [(n, line[:3], len(line) > limit) for n, line in enumerate(lines, start=1)]
