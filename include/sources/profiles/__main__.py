"""Shows what would become of a file; of one whose layout is not declared, proposes a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from include.domain.money import readable
from include.settings import get_settings
from include.sources.profiles.preview import Preview, preview_file
from include.sources.profiles.proposal import Proposal
from include.sources.profiles.wording import UNDECIDED

_WIDTH = 140
"""Characters of a table that is not printed on a terminal."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=(__doc__ or "").splitlines()[0])
def main(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="source file")],
    write: Annotated[bool, typer.Option("--write", help="keep a proposed profile in the folder of profiles")] = False,
) -> None:
    """Print layout, lines, sums and what is left out; the exit code is 1 if nothing of the file would be loaded."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    try:
        settings = get_settings()
        found = preview_file(file, file.name, settings)
    except (ValidationError, OSError) as error:
        console.print(str(error))
        raise typer.Exit(1) from error
    if found.proposal is not None:
        console.print(found.proposal.text, end="\n")
    else:
        console.print(_layout(found))
    _print_lines(console, found)
    if found.proposal is not None:
        _print_questions(console, found.proposal)
        if write:
            console.print(_written(found.proposal, settings.profiles))
    raise typer.Exit(not found.lines)


def _layout(found: Preview) -> str:
    if found.layout == "profile":
        return f"{found.file} has the layout of profile {found.profile}."
    if found.layout == "usual names":
        return f"{found.file} needs no profile: its columns have the usual names."
    return f"No table of lines was found in {found.file} for which a profile could be proposed."


def _print_lines(console: Console, found: Preview) -> None:
    if found.refusal is not None:
        line = f" (line {found.refusal.line})" if found.refusal.line is not None else ""
        console.print(f"Refused: {found.refusal.problem}{line} {found.refusal.remedy}")
    if found.lines:
        table = Table(title=f"The first {len(found.lines)} lines as they would be loaded")
        for name in type(found.lines[0]).model_fields:
            table.add_column(
                name.replace("_", " "), justify="right" if name in {"quantity", "price", "amount"} else "left"
            )
        for one in found.lines:
            shown = one.model_dump() | {"amount": readable(one.amount)}
            table.add_row(*(str(value) if value is not None else "" for value in shown.values()))
        wide = Console(markup=False, highlight=False, width=None if console.is_terminal else _WIDTH)
        wide.print(table)
    for total in found.sums:
        console.print(f"Sum: {total.currency} {readable(total.amount)} of {total.lines:,} lines")
    for code, count in found.kept_out.items():
        console.print(f"Kept out: {count:,} rows, {code}")
    if found.decisions is not None:
        for left in found.decisions.left_out:
            console.print(
                f"Left out: {left.count:,} x {left.what}, the first in line {left.first_line}: {left.example}"
            )
        for warning in found.decisions.warnings:
            console.print(f"Note: {warning}")


def _print_questions(console: Console, proposal: Proposal) -> None:
    if proposal.needed:
        console.print(f"To be decided before this profile reads a file (then take {UNDECIDED} out of it):")
    for question in proposal.needed:
        console.print(f"- {question}")
    if proposal.doubts:
        console.print("To be checked:")
    for question in proposal.doubts:
        console.print(f"- {question}")


def _written(proposal: Proposal, folder: Path) -> str:
    """Write a profile, unless there is a file of its name; return what was done."""
    path = folder / f"{proposal.name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(proposal.text)
    except FileExistsError:
        return f"Not written: {path} exists."
    return f"Written: {path}"


if __name__ == "__main__":
    app()
