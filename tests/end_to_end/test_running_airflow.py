"""A running Airflow with embedded defaults: drops good and bad, stages killed, repeats, rebuilds and cleared runs."""

from __future__ import annotations

import csv
import itertools
import json
import shlex
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import requests
from rich.console import Console

from deploy.embedded.follow import DAG_ID, Airflow, find_run, follow
from deploy.embedded.state import CLI_USER, Instance
from deploy.sample import SampleStyle, generate_lines, write_sample
from include.files import sha256_of
from include.receipts.model import FileEntry, Receipt
from include.runs.folder import RunFolder
from include.settings import PROJECT_ROOT
from tests.benchmarks import duckdb_pipeline
from tests.support.kills import Killer
from tests.support.system import (
    airflow,
    forget_days,
    post,
    put,
    receipts_of,
    system,
    totals_by_day,
    warehouse,
    warehouse_away,
)

pytestmark = pytest.mark.timeout(1800)

FIRST_DAY = date(2011, 1, 4)
DAYS = 4
SHARED_LINES = 40
HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
GOOD_LINE = "700001,22086,PAPER CHAIN,1,2011-03-01 10:00:00,1.00,,France"

REJECTED = {
    "empty.csv": (b"", "empty_file"),
    "a photo.csv": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 16, "not_text"),
    "no price.csv": (
        b"Invoice,StockCode,Quantity,InvoiceDate,Country\n1,22086,1,2011-03-01 10:00:00,France\n",
        "missing_columns",
    ),
    "cut off.json": (b'[{"Invoice": "700100", "StockCode": "22086", "Quantity": 1, "Pri', "truncated_json"),
    "cut off.pdf": (b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\n", "corrupt_pdf"),
}
"""Files of which nothing can be loaded, with the reason code."""

DAMAGED = {
    'it\'s "ragged" ..and..%2e%2e;.csv': (["700002,22086,PAPER CHAIN,1"], "too_few_columns"),
    "nul.csv": (["700003,22086,PAPER\x00CHAIN,1,2011-03-01 10:00:00,1.00,,France"], "nul_byte"),
    "quotes.csv": (['700004,22086,"PAPER CHAIN,1,2011-03-01 10:00:00,1.00,,France'], "unbalanced_quote"),
    "long line.csv": (["700005,22086," + "A" * 10_000_000 + ",1,2011-03-01 10:00:00,1.00,,France"], "line_too_long"),
}
"""Files whose second row is damaged, with the reason code: the row costs only itself."""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with system(tmp_path_factory.mktemp("system") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two halves of one sale, the whole, and every kind of unusable file."""
    folder = tmp_path_factory.mktemp("files")
    lines = list(generate_lines(1_500, 11, FIRST_DAY, DAYS, defects=False))
    style = SampleStyle(defects=False)
    write_sample(lines, folder / "whole.csv", "csv", style)
    write_sample(lines[:800], folder / "half 1.csv", "csv", style)
    write_sample(lines[800 - SHARED_LINES :], folder / "half 2.csv", "csv", style)
    for name, (content, _) in REJECTED.items():
        (folder / name).write_bytes(content)
    for number, (name, (damaged, _)) in enumerate(DAMAGED.items()):
        good = GOOD_LINE.replace("700001", f"71000{number}")
        (folder / name).write_text("\n".join([HEADER, good, *damaged, good.replace("22086", "22087")]) + "\n")
    return folder


@pytest.fixture(scope="module")
def receipts(instance: Instance, files: Path) -> dict[str, Receipt]:
    """Drop the first half beside every unusable file, the second half while that run works, and kill each stage."""
    killer = Killer(instance)
    killer.start()
    dropped = put(instance, files / "half 1.csv", *(files / name for name in itertools.chain(REJECTED, DAMAGED)))
    find_run(instance, *dropped[0])
    dropped += put(instance, files / "half 2.csv")
    found = receipts_of(instance, dropped)
    assert killer.killed == list(Killer.MOMENTS)
    return found


def entries(receipts: dict[str, Receipt]) -> dict[str, tuple[str, FileEntry]]:
    return {entry.name: (run_id, entry) for run_id, receipt in receipts.items() for entry in receipt.files}


def report_rows(instance: Instance, entry: FileEntry) -> list[dict[str, str]]:
    path = instance.settings.data_dir / str(entry.report)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_overlapping_runs_with_killed_stages_load_what_the_whole_file_holds(
    instance: Instance, receipts: dict[str, Receipt], files: Path, tmp_path: Path
) -> None:
    assert len(receipts) == 2
    oracle = duckdb_pipeline.run(files / "whole.csv", tmp_path)
    expected = oracle.execute(
        "SELECT sold_at::DATE, count(*), sum(quantity)::BIGINT, sum(amount) FROM fact_sales GROUP BY 1"
    ).fetchall()
    found = totals_by_day(instance)
    extra = found.pop(date(2011, 3, 1))
    assert extra == (2 * len(DAMAGED), 2 * len(DAMAGED), Decimal(2 * len(DAMAGED)))
    assert {day: tuple(rest) for day, *rest in expected} == found
    rows = sum(receipt.rows_loaded for receipt in receipts.values())
    assert rows == sum(rows for rows, _, _ in found.values()) + extra[0]


@pytest.mark.parametrize("name", REJECTED)
def test_an_unusable_file_is_kept_and_explained(
    instance: Instance, receipts: dict[str, Receipt], files: Path, name: str
) -> None:
    run_id, entry = entries(receipts)[name]
    assert (entry.status, entry.rows) == ("rejected", 0)
    assert sha256_of(RunFolder(instance.settings, run_id).original(name)) == sha256_of(files / name)
    report = json.loads((instance.settings.data_dir / str(entry.report)).read_text())
    assert (report["name"], report["code"]) == (name, REJECTED[name][1])
    assert entry.reason == f"{report['code']}: {report['problem']} {report['remedy']}"


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_row_costs_only_itself(instance: Instance, receipts: dict[str, Receipt], name: str) -> None:
    _, entry = entries(receipts)[name]
    assert (entry.status, entry.rows) == ("loaded", 3)
    (row,) = report_rows(instance, entry)
    assert (row["file"], row["line"], row["code"]) == (name, "3", DAMAGED[name][1])
    assert row["problem"]
    assert row["remedy"]


def runs_of(instance: Instance, kind: str) -> list[str]:
    listed = Airflow(instance).get(f"/dags/{DAG_ID}/dagRuns?limit=100&run_type={kind}")["dag_runs"]
    assert isinstance(listed, list)
    return [run["dag_run_id"] for run in listed]


def test_side_by_side_rebuilds_do_exactly_their_days_and_known_bytes_under_another_name_add_nothing(
    instance: Instance, receipts: dict[str, Receipt], files: Path, tmp_path: Path
) -> None:
    before = totals_by_day(instance)
    first, second, third, untouched, *_ = sorted(before)
    forget_days(instance, [first, second, third, untouched])
    renamed = tmp_path / "renamed.csv"
    renamed.write_bytes((files / "half 1.csv").read_bytes())
    (dropped,) = put(instance, renamed)
    known = find_run(instance, *dropped)
    run = post(instance, "/dagRuns", {"logical_date": None, "conf": {"rebuild_day": third.isoformat()}})
    days = ["--from-date", first.isoformat(), "--to-date", second.isoformat()]
    airflow(instance, "backfill", "create", "--dag-id", DAG_ID, *days)
    triggered = follow(instance, run["dag_run_id"], Console(stderr=True))
    backfilled = [follow(instance, run_id, Console(stderr=True)) for run_id in runs_of(instance, "backfill")]
    again = follow(instance, known.run_id, Console(stderr=True))
    assert (triggered.rebuilt_days, triggered.rows_loaded) == ([third], before[third][0])
    assert sorted(receipt.rebuilt_days for receipt in backfilled) == [[first], [second]]
    assert (again.status, again.rows_loaded, again.rows_already_seen) == ("nothing_new", 0, 800)
    assert totals_by_day(instance) == {day: total for day, total in before.items() if day != untouched}
    warehouse(instance, "repair", "--day", untouched.isoformat(), "--side", "primary")
    assert totals_by_day(instance) == before


def test_a_cleared_run_changes_nothing(instance: Instance, receipts: dict[str, Receipt], files: Path) -> None:
    before = totals_by_day(instance)
    run_id, _ = entries(receipts)["half 1.csv"]
    original = receipts[run_id]
    selection = {"dag_run_id": run_id, "task_ids": ["silver"], "include_downstream": True, "only_failed": False}
    cleared = post(instance, "/clearTaskInstances", selection | {"dry_run": False, "reset_dag_runs": True})
    later = {"silver", "enrich", "audit", "gold", "publish", "replicate", "aggregate", "index", "receipt"}
    assert {task["task_id"] for task in cleared["task_instances"]} == later
    again = follow(instance, run_id, Console(stderr=True))
    # Lines that the other half brought too may have changed owner since, and with them what this one is looked up for
    # and scored on.
    volatile = {"finished_at", "seconds", "table_versions", "enrichment", "quality", "index"}
    assert again.model_dump(exclude=volatile) == original.model_dump(exclude=volatile)
    assert totals_by_day(instance) == before


def test_a_warehouse_that_is_away_costs_no_run(
    instance: Instance, receipts: dict[str, Receipt], tmp_path: Path
) -> None:
    before = totals_by_day(instance)
    lines = list(generate_lines(60, 12, date(2011, 1, 20), 1, defects=False))
    write_sample(lines, tmp_path / "meanwhile.csv", "csv", SampleStyle(defects=False))
    with warehouse_away(instance):
        (receipt,) = receipts_of(instance, put(instance, tmp_path / "meanwhile.csv")).values()
        assert (receipt.status, receipt.warehouse) == ("loaded", "replica")
        assert any("could not take batch" in warning for warning in receipt.warnings)
        away = warehouse(instance, "totals")
    assert away["warehouse"] == "replica"
    assert away["rows"] == sum(rows for rows, _, _ in before.values()) + receipt.rows_loaded
    assert totals_by_day(instance) == before
    caught_up = warehouse(instance, "catch-up")
    assert (caught_up["batches"], caught_up["serves"]) == ([receipt.batch_id], "primary")
    assert warehouse(instance, "totals") == away | {"warehouse": "primary"}
    assert warehouse(instance, "compare")["skipped"] == {}


def test_the_quality_report_is_shown_to_those_who_may_read_runs(
    instance: Instance, receipts: dict[str, Receipt]
) -> None:
    run_id, _ = entries(receipts)["half 1.csv"]
    page = f"{instance.base_url()}/retail/quality/{run_id}"
    assert requests.get(page, timeout=30).status_code == requests.codes.unauthorized
    user = {"username": CLI_USER, "password": instance.secrets().cli_password}
    token = requests.post(f"{instance.base_url()}/auth/token", json=user, timeout=30).json()["access_token"]
    signed_in = {"Authorization": f"Bearer {token}"}
    shown = requests.get(page, headers=signed_in, timeout=30)
    assert shown.status_code == requests.codes.ok
    assert "half 1.csv" in shown.text
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    absent = requests.get(f"{page}-no-such-run", headers=signed_in, timeout=30)
    assert absent.status_code == requests.codes.not_found
    views = Airflow(instance).get("/plugins")["plugins"]
    assert isinstance(views, list)
    assert any(view["href"].startswith("/retail/quality/") for plugin in views for view in plugin["external_views"])


def test_the_requests_of_the_readme_are_answered(instance: Instance, receipts: dict[str, Receipt]) -> None:
    shown = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    words = [shlex.split(line) for line in shown.splitlines() if line.startswith("curl --netrc-file ")]
    assert len(words) == 5
    assert instance.netrc().read_text().split()[3] == CLI_USER
    answers = {}
    for *_, file, address in words:
        assert file == str(instance.netrc().relative_to(instance.settings.data_dir.parent))
        address = address.replace("http://127.0.0.1:8080", instance.base_url())
        # Without a header of its own, requests signs in by the file that NETRC names, as curl does.
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("NETRC", str(instance.netrc()))
            answer = requests.get(address, timeout=30)
        assert answer.status_code == requests.codes.ok, answer.text
        answers[address.partition("?")[0].rpartition("/")[2]] = answer.json()
    assert answers["health"]["status"] == "ok"
    assert all(item["country"] == "Germany" for item in answers["sales"]["items"])
    assert sum(item["lines"] for item in answers["countries"]["items"]) == sum(
        rows for rows, _, _ in totals_by_day(instance).values()
    )
    assert answers["typesense"]["hits"]
