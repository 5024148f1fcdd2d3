"""The steps of a run after Gold, as one."""

from __future__ import annotations

from include import pipeline
from include.failover import Publication
from include.settings import Settings


def publish(settings: Settings, run_id: str) -> Publication | None:
    """Publish a batch, then bring replica and aggregates up to it; return what publishing and the replica say."""
    publication = pipeline.publish(settings, run_id)
    update = pipeline.replicate(settings, run_id)
    pipeline.aggregate(settings, run_id)
    return publication and publication.with_replica(update.warnings, update.seconds)
