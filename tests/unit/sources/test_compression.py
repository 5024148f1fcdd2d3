"""Compressed sources: found by content, whole or not at all, within bounds."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable

import pytest

from include.sources.compression import UnpackLimits
from tests.support.source_files import Reject, Stage, csv_lines, text_of

CONTENT = text_of(f"{line}" for line in csv_lines(2_000)).encode()
COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("name", ["sales.csv.gz", "sales.csv.xz", "sales.csv", "sales"])
def test_content_decides(stage: Stage, kind: str, name: str) -> None:
    staged = stage(COMPRESS[kind](CONTENT), name)
    assert staged.reading.decisions.compression == kind
    assert len(staged.rows) == 2_000


@pytest.mark.parametrize("kind", COMPRESS)
def test_several_members_and_padding(stage: Stage, kind: str) -> None:
    half = CONTENT.index(b"\n", len(CONTENT) // 2) + 1
    pack = COMPRESS[kind]
    assert len(stage(pack(CONTENT[:half]) + pack(CONTENT[half:]) + b"\0" * 8).rows) == 2_000


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
def test_cut_off(rejection: Reject, kind: str, share: float) -> None:
    packed = COMPRESS[kind](CONTENT)
    assert rejection(packed[: max(12, int(len(packed) * share))]).code == "truncated_archive"


@pytest.mark.parametrize("kind", COMPRESS)
def test_damaged(rejection: Reject, kind: str) -> None:
    packed = bytearray(COMPRESS[kind](CONTENT))
    packed[len(packed) // 2] ^= 0xFF
    assert rejection(bytes(packed)).code in {"corrupt_archive", "truncated_archive"}


@pytest.mark.parametrize("kind", COMPRESS)
def test_waste_after_the_content(rejection: Reject, kind: str) -> None:
    assert rejection(COMPRESS[kind](CONTENT) + b"waste").code in {"corrupt_archive", "truncated_archive"}


@pytest.mark.parametrize("kind", COMPRESS)
def test_bombs_are_bounded(rejection: Reject, kind: str) -> None:
    bomb = COMPRESS[kind](b"0" * 3_000_000)
    assert rejection(bomb, limits=UnpackLimits(max_ratio=10, harmless_bytes=1_000_000)).code == "archive_too_large"
    assert rejection(bomb, limits=UnpackLimits(max_bytes=1_000)).code == "archive_too_large"


@pytest.mark.parametrize("kind", COMPRESS)
def test_empty_inside(rejection: Reject, kind: str) -> None:
    assert rejection(COMPRESS[kind](b"")).code == "empty_file"


def test_twice_compressed(rejection: Reject) -> None:
    assert rejection(gzip.compress(gzip.compress(CONTENT))).code == "unsupported_type"
