"""What is no source is refused with advice."""

from __future__ import annotations

import random

import pytest

from tests.support.source_files import HEADER, Reject, Stage

NOISE = random.Random(1).randbytes(5_000)


@pytest.mark.parametrize(
    "content", [NOISE, b"\x89PNG\r\n\x1a\n" + NOISE, b"\x7fELF\x02\x01\x01" + b"\0" * 900, b"\0" * 5_000]
)
@pytest.mark.parametrize("name", ["sales.csv", "sales.json", "sales.pdf"])
def test_binary_is_not_text(rejection: Reject, content: bytes, name: str) -> None:
    error = rejection(content, name)
    assert error.code == "not_text"
    assert "renaming" in error.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04" + NOISE + b"word/document.xml", "no workbook"),
        (b"Obj\x01" + NOISE, "Avro"),
        (b"BZh9" + NOISE, "bzip2"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"sales.csv".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 900, "tar"),
    ],
)
def test_known_types_get_advice(rejection: Reject, content: bytes, words: str) -> None:
    error = rejection(content)
    assert error.code == "unsupported_type"
    assert words in error.problem
    assert error.remedy


def test_a_text_with_a_few_odd_bytes_is_text(stage: Stage) -> None:
    staged = stage(f"{HEADER}\n1,2,BELL\x07,4,2010-12-01,5,6,France\n1,2,\0,4,2010-12-01,5,6,France\n")
    assert staged.defects == [(3, "nul_byte")]


@pytest.mark.parametrize("name", ["a b.csv", 'it\'s "quoted".csv', "\u00e9t\u00e9;--.csv", "noextension", ".csv"])
def test_any_name(stage: Stage, name: str) -> None:
    assert len(stage(f"{HEADER}\n1,2,3,4,2010-12-01,5,6,France\n", name).sound) == 1
