"""Command line of the quality audit: `python -m include.quality --help`."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from include.quality.gate import STAGE, NotReleased, held_batches, release, release_command
from include.quality.record import QualityRecord
from include.runs.folder import RunFolder, RunRecordMissing
from include.runs.records import BronzeRecord, SilverRecord
from include.settings import Settings, get_settings
from include.sources.model import SourceRejected


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; those of the process if not given.

    Returns:
        0, or 1 after printing in one sentence what went wrong.
    """
    options = _parser().parse_args(arguments)
    action: Callable[[argparse.Namespace, Settings], str] = options.action
    try:
        print(action(options, get_settings()))
    except (RunRecordMissing, NotReleased, SourceRejected, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.quality",
        description="Quality of batches: scores against a bar, release by hand, reports, drift.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    scoring = actions.add_parser(
        "score", help="score a run's batch from the lake and print it as JSON; changes nothing"
    )
    scoring.add_argument("run_id", help="Airflow run id")
    scoring.set_defaults(action=_score)

    releasing = actions.add_parser("release", help="let a held batch be published, with a reason")
    releasing.add_argument("run_id", help="Airflow run id of the held run")
    releasing.add_argument("--reason", required=True, help="why it may be published; goes into record and receipt")
    releasing.add_argument("--by", help="who decides (default: the user of the operating system)")
    releasing.set_defaults(action=_release)

    reporting = actions.add_parser("report", help="write a run's HTML report anew and print its path")
    reporting.add_argument("run_id", help="Airflow run id")
    reporting.set_defaults(action=_report)

    listing = actions.add_parser("history", help="print the scores of the last batches, oldest first")
    listing.add_argument("--last", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    listing.set_defaults(action=_history)

    replaying = actions.add_parser(
        "drift-replay", help="count false alarms and found faults of the drift statistics, day by day over a file"
    )
    replaying.add_argument("file", type=Path, help="source file that spans many days")
    replaying.set_defaults(action=_replay)
    return parser


def _score(options: argparse.Namespace, settings: Settings) -> str:
    from include.quality.audit import measure
    from include.quality.batch import open_batch

    run = RunFolder(settings, options.run_id)
    manifest, bronze, silver = run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord)
    with open_batch(run, manifest, bronze, silver) as connection:
        record, _ = measure(run, manifest, bronze, silver, connection, reports={})
    return record.model_dump_json(indent=2)


def _release(options: argparse.Namespace, settings: Settings) -> str:
    run = RunFolder(settings, options.run_id)
    decision = release(run, options.reason, options.by if options.by is not None else _user())
    return (
        f"Run {run.run_id} is released by {decision.by} at a score of {decision.score:.4f}. "
        "Now clear its task audit, or let Airflow try it again."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise NotReleased("The operating system does not know this user: say with --by who decides.") from None


def _report(options: argparse.Namespace, settings: Settings) -> str:
    from include.quality.audit import HISTORY
    from include.quality.history import last_verdicts
    from include.quality.report import write_report

    run = RunFolder(settings, options.run_id)
    record = run.stage(STAGE, QualityRecord)
    return str(settings.data_dir / write_report(run, record, last_verdicts(settings, HISTORY)))


def _history(options: argparse.Namespace, settings: Settings) -> str:
    from include.quality.history import last_verdicts

    if options.last < 1:
        raise ValueError(f"The number of batches to show is {options.last}; it has to be 1 or more.")
    lines = [f"{'audited (UTC)':<17}{'score':>8}{'bar':>8}{'rows in':>12}  {'verdict':<17}run"]
    for item in last_verdicts(settings, options.last):
        score = "-" if item.overall is None else f"{item.overall:.4f}"
        numbers = f"{score:>8}{item.bar:>8.4f}{item.rows:>12,}"
        lines.append(f"{item.scored_at:%Y-%m-%d %H:%M} {numbers}  {item.status:<17}{item.run_id}")
    waiting = [release_command(run_id) for run_id in held_batches(settings).values()]
    if waiting:
        lines += ["", "Held until released:", *waiting]
    return "\n".join(lines) if len(lines) > 1 else "No batch has been scored yet."


def _replay(options: argparse.Namespace, _: Settings) -> str:
    from include.quality.drift import STATISTICS
    from include.quality.replay import replay

    outcome = replay(options.file)
    lines = [
        f"{outcome.days} invoice days, {outcome.compared} compared; percent of them beyond the bound:",
        "",
    ]
    names = ["any", *STATISTICS]
    widths = [max(len(name) + 2, 7) for name in names]
    width = max(len(rates.of) for rates in outcome.faults)
    lines.append(" " * width + "".join(f"{name:>{size}}" for name, size in zip(names, widths, strict=True)))
    for rates in (outcome.false_alarms, *outcome.faults):
        shares = [rates.any, *(rates.by_statistic[name] for name in STATISTICS)]
        cells = (f"{100 * share:{size}.1f}" for share, size in zip(shares, widths, strict=True))
        lines.append(f"{rates.of:<{width}}" + "".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
