"""Looks up exchange rates, countries or related words and prints answers and service metrics as JSON.

Usage: python -m include.enrichment fx DAY... | country NAME... | related WORD...
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

from include.enrichment.client import ServiceClient
from include.enrichment.country import facts, rest_countries_service
from include.enrichment.datamuse import datamuse_service, related_words
from include.enrichment.fx import exchange_rate_service, rates
from include.settings import Settings, get_settings

_SERVICES = {"fx": exchange_rate_service, "country": rest_countries_service, "related": datamuse_service}


def look_up(settings: Settings, what: str, asked: Sequence[Any]) -> dict[str, Any]:
    """Return the answers and the metrics of the service as they go into JSON.

    Args:
        settings: Whether and where services may be asked.
        what: `fx`, `country` or `related`.
        asked: Days, country names or words.
    """
    with ServiceClient(settings, _SERVICES[what](settings)) as client:
        answers: Any
        if what == "fx":
            answers = [rate.model_dump(mode="json") for rate in rates(asked, client)]
        elif what == "country":
            answers = [known.model_dump(mode="json") for known in facts(asked, client)]
        else:
            answers = related_words(asked, client)
        return {"answers": answers, "service": client.metrics().model_dump()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Look up what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m include.enrichment", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    fx = commands.add_parser("fx", help="exchange rates from GBP")
    fx.add_argument("asked", nargs="+", type=date.fromisoformat, metavar="DAY", help="such as 2010-12-01")
    country = commands.add_parser("country", help="facts about countries")
    country.add_argument("asked", nargs="+", metavar="NAME", help="as in invoices, such as EIRE")
    related = commands.add_parser("related", help="related words")
    related.add_argument("asked", nargs="+", metavar="WORD")
    options = parser.parse_args(arguments)
    json.dump(look_up(get_settings(), options.what, options.asked), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
