"""`python -m deploy.embedded`: what stands in the way is one sentence, never a traceback."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest
import requests

from deploy.embedded import __main__ as cli
from deploy.embedded import jars
from deploy.embedded.addresses import Ports, save_ports
from deploy.embedded.state import Instance
from include.lake import connect_server
from include.lake.connect_server import free_port
from include.runs.landing import landing
from include.settings import Settings, get_settings
from tests.support.instances import pretending_to_run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text("content")
    return path


def test_a_load_while_nothing_runs_drops_nothing(
    instance: Instance, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["load", str(source)]) == 1
    assert "nothing was dropped. Start with `make up`" in capsys.readouterr().out
    assert not instance.settings.data_dir.exists()


def test_a_password_is_not_reset_while_nothing_runs(instance: Instance, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reset-password"]) == 1
    assert "no password was changed. Start with `make up`" in capsys.readouterr().out
    assert not instance.settings.data_dir.exists()


@pytest.mark.parametrize("words", [["status"], ["run"], ["up"], ["load", "a.csv"], ["reset-password"]])
def test_another_port_than_the_running_instances_is_one_sentence(
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    save_ports(instance.services, Ports(api_port=8390, postgres_port=54390))
    monkeypatch.setenv("RETAIL_API_PORT", "8391")
    with pretending_to_run(instance):
        assert cli.main(words) == 1
    said = capsys.readouterr().out
    assert "RETAIL_API_PORT=8390, not 8391" in said
    assert said.count("\n") == 1


def test_a_taken_port_is_told_before_anything_is_fetched(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("RETAIL_API_PORT", str(taken.getsockname()[1]))
        monkeypatch.setattr(jars, "fetch", lambda settings: pytest.fail("fetched"))
        assert cli.main(["up"]) == 1
    assert "is taken by another program" in capsys.readouterr().out
    assert not instance.settings.data_dir.exists()


def test_status_tells_what_waits_and_what_is_never_claimed(
    instance: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    save_ports(instance.services, Ports(api_port=free_port()))
    (landing(instance.settings) / "waits.csv").write_text("content")
    (landing(instance.settings) / "a [b] :cat: folder").mkdir()
    receipts = instance.settings.data_dir / "receipts"
    receipts.mkdir()
    (receipts / "older.json").write_text("{}")
    with pretending_to_run(instance):
        assert cli.main(["status"]) == 1
    said = capsys.readouterr().out
    assert ": not healthy\n" in said
    assert f"Waiting in {landing(instance.settings)}: 1\n" in said
    assert "Never claimed there: 1\n  a [b] :cat: folder: a folder\n" in said
    assert "older: not a receipt of this version\n" in said


def test_clean_without_an_answer_deletes_nothing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CONFIRM", raising=False)
    landing(instance.settings)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli.main(["clean"]) == 1
    assert "Nothing was deleted." in capsys.readouterr().out
    assert landing(instance.settings).is_dir()
    monkeypatch.setenv("CONFIRM", "yes")
    assert cli.main(["clean"]) == 0
    assert not instance.settings.data_dir.exists()
    assert cli.main(["clean"]) == 0


@pytest.mark.parametrize("words", [["status"], ["load", "a.csv"], ["down"], ["logs"]])
def test_an_unusable_setting_is_one_sentence(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setenv("RETAIL_POSTGRES_PORT", "hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:hunter2@host/warehouse")
    assert cli.main(words) == 1
    said = capsys.readouterr().out
    assert said.startswith("RETAIL_POSTGRES_PORT is unusable (")
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (requests.ReadTimeout("HTTPConnectionPool(...)"), "Airflow did not answer as it should (ReadTimeout); see"),
        (OSError(28, os.strerror(28), "/data/landing"), "/data/landing: No space left on device."),
        (connect_server.ClassesNotRecorded("Spark said: no"), "Spark said: no"),
    ],
)
def test_other_failures_are_one_sentence(
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    sentence: str,
) -> None:
    def fail(instance: Instance) -> None:
        raise error

    monkeypatch.setattr(cli, "up", fail)
    assert cli.main(["up"]) == 1
    assert capsys.readouterr().out.startswith(sentence)


def test_an_unreadable_environment_file_is_one_sentence(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_bytes(b"RETAIL_API_PORT=\xff\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    get_settings.cache_clear()
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().out.startswith("The settings cannot be read: ")
