"""The product search."""

from __future__ import annotations

import json

import typer
from pydantic import ValidationError

from include.search.entities import SearchUnavailable
from include.search.index import bring_up_to_date, index_status
from include.settings import Settings, get_settings

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.command()
def status() -> None:
    """Show the server, the index and what is pending; exit with 1 if the index is not up to date."""
    try:
        found = index_status(_settings())
    except SearchUnavailable as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    if not found.collection or found.pending:
        raise typer.Exit(1)


@app.command()
def catch_up() -> None:
    """Compare all products with the published lines and bring the index up to them; exit with 1 if that fails."""
    _bring_up_to_date("catch-up", rebuild=False)


@app.command()
def rebuild() -> None:
    """Make a new index and switch to it; exit with 1 if that fails."""
    _bring_up_to_date("rebuild", rebuild=True)


def _bring_up_to_date(action: str, *, rebuild: bool) -> None:
    record = bring_up_to_date(_settings(), action, rebuild=rebuild, compare_all=True)
    if record.status != "indexed":
        typer.echo(f"{record.status}: {record.reason}")
        raise typer.Exit(1)
    typer.echo(
        f"{record.collection} {'rebuilt' if record.rebuilt else 'brought up to date'} in {record.seconds:.1f} s: "
        f"{record.documents:,} documents, {record.upserted:,} written, {record.removed:,} removed, "
        f"{record.embedded:,} vectors computed"
    )


def _settings() -> Settings:
    try:
        return get_settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            typer.echo(problem["msg"].removeprefix("Value error, "), err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app(prog_name="python -m include.search")
