"""Dropping files and following runs, against an Airflow that answers as it likes."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from rich.console import Console

from deploy.embedded import follow as following
from deploy.embedded.addresses import Ports
from deploy.embedded.follow import Airflow, NotFollowed, drop, landing_name, never_claimed, print_receipt
from deploy.embedded.state import Instance
from include.failover import ReplicaUpdate
from include.lake.connect_server import free_port
from include.quality.findings import QualityRecord
from include.receipts.model import FileEntry, Receipt
from include.runs.folder import RunFolder
from include.runs.landing import landing, waiting_files
from include.runs.records import IndexRecord
from include.settings import Settings
from include.sources.model import FileDecisions, LeftOut


@contextmanager
def airflow_answering(instance: Instance, *answers: tuple[int, str]) -> Iterator[None]:
    """Serve `answers` (status, body) in turn at the instance's address; the last one for ever."""
    left = list(answers)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        status, body = left.pop(0) if len(left) > 1 else left[0]
        start_response(f"{status} as told", [])
        return [body.encode()]

    with make_server("127.0.0.1", 0, application) as server:
        instance.ports = Ports(api_port=server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "API_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.05)


@pytest.mark.parametrize("name", ['it\'s a "drop" & more.csv', "plain.csv"])
def test_a_drop_appears_whole_under_its_name(instance: Instance, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.write_text("content")
    first, sha256 = drop(instance, source)
    second, _ = drop(instance, source)
    assert (first, second) == (name, f"{Path(name).stem}-2.csv")
    assert len(sha256) == 64
    assert sorted(os.listdir(landing(instance.settings))) == sorted([first, second])


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        (".hid.csv", "hid.csv"),
        ("x.tmp", "x"),
        ("sales.csv.part", "sales.csv"),
        ("sales.csv.PARTIAL", "sales.csv"),
        ("sales.csv.crdownload", "sales.csv"),
        ("sales.csv.filepart", "sales.csv"),
        (".sales.csv.swp", "sales.csv"),
        ("sales.csv~", "sales.csv"),
        ("sales.csv~.tmp~", "sales.csv"),
        ("...", "file"),
        (".~.tmp", "file"),
        (".tmp", "tmp"),
    ],
)
def test_names_the_watch_skips_are_dropped_under_names_it_takes(
    instance: Instance, tmp_path: Path, name: str, taken: str
) -> None:
    assert landing_name(name) == taken
    source = tmp_path / "source" / name
    source.parent.mkdir()
    source.write_text("content")
    dropped = {drop(instance, source)[0] for _ in range(3)}
    assert taken in dropped
    assert {path.name for path in waiting_files(instance.settings)} == dropped


def test_a_missing_file_is_said_and_nothing_is_left_behind(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(NotFollowed, match=r"absent\.csv is not a file"):
        drop(instance, tmp_path / "absent.csv")
    assert list(landing(instance.settings).parent.rglob("*.part")) == []


def test_what_no_run_will_take_is_told_with_its_reason(instance: Instance, tmp_path: Path) -> None:
    folder = landing(instance.settings)
    (folder / "waits.csv").write_text("content")
    (folder / "link.csv").symlink_to(folder / "waits.csv")
    (folder / "dangling.csv").symlink_to(tmp_path / "absent")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe.csv")
    (folder / ".hidden.csv").write_text("content")
    (folder / "copying.csv.part").write_text("content")
    (folder / "saved.csv~").write_text("content")
    (folder / ".run-1").mkdir()
    (instance.settings.data_dir / "archive" / "run-1").mkdir(parents=True)
    assert never_claimed(instance.settings) == {
        "link.csv": "a link",
        "dangling.csv": "a link",
        "folder": "a folder",
        "pipe.csv": "not a regular file",
        ".hidden.csv": "a hidden name",
        "copying.csv.part": "the name of an unfinished file",
        "saved.csv~": "the name of an unfinished file",
    }


def test_a_lost_answer_is_asked_for_again(instance: Instance, impatient: None) -> None:
    said = io.StringIO()
    with airflow_answering(instance, (503, "starting"), (200, "not JSON"), (200, json.dumps({"state": "running"}))):
        assert Airflow(instance, Console(file=said)).get("/dags/d/dagRuns/r") == {"state": "running"}
    assert said.getvalue().count("asking again") == 1


def test_an_airflow_that_stays_away_is_one_sentence(instance: Instance, impatient: None) -> None:
    instance.ports = Ports(api_port=free_port())
    with pytest.raises(NotFollowed, match=r"did not answer for .*ConnectionError.*`make status`"):
        Airflow(instance).get("/dags/d/dagRuns/r")
    with airflow_answering(instance, (500, "broken")), pytest.raises(NotFollowed, match=r"did not answer .*HTTP 500"):
        Airflow(instance).get("/dags/d/dagRuns/r")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_one_sentence_at_once(instance: Instance, status: int) -> None:
    with airflow_answering(instance, (status, "no")), pytest.raises(NotFollowed, match=rf"refused .*HTTP {status}"):
        Airflow(instance).get("/dags/d/dagRuns/r")


def test_a_receipt_names_reports_and_is_followed_by_what_copies_lack(tmp_path: Path) -> None:
    now = datetime(2011, 1, 4, tzinfo=UTC)
    left_out = [LeftOut(what="total row", count=2, first_line=7, example="Total,,,3")]
    rejected = FileEntry(
        name="a.csv",
        sha256="0" * 64,
        bytes=1,
        status="rejected",
        report="quarantine/r/a.csv",
        decisions=FileDecisions(format="csv", left_out=left_out),
    )
    receipt = Receipt(
        run_id="r",
        batch_id="b",
        kind="drop",
        status="rejected",
        started_at=now,
        finished_at=now,
        files=[rejected],
        rows_in=0,
        rows_loaded=0,
        rows_duplicate=0,
        rows_quarantined={},
        rows_already_seen=0,
        amount_in=Decimal(0),
        amount_loaded=Decimal(0),
        amount_duplicate=Decimal(0),
        amount_quarantined=Decimal(0),
        amount_already_seen=Decimal(0),
    )
    settings = Settings(data_dir=tmp_path / "elsewhere")
    said = io.StringIO()
    print_receipt(receipt, settings, Console(file=said))
    assert f"report: {tmp_path / 'elsewhere' / 'quarantine/r/a.csv'}\n" in said.getvalue()
    assert "  left out: 2 x total row, first line 7: Total,,,3\n" in said.getvalue()
    assert "note:" not in said.getvalue()
    run = RunFolder(settings, "r")
    run.save_stage("replica", ReplicaUpdate(lacks=["b"], warnings=["The replica lacks batch b."]))
    run.save_stage("index", IndexRecord(status="pending", reason="Nobody listens."))
    print_receipt(receipt, settings, Console(file=said))
    assert "note: The replica lacks batch b.\n" in said.getvalue()
    assert "note: The product search is not up to date: Nobody listens. The next run" in said.getvalue()


def test_a_held_run_says_score_report_and_remedy(instance: Instance) -> None:
    record = QualityRecord(
        run_id="run_1",
        batch_id="20101201T082600-0a1b2c3d",
        kind="drop",
        scored_at=datetime(2010, 12, 1, tzinfo=UTC),
        status="held",
        overall=0.767,
        bar=0.85,
        rows_in=3,
        rows_loaded=1,
        rows_duplicate=0,
        rows_quarantined=2,
        rows_already_seen=0,
        report="quality/run_1/report.html",
    )
    RunFolder(instance.settings, "run_1").save_stage("audit", record)
    tasks = {"task_instances": [{"task_id": "audit", "state": "failed", "duration": 1.0}]}
    with (
        airflow_answering(instance, (200, json.dumps(tasks)), (200, json.dumps({"state": "failed"}))),
        pytest.raises(NotFollowed, match=r"scores 0\.7670, below the bar of 0\.8500") as held,
    ):
        following.follow(instance, "run_1", Console(file=io.StringIO()))
    assert "data/quality/run_1/report.html" in str(held.value)
    assert "python -m include.quality release run_1" in str(held.value)


def test_a_file_that_cannot_be_read_is_told_while_the_run_goes_on(instance: Instance) -> None:
    run = RunFolder(instance.settings, "run_1")
    rejected = {"name": "[a].csv", "code": "not_text", "problem": "It is binary.", "remedy": "Export it as CSV."}
    run.quarantine.mkdir(parents=True)
    (run.quarantine / "[a].csv.report.json").write_text(json.dumps(rejected))
    tasks = json.dumps({"task_instances": [{"task_id": "bronze", "state": "running", "duration": None}]})
    states = [json.dumps({"state": state}) for state in ("running", "failed")]
    said = io.StringIO()
    with (
        airflow_answering(instance, *[(200, answer) for answer in (tasks, states[0], tasks, states[1])]),
        pytest.raises(NotFollowed),
    ):
        following.follow(instance, "run_1", Console(file=said, width=400))
    told = [text for text in said.getvalue().splitlines() if "[a].csv" in text]
    report = run.quarantine / "[a].csv.report.json"
    assert told == [f"  [a].csv: It is binary. Export it as CSV. Report: {report}"]
