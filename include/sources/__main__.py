"""Reads source files and prints what was decided about them and what is wrong with them, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer

from include.sources.compression import UnpackLimits
from include.sources.dates import DateSetting
from include.sources.defects import DEFECTS, shortened
from include.sources.model import SourceRejected
from include.sources.staging import MAX_LINE_BYTES, stage_file
from include.sources.zip_archive import unpack

_SHOWN = 20

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _sources(path: Path, folder: Path) -> list[tuple[Path, str]]:
    """Return a file and its name, or those of the files in an archive, unpacked into `folder`."""
    try:
        members = unpack(path, folder, UnpackLimits())
    except (SourceRejected, OSError):  # which describing it will tell
        members = None
    return [(path, path.name)] if members is None else [(folder / name, f"{path.name}/{name}") for name in members]


def describe(path: Path, name: str, out: Path, date_order: DateSetting, max_line_bytes: int) -> dict[str, Any]:
    """Stage one file and return an account of it that can be written as JSON.

    Args:
        path: Source file.
        name: Its name as dropped.
        out: Parquet file to make.
        date_order: As for `stage_file`.
        max_line_bytes: As for `stage_file`.
    """
    try:
        reading = stage_file(path, name, out, date_order=date_order, max_line_bytes=max_line_bytes)
    except (SourceRejected, OSError) as error:
        rejection = vars(error) if isinstance(error, SourceRejected) else {"code": "unreadable", "problem": str(error)}
        return {"file": name, "rejected": rejection}
    return {"file": name, **reading.model_dump(mode="json"), "defective_records": _defective(out)}


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


@app.command(help=(__doc__ or "").splitlines()[0])
def main(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="source files")],
    out: Annotated[Path | None, typer.Option(help="keep the staged Parquet files in this folder")] = None,
    date_order: Annotated[DateSetting, typer.Option(help="how to read dates that may be either")] = "auto",
    max_line_bytes: Annotated[int, typer.Option(help="longest line that is read")] = MAX_LINE_BYTES,
) -> None:
    """Describe files as JSON; the exit code is 1 if one was rejected."""
    with TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        accounts = [
            describe(source, name, folder / f"{name.replace('/', '!')}.parquet", date_order, max_line_bytes)
            for number, path in enumerate(files)
            for source, name in _sources(path, Path(scratch) / f"members-{number}")
        ]
    print(json.dumps(accounts, indent=2, ensure_ascii=False))
    raise typer.Exit(any("rejected" in account for account in accounts))


if __name__ == "__main__":
    app()
