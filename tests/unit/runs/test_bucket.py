"""Objects that senders put into a store are brought into the landing folder whole and once, and stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from include.pipeline import claim
from include.runs.bucket import fetch_new
from include.runs.landing import waiting_files
from include.settings import Settings
from include.store import open_store
from tests.support.bucket import bucket


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Settings]:
    with bucket() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield Settings.model_validate({"data_dir": tmp_path, "landing_uri": "s3://retail/landing", "settle_seconds": 0})


def put(settings: Settings, place: str, content: bytes) -> None:
    obstore.put(open_store(settings, settings.landing_uri), place, content)


def waiting(settings: Settings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in waiting_files(settings)}


def test_each_version_of_an_object_is_brought_once(settings: Settings) -> None:
    put(settings, "a.csv", b"first")
    put(settings, "shop/b.csv", b"b")
    put(settings, "folder/", b"")
    fetch_new(settings)
    assert fetch_new(settings) == []
    assert waiting(settings) == {"a.csv": b"first", "b.csv": b"b"}
    put(settings, "a.csv", b"second")
    assert [path.name for path in fetch_new(settings)] == ["a-2.csv"]
    assert waiting(settings)["a-2.csv"] == b"second"
    assert len(obstore.list(open_store(settings, settings.landing_uri)).collect()) == 3


def test_one_that_was_cut_off_before_it_was_noted_is_loaded_once(settings: Settings) -> None:
    put(settings, "a.csv", b"rows")
    fetch_new(settings)
    for mark in (settings.data_dir / "runs" / ".fetched").iterdir():
        mark.unlink()
    fetch_new(settings)
    manifest = claim(settings, "run")
    assert sorted(file.status for file in manifest.files) == ["already_seen", "new"]


def test_one_that_breaks_off_leaves_nothing_and_is_brought_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, "a.csv", b"rows")
    with monkeypatch.context() as patch:
        patch.setattr("include.runs.bucket.flush", lambda _: (_ for _ in ()).throw(OSError("cut off")))
        with pytest.raises(OSError, match="cut off"):
            fetch_new(settings)
    assert waiting(settings) == {}
    fetch_new(settings)
    assert waiting(settings) == {"a.csv": b"rows"}
