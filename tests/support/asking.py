"""A process of its own that asks the fake services.

Usage: python -m tests.support.asking SETTINGS SERVICE PATH...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from include.enrichment.client import ServiceClient
from include.enrichment.service import Service, ServiceUnavailable
from include.settings import Settings


def main(settings_json: str, service_json: str, *paths: str) -> None:
    """Ask for each path; print the reason code (or "ok") of each, and the metrics."""
    values = json.loads(settings_json)
    settings = Settings(_env_file=None, **{**values, "data_dir": Path(values["data_dir"])})
    outcomes = []
    with ServiceClient(settings, Service(**json.loads(service_json))) as client:
        for path in paths:
            outcome = "ok"
            try:
                client.get(path, TypeAdapter(object))
            except ServiceUnavailable as unavailable:
                outcome = unavailable.reason
            outcomes.append(outcome)
        print(json.dumps({"outcomes": outcomes, "metrics": client.metrics().model_dump()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
