"""A process of its own that asks the fake services.

Usage: python -m tests.integration.enrichment.asking SETTINGS SERVICE PATH...
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pydantic import TypeAdapter

from include.enrichment.client import ServiceClient
from include.enrichment.service import Service, ServiceUnavailable
from include.settings import Settings


def main(settings_json: str, service_json: str, *paths: str) -> None:
    """Ask for each path; print the reason code (or "ok") and the seconds of each, and the metrics."""
    values = json.loads(settings_json)
    settings = Settings(_env_file=None, **{**values, "data_dir": Path(values["data_dir"])})
    outcomes = []
    with ServiceClient(settings, Service(**json.loads(service_json))) as client:
        for path in paths:
            started = time.perf_counter()
            outcome = "ok"
            try:
                client.get(path, TypeAdapter(object))
            except ServiceUnavailable as unavailable:
                outcome = unavailable.reason
            outcomes.append((outcome, time.perf_counter() - started))
        print(json.dumps({"outcomes": outcomes, "metrics": client.metrics().model_dump()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
