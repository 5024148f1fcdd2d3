"""Reads source files and prints what was decided about them and what is wrong with them, as JSON.

Usage: python -m include.sources FILE... [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from include.sources.defects import DEFECTS, shortened
from include.sources.model import SourceRejected
from include.sources.staging import MAX_LINE_BYTES, stage_file
from include.sources.style import DateSetting

_SHOWN = 20


def describe(path: Path, out: Path, date_order: DateSetting, max_line_bytes: int) -> dict[str, Any]:
    """Stage one file and return an account of it that can be written as JSON.

    Args:
        path: Source file.
        out: Parquet file to make.
        date_order: As for `stage_file`.
        max_line_bytes: As for `stage_file`.
    """
    try:
        reading = stage_file(path, path.name, out, date_order=date_order, max_line_bytes=max_line_bytes)
    except (SourceRejected, OSError) as error:
        rejection = vars(error) if isinstance(error, SourceRejected) else {"code": "unreadable", "problem": str(error)}
        return {"file": str(path), "rejected": rejection}
    return {"file": str(path), **reading.model_dump(mode="json"), "defective_records": _defective(out)}


def _defective(staged: Path) -> list[dict[str, Any]]:
    """Return the first defective records of a staged file with what to do about them."""
    found: list[dict[str, Any]] = []
    for batch in pq.ParquetFile(staged).iter_batches(columns=["line_number", "page", "defect", "raw"]):
        for row in batch.to_pylist():
            if row["defect"] is not None and len(found) < _SHOWN:
                defect = DEFECTS[row["defect"]]
                sentences = {"problem": defect.problem, "remedy": defect.remedy}
                found.append({**row, "raw": shortened(row["raw"] or ""), **sentences})
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Describe the files named on the command line; return 1 if one was rejected."""
    parser = argparse.ArgumentParser(prog="python -m include.sources", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep the staged Parquet files in this folder")
    parser.add_argument("--date-order", choices=("auto", "day_first", "month_first"), default="auto")
    parser.add_argument("--max-line-bytes", type=int, default=MAX_LINE_BYTES, metavar="BYTES")
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        accounts = [
            describe(path, folder / f"{path.name}.parquet", options.date_order, options.max_line_bytes)
            for path in options.files
        ]
    json.dump(accounts, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return int(any("rejected" in account for account in accounts))


if __name__ == "__main__":
    sys.exit(main())
