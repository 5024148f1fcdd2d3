"""Quality of batches: scores against a bar, release by hand, reports, drift."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from include.quality.findings import QualityRecord
from include.quality.holding import STAGE, NotReleased, held_batches, release_command
from include.quality.holding import release as release_run
from include.runs.folder import RunFolder, RunRecordMissing
from include.runs.records import BronzeRecord, SilverRecord
from include.settings import get_settings

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, rich_markup_mode=None)

RunId = Annotated[str, typer.Argument(help="Airflow run id")]


@contextmanager
def _errors_in_a_sentence() -> Iterator[None]:
    """Print an error that a person can mend, and end with exit code 1."""
    try:
        yield
    except (RunRecordMissing, NotReleased, ValueError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


@app.command()
@_errors_in_a_sentence()
def score(run_id: RunId) -> None:
    """Score a run's batch from the lake and print it as JSON; changes nothing."""
    from include.quality.audit import measure
    from include.quality.batch import open_batch

    run = RunFolder(get_settings(), run_id)
    manifest, bronze, silver = run.manifest(), run.stage("bronze", BronzeRecord), run.stage("silver", SilverRecord)
    with open_batch(run, manifest, bronze, silver) as connection:
        record, _ = measure(run, manifest, bronze, silver, connection, reports={})
    print(record.model_dump_json(indent=2))


@app.command()
@_errors_in_a_sentence()
def release(
    run_id: RunId,
    reason: Annotated[str, typer.Option(help="why it may be published; goes into record and receipt")],
    by: Annotated[str | None, typer.Option(help="who decides [default: the user of the operating system]")] = None,
) -> None:
    """Let a held batch be published, with a reason."""
    run = RunFolder(get_settings(), run_id)
    decision = release_run(run, reason, by if by is not None else _user())
    print(
        f"Run {run.run_id} is released by {decision.by} at a score of {decision.score:.4f}. "
        "Now clear its task audit, or let Airflow try it again."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise NotReleased("The operating system does not know this user: say with --by who decides.") from None


@app.command()
@_errors_in_a_sentence()
def report(run_id: RunId) -> None:
    """Write a run's HTML report again and print its path."""
    from include.quality.audit import HISTORY
    from include.quality.history import last_verdicts
    from include.quality.report import write_report

    settings = get_settings()
    run = RunFolder(settings, run_id)
    record = run.stage(STAGE, QualityRecord)
    print(settings.data_dir / write_report(run, record, last_verdicts(settings, HISTORY)))


@app.command()
def history(last: Annotated[int, typer.Option(min=1, help="how many")] = 20) -> None:
    """Print the scores of the last batches, oldest first."""
    from include.quality.history import last_verdicts

    settings = get_settings()
    verdicts = last_verdicts(settings, last)
    if not verdicts:
        print("No batch has been scored yet.")
        return
    print(f"{'audited (UTC)':<17}{'score':>8}{'bar':>8}{'rows in':>12}  {'verdict':<17}run")
    for item in verdicts:
        overall = "-" if item.overall is None else f"{item.overall:.4f}"
        numbers = f"{overall:>8}{item.bar:>8.4f}{item.rows:>12,}"
        print(f"{item.scored_at:%Y-%m-%d %H:%M} {numbers}  {item.status:<17}{item.run_id}")
    waiting = [release_command(run_id) for run_id in held_batches(settings).values()]
    if waiting:
        print("\nHeld until released:", *waiting, sep="\n")


if __name__ == "__main__":
    app()
