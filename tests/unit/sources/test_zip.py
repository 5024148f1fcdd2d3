"""ZIP archives: every file in them, under its name, or none of them with the reason."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from include.sources.compression import UnpackLimits
from include.sources.model import SourceRejected
from include.sources.zip_archive import unpack
from tests.support.source_files import Reject, csv_lines, text_of
from tests.support.workbooks import HEADER, LINE, workbook

CONTENT = text_of(csv_lines(3)).encode()


def packed(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def unpacked(tmp_path: Path, content: bytes, limits: UnpackLimits | None = None) -> dict[str, bytes] | None:
    path, folder = tmp_path / "archive.zip", tmp_path / "members"
    path.write_bytes(content)
    names = unpack(path, folder, limits or UnpackLimits())
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert list(found) == [] if names is None else sorted(names) == sorted(found)
    return None if names is None else found


def refused(tmp_path: Path, content: bytes, limits: UnpackLimits | None = None) -> SourceRejected:
    with pytest.raises(SourceRejected) as caught:
        unpacked(tmp_path, content, limits)
    assert not (tmp_path / "members").exists()
    return caught.value


def test_all_files_are_unpacked_but_those_of_macos(tmp_path: Path) -> None:
    content = packed(
        ("a.csv", b"a"),
        ("2010/", b""),
        ("2010/b.csv", b"b"),
        ("c\\d.csv", b"d"),
        ("2010/.DS_Store", b"x"),
        ("__MACOSX/._a.csv", b"x"),
        ("Mai – ä.csv", b"e"),
    )
    assert unpacked(tmp_path, content) == {"a.csv": b"a", "2010/b.csv": b"b", "c/d.csv": b"d", "Mai – ä.csv": b"e"}
    assert unpacked(tmp_path, packed(("only.csv", b"z"))) == {"only.csv": b"z"}


@pytest.mark.parametrize("content", [CONTENT, b"", workbook({"Sales": [HEADER, LINE]})])
def test_other_files_are_no_archives(tmp_path: Path, content: bytes) -> None:
    assert unpacked(tmp_path, content) is None


@pytest.mark.parametrize(
    "name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:\\evil.csv", "a//b.csv", "./a.csv"]
)
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    error = refused(tmp_path, packed(("good.csv", CONTENT), (name, b"x")))
    assert error.code == "unsafe_archive"
    assert "leads out of the folder" in error.problem
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.zip"]


@pytest.mark.parametrize("names", [("a.csv", "a.csv"), ("a", "a/b.csv"), ("a/b.csv", "a"), ("a/b/c.csv", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_two_files_have(tmp_path: Path, names: tuple[str, str]) -> None:
    error = refused(tmp_path, packed((names[0], b"1"), (names[1], b"2")))
    assert "the name of another one" in error.problem


@pytest.mark.parametrize("name", ["x" * 300, "a\nb.csv"])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, packed((name, b"1"))).code == "unsafe_archive"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO])
def test_links_and_special_files(tmp_path: Path, kind: int) -> None:
    member = zipfile.ZipInfo("link.csv")
    member.external_attr = (kind | 0o644) << 16
    error = refused(tmp_path, packed(("good.csv", CONTENT), (member, b"/etc/passwd")))
    assert "is a link" in error.problem
    assert error.value == "link.csv"


def test_protected_by_a_password(tmp_path: Path) -> None:
    content = bytearray(packed(("a.csv", CONTENT)))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert refused(tmp_path, bytes(content)).code == "encrypted_archive"


def test_bombs_are_bounded(tmp_path: Path) -> None:
    bomb = packed(("a.csv", b"0" * 2_000_000), ("b.csv", b"0" * 2_000_000))
    limits = UnpackLimits(max_ratio=10, harmless_bytes=3_000_000)
    assert refused(tmp_path, bomb, limits).code == "archive_too_large"
    many = packed(*((f"{number}.csv", b"x") for number in range(11)))
    assert "10 files" in refused(tmp_path, many, UnpackLimits(max_members=10)).problem


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    content = bytearray(packed(("a.csv", b"0" * 5_000_000)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature) + offset
        content[at : at + 4] = (10).to_bytes(4, "little")
    assert refused(tmp_path, bytes(content), UnpackLimits(max_bytes=1_000)).code in {
        "archive_too_large",
        "corrupt_archive",
    }


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_off(tmp_path: Path, share: float) -> None:
    content = packed(("a.csv", CONTENT * 50))
    assert refused(tmp_path, content[: int(len(content) * share)]).code == "corrupt_archive"


def test_damaged(tmp_path: Path) -> None:
    content = bytearray(packed(("a.csv", CONTENT * 50), ("b.csv", CONTENT)))
    content[60] ^= 0xFF
    assert refused(tmp_path, bytes(content)).code == "corrupt_archive"


def test_nothing_in_it(tmp_path: Path) -> None:
    assert refused(tmp_path, packed()).code == "empty_archive"
    assert refused(tmp_path, packed(("__MACOSX/._a.csv", b"x"))).code == "empty_archive"


def test_staging_says_what_is_wrong_with_an_archive(rejection: Reject) -> None:
    assert rejection(packed(("../evil.csv", b"x")), "archive.zip").code == "unsafe_archive"
    assert rejection(packed(("a.csv", CONTENT)), "inner.zip").code == "nested_archive"
