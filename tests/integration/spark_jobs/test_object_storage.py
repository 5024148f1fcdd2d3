"""Commits of several writers in a real S3 server: none is lost, none is made twice."""

from __future__ import annotations

import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from include.lake.submitting import submit_command, submit_conf, submit_environment
from include.quality.store import replace_rows
from include.settings import PROJECT_ROOT, Settings
from tests.support.object_store import BUCKET, JARS, disturbed, environment, object_store
from tests.support.processes import started

pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.timeout(1800)]

MASTER = "local[1]"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with object_store(tmp_path_factory.mktemp("s3") / "objects") as port:
        yield port


@pytest.fixture
def uri(store: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table that does not exist, in the store by which the test itself reads."""
    for name, value in environment(store).items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def commit_by_spark(port: int, uri: str, folder: Path, writers: int, commits: int) -> list[int]:
    """Let Spark drivers, each a process, append rows one by one; return their exit codes."""
    settings = Settings(_env_file=None, data_dir=folder, spark_jars_dir=JARS, lake_uri=f"s3://{BUCKET}")
    (folder / "services" / "spark-local").mkdir(parents=True)
    program = PROJECT_ROOT / "tests" / "support" / "committing.py"
    running = [
        subprocess.Popen(
            submit_command(program, [uri, f"spark {number}", str(commits)], submit_conf(settings, 0, MASTER), MASTER),
            env=submit_environment() | environment(port),
        )
        for number in range(writers)
    ]
    return [process.wait() for process in running]


def rows_by_writer(uri: str) -> Counter[str]:
    return Counter(DeltaTable(uri).to_pyarrow_table(columns=["writer"])["writer"].to_pylist())


def test_spark_drivers_that_write_the_same_version_lose_no_commit(store: int, uri: str, tmp_path: Path) -> None:
    with disturbed(store, seconds=0.5) as slow:
        assert commit_by_spark(slow, uri, tmp_path, writers=2, commits=6) == [0, 0]
    assert rows_by_writer(uri) == {"spark 0": 6, "spark 1": 6}


def test_a_commit_whose_answer_is_lost_is_made_once(store: int, uri: str, tmp_path: Path) -> None:
    with disturbed(store, lost=2) as way:
        assert commit_by_spark(way, uri, tmp_path, writers=1, commits=3) == [0]
    assert rows_by_writer(uri) == {"spark 0": 3}


def replace_own(uri: str, writer: str, commits: int) -> None:
    """Replace the rows of a writer again and again, as each run does with its scores."""
    for number in range(commits):
        replace_rows(uri, pa.table({"writer": [writer], "number": [number]}), f"writer = '{writer}'")


def test_steps_in_python_that_write_at_once_lose_no_commit(
    store: int, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    with disturbed(store, seconds=0.1) as slow:
        monkeypatch.setenv("AWS_ENDPOINT_URL", environment(slow)["AWS_ENDPOINT_URL"])
        running = [
            started(replace_own, uri, f"step {number}", 8, settings=settings, output=tmp_path / f"{number}.log")
            for number in range(3)
        ]
        for process in running:
            process.join()
    assert [process.exitcode for process in running] == [0, 0, 0]
    monkeypatch.setenv("AWS_ENDPOINT_URL", environment(store)["AWS_ENDPOINT_URL"])
    rows = DeltaTable(uri).to_pyarrow_table().to_pylist()
    assert sorted((row["writer"], row["number"]) for row in rows) == [(f"step {number}", 7) for number in range(3)]
