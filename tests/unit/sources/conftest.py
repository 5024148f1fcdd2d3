from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.sources.model import SourceRejected
from include.sources.staging import stage_file
from tests.support.source_files import Reject, Stage, Staged


def _file(folder: Path, content: str | bytes | Path, name: str) -> Path:
    if isinstance(content, Path):
        return content
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Stage content under a name; the staged file is all that may be left behind."""

    def run(content: str | bytes | Path, name: str = "sales.csv", **options: Any) -> Staged:
        path = _file(tmp_path, content, name)
        out = tmp_path / "staged" / "out.parquet"
        reading = stage_file(path, path.name, out, **options)
        rows = pq.read_table(out).to_pylist()
        assert [entry.name for entry in out.parent.iterdir()] == ["out.parquet"]
        assert reading.rows == len(rows)
        assert sum(reading.defects.values()) == sum(row["defect"] is not None for row in rows)
        return Staged(reading, rows)

    return run


@pytest.fixture
def rejection(tmp_path: Path) -> Reject:
    """Stage content that must be rejected; nothing may be left behind."""

    def run(content: str | bytes | Path, name: str = "sales.csv", **options: Any) -> SourceRejected:
        path = _file(tmp_path, content, name)
        out = tmp_path / "staged" / "out.parquet"
        with pytest.raises(SourceRejected) as caught:
            stage_file(path, path.name, out, **options)
        assert not out.parent.exists() or list(out.parent.iterdir()) == []
        assert "{" not in caught.value.problem + caught.value.remedy
        return caught.value

    return run
