"""Looks up exchange rates, countries or related words and prints answers and service metrics as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import typer

from include.enrichment.client import ServiceClient
from include.enrichment.country import facts, rest_countries_service
from include.enrichment.datamuse import datamuse_service, related_words
from include.enrichment.fx import exchange_rate_service, rates
from include.enrichment.service import Service
from include.settings import Settings, get_settings

app = typer.Typer(help=__doc__, add_completion=False, no_args_is_help=True, rich_markup_mode=None)


def _look_up(service: Callable[[Settings], Service], answers: Callable[[ServiceClient], Any]) -> None:
    """Print the answers that a client of a service gets, and the metrics of the service."""
    settings = get_settings()
    with ServiceClient(settings, service(settings)) as client:
        found = {"answers": answers(client), "service": client.metrics().model_dump()}
    print(json.dumps(found, indent=2, ensure_ascii=False))


@app.command()
def fx(days: Annotated[list[datetime], typer.Argument(formats=["%Y-%m-%d"], help="such as 2010-12-01")]) -> None:
    """Exchange rates of the base currency."""
    asked, base = [day.date() for day in days], get_settings().base_currency
    _look_up(
        exchange_rate_service, lambda client: [rate.model_dump(mode="json") for rate in rates(asked, client, base)]
    )


@app.command()
def country(names: Annotated[list[str], typer.Argument(help="as in invoices, such as EIRE")]) -> None:
    """Facts about countries."""
    _look_up(rest_countries_service, lambda client: [known.model_dump(mode="json") for known in facts(names, client)])


@app.command()
def related(words: Annotated[list[str], typer.Argument()]) -> None:
    """Related words."""
    _look_up(datamuse_service, lambda client: related_words(words, client))


if __name__ == "__main__":
    app()
