"""The folder watch: settled files in the landing folder become one asset event a scan.

An event is a hint, the folder is the truth: the claim task takes everything that is unclaimed, so an event that is
repeated or lost does no harm. Nothing is remembered across restarts for the same reason.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from include.files import write_atomically
from include.runs.bucket import fetch_new
from include.runs.landing import is_being_written, landing, signature, waiting_files
from include.settings import Settings, get_settings
from include.store import problem

log = logging.getLogger(__name__)

FETCH_SECONDS = 10.0
"""How often the object store of `RETAIL_LANDING_URI` is asked, as it may charge for each question."""

REPORT_AGAIN_SECONDS = 300.0
"""A file that is still unclaimed after this long is reported once more."""


class LandingFolderTrigger(BaseEventTrigger):
    """Fires when files of the landing folder have settled: unchanged in size and time over `settle_seconds`.

    The event's payload holds `ticket`, the path of a JSON file that lists the settled names.
    """

    def __init__(self, poll_seconds: float, settle_seconds: float) -> None:
        super().__init__()
        self.poll_seconds = poll_seconds
        self.settle_seconds = settle_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to build this trigger again."""
        return (
            "retail_watch.LandingFolderTrigger",
            {"poll_seconds": self.poll_seconds, "settle_seconds": self.settle_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Scan for ever; yield one event for the newly settled files of a scan."""
        settings = get_settings()
        unchanged_since: dict[str, tuple[tuple[int, int], float]] = {}
        reported: dict[str, float] = {}
        fetched_at = -FETCH_SECONDS
        while True:
            now = time.monotonic()
            if settings.landing_uri and now - fetched_at >= FETCH_SECONDS:
                await asyncio.to_thread(_fetch, settings)
                fetched_at = now
            try:
                present = await asyncio.to_thread(_signatures, settings)
            except OSError:
                # A folder that cannot be read now, such as a network share that is away, is looked at again.
                log.exception("The landing folder cannot be read; looking again in %s s", self.poll_seconds)
                present = {}
            unchanged_since = {
                name: (seen, unchanged_since[name][1])
                if name in unchanged_since and unchanged_since[name][0] == seen
                else (seen, now)
                for name, seen in present.items()
            }
            reported = {name: moment for name, moment in reported.items() if name in present}
            settled = [
                name
                for name, (_, since) in unchanged_since.items()
                if now - since >= self.settle_seconds
                and now - reported.get(name, -1e9) >= REPORT_AGAIN_SECONDS
                and not await asyncio.to_thread(is_being_written, landing(settings) / name)
            ]
            if settled:
                reported |= dict.fromkeys(settled, now)
                yield TriggerEvent({"ticket": await asyncio.to_thread(_write_ticket, settings, settled)})
            await asyncio.sleep(self.poll_seconds)


def _fetch(settings: Settings) -> None:
    try:
        for path in fetch_new(settings):
            log.info("Brought %s from %s", path.name, settings.landing_uri)
    except Exception as error:  # a store that is away now is asked again
        said = problem(settings, settings.landing_uri, "RETAIL_LANDING_URI", str(error))
        log.error("%s Trying again in %.0f s.", said, FETCH_SECONDS)


def _signatures(settings: Settings) -> dict[str, tuple[int, int]]:
    found = ((path.name, signature(path)) for path in waiting_files(settings))
    return {name: seen for name, seen in found if seen is not None}


def _write_ticket(settings: Settings, names: list[str]) -> str:
    ticket = settings.data_dir / "runs" / ".drops" / f"{uuid.uuid4().hex}.json"
    write_atomically(ticket, json.dumps({"files": names}))
    return str(ticket)
