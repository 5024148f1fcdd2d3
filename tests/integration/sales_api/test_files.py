from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from include.runs.landing import waiting_files
from include.sources.profiles.library import shipped_profiles
from retail_api.data.files import FilesRepository, Folder, Incoming
from tests.support.sales import Side

HEADER = b"Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
CSV = HEADER + b"1,A,x,1,2010-12-01 08:26,2.55,1,UK\n"
FILES = "/api/v1/files"


def form(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", file) for file in files]


def test_files_are_created_read_replaced_and_deleted(primary: Side, landing: Path) -> None:
    client = primary.client
    taken = client.post(FILES, files=form(("jan.csv", CSV), ("feb.csv.gz", gzip.compress(CSV, mtime=0))))
    assert taken.status_code == 201, taken.text
    kinds = [(file["name"], file["format"], file["compression"]) for file in taken.json()["files"]]
    assert kinds == [("jan.csv", "csv", "none"), ("feb.csv.gz", "csv", "gzip")]
    assert client.post(FILES, files=form(("mar.csv", CSV), ("jan.csv", CSV))).status_code == 409
    assert [file["name"] for file in primary.get("/files")["items"]] == ["feb.csv.gz", "jan.csv"]
    assert primary.get("/files/landing/jan.csv")["bytes"] == len(CSV)
    read = client.get(f"{FILES}/landing/jan.csv/content")
    assert (read.content, read.headers["X-Content-Type-Options"]) == (CSV, "nosniff")
    assert read.headers["Content-Disposition"] == 'attachment; filename="jan.csv"'
    assert client.put(f"{FILES}/landing/jan.csv", content=CSV * 2).json()["replaced"] is True
    assert client.put(f"{FILES}/landing/apr.json", content=json.dumps([{"a": 1}])).status_code == 201
    replaced = client.post(f"{FILES}?replace=true", files=form(("jan.csv", CSV)))
    assert replaced.json()["files"][0]["replaced"] is True
    assert client.delete(f"{FILES}/landing/apr.json").status_code == 204
    assert client.delete(f"{FILES}/landing/apr.json").status_code == 404
    several = client.get(f"{FILES}/landing?name=jan.csv&name=feb.csv.gz&name=jan.csv")
    with zipfile.ZipFile(io.BytesIO(several.content)) as archive:
        assert archive.testzip() is None
        assert {entry: archive.read(entry) for entry in archive.namelist()} == {
            "jan.csv": CSV,
            "feb.csv.gz": gzip.compress(CSV, mtime=0),
        }
    assert client.get(f"{FILES}/landing?name=jan.csv&name=none.csv").status_code == 404
    assert client.get(f"{FILES}/landing").status_code == 422
    many = client.delete(f"{FILES}/landing?name=jan.csv&name=none.csv&name=feb.csv.gz").json()
    assert many == {"deleted": ["jan.csv", "feb.csv.gz"], "not_found": ["none.csv"]}
    assert list(landing.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("sales.db", b"SQLite format 3\0" + bytes(99), 415),
        ("renamed.csv", b"Obj\x01" + bytes(99), 415),
        ("noise.csv", bytes(range(32)) * 9, 415),
        ("empty.csv", b"", 415),
        ("page.csv", b"<!DOCTYPE html><p>", 415),
        ("cut.csv.gz", gzip.compress(CSV)[:20], 415),
        ("../up.csv", CSV, 422),
        ("/etc/cron.d/x", CSV, 422),
        ("..\\up.csv", CSV, 422),
        (".hidden.csv", CSV, 422),
        ("half.csv.part", CSV, 422),
        ("x" * 201, CSV, 422),
        ("large.csv", b"x" * 70_000, 413),
    ],
)
def test_what_cannot_be_loaded_is_not_taken(
    primary: Side, landing: Path, name: str, content: bytes, status: int
) -> None:
    answer = primary.client.post(FILES, files=form(("good.csv", CSV), (name, content)))
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert list(landing.iterdir()) == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; filename="a.csv"\r\n\r\nInvoice'),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--c\r\n"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; filename="\xff"\r\n\r\nx\r\n--b--',
        ),
    ],
)
def test_a_damaged_form_leaves_nothing(primary: Side, landing: Path, content_type: str, body: bytes) -> None:
    answer = primary.client.post(FILES, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422, answer.text
    assert list(landing.iterdir()) == []


def test_a_file_is_seen_whole_or_not_at_all(primary: Side, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    added = Folder.add

    def look(folder: Folder, incoming: object) -> None:
        seen.append([path.name for path in waiting_files(primary.settings)])
        added(folder, incoming)  # type: ignore[arg-type]

    def pieces() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="slow.csv"\r\n\r\n'
        for _ in range(100):
            yield CSV
            seen.append([path.name for path in waiting_files(primary.settings)])
        yield b"\r\n--b--\r\n"

    monkeypatch.setattr(Folder, "add", look)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert primary.client.post(FILES, content=pieces(), headers=headers).status_code == 201
    assert not any(seen)
    assert (landing / "slow.csv").read_bytes() == CSV * 100


def test_a_file_that_arrives_meanwhile_is_not_replaced(
    primary: Side, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Folder.add

    def race(folder: Folder, incoming: object) -> None:
        (landing / "b.csv").write_bytes(b"mine")
        added(folder, incoming)  # type: ignore[arg-type]

    monkeypatch.setattr(Folder, "add", race)
    assert primary.client.post(FILES, files=form(("a.csv", CSV), ("b.csv", CSV))).status_code == 409
    assert [(path.name, path.read_bytes()) for path in landing.iterdir()] == [("b.csv", b"mine")]


def test_what_was_replaced_comes_back_if_another_file_cannot_be(
    primary: Side, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = Folder.replace

    def fails(folder: Folder, incoming: Incoming) -> bool:
        if incoming.name == "d.csv":
            (landing / "c.csv").unlink()
            (landing / "c.csv").write_bytes(b"of somebody else")
            raise OSError("no space left on device")
        return replaced(folder, incoming)

    (landing / "a.csv").write_bytes(b"as it was")
    monkeypatch.setattr(Folder, "replace", fails)
    sent = form(("a.csv", CSV), ("b.csv", CSV), ("c.csv", CSV), ("d.csv", CSV))
    assert primary.client.post(f"{FILES}?replace=true", files=sent).status_code == 500
    assert {path.name: path.read_bytes() for path in landing.iterdir()} == {
        "a.csv": b"as it was",
        "c.csv": b"of somebody else",
    }


def test_a_folder_of_the_name_is_in_the_way(primary: Side, landing: Path) -> None:
    (landing / "a.csv").mkdir()
    try:
        for answer in (
            primary.client.post(FILES, files=form(("b.csv", CSV), ("a.csv", CSV))),
            primary.client.post(f"{FILES}?replace=true", files=form(("b.csv", CSV), ("a.csv", CSV))),
            primary.client.put(f"{FILES}/landing/a.csv", content=CSV),
        ):
            assert answer.status_code == 409, answer.text
        assert [path.name for path in landing.iterdir()] == ["a.csv"]
    finally:
        (landing / "a.csv").rmdir()


def test_a_name_that_is_not_utf_8_is_found_as_it_is_listed(primary: Side, landing: Path) -> None:
    Path(os.fsdecode(os.fsencode(landing) + b"/caf\xe9.csv")).write_bytes(CSV)
    [listed] = primary.get("/files")["items"]
    place = f"{FILES}/landing/{quote(listed['name'])}"
    assert listed["name"] == r"caf\xe9.csv"
    assert primary.client.get(f"{place}/content").content == CSV
    assert primary.client.delete(place).status_code == 204
    assert list(landing.iterdir()) == []


def test_a_disk_that_is_nearly_full_takes_nothing(
    primary: Side, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "free_bytes", lambda _: 268_435_460)
    assert primary.client.post(FILES, files=form(("a.csv", CSV))).status_code == 507
    assert list(landing.iterdir()) == []


def test_what_a_crash_left_of_uploads_goes_at_a_start(
    primary: Side, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, file = landing / ".upload-1", landing / "a.csv"
    for path in (left, file):
        path.write_bytes(CSV)
    files = FilesRepository(primary.settings)
    files.forget_abandoned()
    assert left.exists()
    monkeypatch.setattr("retail_api.data.files.ABANDONED_SECONDS", -1.0)
    files.forget_abandoned()
    assert [path.name for path in landing.iterdir()] == ["a.csv"]


def test_quarantined_files(primary: Side) -> None:
    folder = primary.settings.data_dir / "quarantine" / "run_7"
    archived = primary.settings.data_dir / "archive.csv"
    folder.mkdir(parents=True)
    archived.write_bytes(b"as it came")
    os.link(archived, folder / "bad.csv")
    (folder / "bad.csv.report.json").write_text("{}")
    (folder / "link").symlink_to("/etc/passwd")
    listed = primary.get("/files", area="quarantine", run_id="run_7")["items"]
    assert [(file["run_id"], file["name"]) for file in listed] == [
        ("run_7", "bad.csv"),
        ("run_7", "bad.csv.report.json"),
    ]
    place = f"{FILES}/quarantine/run_7"
    assert primary.client.get(f"{place}/bad.csv/content").content == b"as it came"
    assert primary.client.get(f"{place}/link/content").status_code == 404
    assert primary.client.put(f"{place}/bad.csv", content=CSV).status_code == 200
    assert primary.client.put(f"{place}/other.csv", content=CSV).status_code == 404
    assert (archived.read_bytes(), (folder / "bad.csv").read_bytes()) == (b"as it came", CSV)
    assert primary.client.delete(f"{place}?name=bad.csv.report.json&name=link").json() == {
        "deleted": ["bad.csv.report.json"],
        "not_found": ["link"],
    }
    assert primary.client.delete(f"{place}/bad.csv").status_code == 204
    assert primary.client.get(f"{FILES}?area=landing&run_id=run_7").status_code == 422


@pytest.mark.parametrize(
    "path",
    ["landing/..%2f..%2fetc%2fpasswd", "landing/%2e%2e", "quarantine/..%2f..%2f/x/content", "quarantine/%2e%2e/landing",
     "landing/%00", "quarantine/run_7/..%2fx/content", "landing/.upload-1/content"],
)  # fmt: skip
def test_no_path_leaves_the_folders(primary: Side, path: str) -> None:
    for answer in (
        primary.client.get(f"{FILES}/{path}"),
        primary.client.delete(f"{FILES}/{path}"),
        primary.client.put(f"{FILES}/{path}", content=CSV),
    ):
        assert answer.status_code in {404, 405, 422}, answer.text


ODD = b"Invoice,SKU,Qty,Date,Price,Total,Country\n1,A,2,2010-12-01,5.10,5.10,UK\n"


def test_a_preview_keeps_nothing(primary: Side, landing: Path) -> None:
    fits = primary.client.post(f"{FILES}/preview", files=form(("jan.csv", CSV)))
    assert fits.status_code == 200, fits.text
    found = fits.json()
    assert (found["file"], found["layout"], found["proposal"], found["refusal"]) == (
        "jan.csv",
        "usual names",
        None,
        None,
    )
    assert found["sums"] == [{"currency": "GBP", "lines": 1, "amount": "2.55"}]
    assert (found["lines"][0]["stock_code"], found["lines"][0]["amount"]) == ("A", "2.55")
    assert found["decisions"]["delimiter"] == ","
    odd = primary.client.post(f"{FILES}/preview", files=form(("odd.csv", ODD))).json()
    assert (odd["layout"], odd["profile"], odd["sums"][0]["amount"]) == ("proposed", "odd", "5.10")
    assert "\n  amount: Price" in odd["proposal"]["text"]
    assert list(landing.iterdir()) == []
    assert not (primary.settings.profiles / "odd.yaml").exists()


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([("a.csv", CSV), ("b.csv", CSV)], 413),
        ([("large.csv", b"x" * 70_000)], 413),
        ([("sales.db", b"SQLite format 3\0" + bytes(99))], 415),
        ([("../up.csv", CSV)], 422),
        ([], 422),
    ],
)
def test_what_cannot_be_previewed(primary: Side, landing: Path, files: list[tuple[str, bytes]], status: int) -> None:
    answer = primary.client.post(f"{FILES}/preview", files=form(*files))
    assert answer.status_code == status, answer.text
    assert list(landing.iterdir()) == []


def test_one_preview_at_a_time(primary: Side, landing: Path) -> None:
    with primary.app.state.retail.previews:
        answer = primary.client.post(f"{FILES}/preview", files=form(("jan.csv", CSV)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
    assert primary.client.post(f"{FILES}/preview", files=form(("jan.csv", CSV))).status_code == 200
    assert list(landing.iterdir()) == []


def test_profiles_are_listed_and_shown(primary: Side) -> None:
    folder = primary.settings.profiles
    text = primary.client.post(f"{FILES}/preview", files=form(("odd.csv", ODD))).json()["proposal"]["text"]
    folder.mkdir(exist_ok=True)
    (folder / "odd.yaml").write_text(text)
    try:
        listed = primary.get("/profiles", size=500)
        names = [profile["name"] for profile in listed["items"]]
        assert names == sorted([*shipped_profiles(), "odd"])
        own = {"name": "odd", "title": "Files such as odd.csv", "source": None, "own": True}
        assert [profile for profile in listed["items"] if profile["own"]] == [own]
        shown = primary.client.get("/api/v1/profiles/odd")
        assert (shown.text, shown.headers["Content-Type"]) == (text, "application/yaml")
        fits = primary.client.post(f"{FILES}/preview", files=form(("feb.csv", ODD))).json()
        assert (fits["layout"], fits["profile"], fits["proposal"]) == ("profile", "odd", None)
    finally:
        (folder / "odd.yaml").unlink()
    assert primary.client.get("/api/v1/profiles/odd").status_code == 404
    assert primary.client.get("/api/v1/profiles/..%2fodd").status_code in {404, 422}
