"""The steps of a run after Gold, as one."""

from __future__ import annotations

from include import pipeline
from include.failover import Publication
from include.settings import Settings
from tests.support.batches import lines_of
from tests.support.lake import Lake


def publish(settings: Settings, run_id: str) -> Publication | None:
    """Publish a batch, then bring the replica up to it; return what publishing and the replica say."""
    publication = pipeline.publish(settings, run_id)
    update = pipeline.replicate(settings, run_id)
    return publication and publication.with_replica(update.warnings, update.seconds)


def one_drop(lake: Lake) -> None:
    """Publish forty lines."""
    publish(lake.settings, lake.drop(1, lines_of(40)))


def two_drops(lake: Lake) -> None:
    """Publish twice forty lines, with their receipts."""
    one_drop(lake)
    pipeline.receipt(lake.settings, "run_1")
    publish(lake.settings, lake.drop(2, lines_of(40, start=40)))
    pipeline.receipt(lake.settings, "run_2")
