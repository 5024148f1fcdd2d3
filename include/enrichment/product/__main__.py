"""Says what descriptions of products are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from include.enrichment.product.training import train

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def commands() -> None:
    """Says what descriptions of products are."""


@app.command()
def classify(descriptions: Annotated[list[str], typer.Argument()]) -> None:
    """Print one JSON object a description."""
    for description, facts in zip(descriptions, train().classify(descriptions), strict=True):
        print(json.dumps({"description": description, **asdict(facts)}, ensure_ascii=False))


if __name__ == "__main__":
    app()
