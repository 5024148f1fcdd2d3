"""Command line of the search: `python -m include.search --help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from include.runs.records import IndexRecord
from include.search.entities import SearchUnavailable
from include.search.index import bring_up_to_date, index_status
from include.settings import Settings, get_settings

ACTIONS = {
    "status": "show the server, the index and what is pending",
    "catch-up": "bring the index up to the published lines",
    "rebuild": "make the whole index anew and switch to it",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        words: Without the program's name; those of the process if not given.

    Returns:
        0, or 1 if the index is not up to date or the settings are unusable.
    """
    parser = argparse.ArgumentParser(prog="python -m include.search", description="The product search.")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in ACTIONS.items():
        actions.add_parser(name, help=text)
    arguments = parser.parse_args(words)
    try:
        settings = get_settings()
        if arguments.action == "status":
            return _status(settings)
        record = bring_up_to_date(settings, arguments.action, rebuild=arguments.action == "rebuild")
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            print(problem["msg"].removeprefix("Value error, "), file=sys.stderr)
        return 1
    print(_told(record))
    return 0 if record.status == "indexed" else 1


def _status(settings: Settings) -> int:
    try:
        status = index_status(settings)
    except SearchUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(status.model_dump(mode="json"), indent=2))
    return 0 if status.collection and status.pending is None else 1


def _told(record: IndexRecord) -> str:
    if record.status != "indexed":
        return f"{record.status}: {record.reason}"
    made = "rebuilt" if record.rebuilt else "brought up to date"
    return (
        f"{record.collection} {made} in {record.seconds:.1f} s: {record.documents:,} documents, "
        f"{record.upserted:,} written, {record.removed:,} removed, {record.embedded:,} vectors computed"
    )


if __name__ == "__main__":
    sys.exit(main())
