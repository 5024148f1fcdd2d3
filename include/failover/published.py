"""Which batches were published, by all that is known of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from pydantic import Field, ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, Uuid, any_, inspect, literal, select, text
from sqlalchemy.dialects import postgresql

from include.failover import replica
from include.failover.replica.file import ReplicaUnusable
from include.failover.state import Side, StateFile
from include.runs.folder import RunFolder, RunRecordMissing
from include.settings import Settings
from include.warehouse import (
    FACT,
    SQLITE,
    STATEMENT_TIMEOUT_SECONDS,
    GoldBatch,
    GoldStar,
    PublishReport,
    error_text,
    gold_batch,
    primary_failed,
    recorded_batches,
    star_table,
    transaction,
    watched_engine,
)

log = logging.getLogger(__name__)

PUBLISH_LIMIT_SECONDS = STATEMENT_TIMEOUT_SECONDS + 60


class Publication(PublishReport):
    """What a publish did, and on which side.

    Attributes:
        warehouse: The side that has the batch and serves it.
        primary_seconds: How long the primary took.
        replica_seconds: How long the replica took, if the primary could not take the batch or `with_replica` was used.
        warnings: Sentences worth reading.
    """

    warehouse: Side = "primary"
    primary_seconds: float = 0.0
    replica_seconds: float = 0.0
    warnings: list[str] = Field(default_factory=list)

    def with_replica(self, warnings: list[str], seconds: float) -> Publication:
        """Return what the publish and the update of the replica after it did."""
        return self.model_copy(
            update={"replica_seconds": self.replica_seconds + seconds, "warnings": [*self.warnings, *warnings]}
        )

    def report(self) -> PublishReport:
        """Return the report alone."""
        return PublishReport.model_validate(self.model_dump(include=set(PublishReport.model_fields)))


LOOKED_UP_FACTS = 50_000
"""Facts that a side is asked for at a time."""


def owners_on(connection: Connection, sale_ids: Sequence[str]) -> dict[str, str]:
    """Return those of some facts that a side has, by sale id (hex), with the batch it has each from."""
    fact = star_table(FACT)
    found: dict[str, str] = {}
    for start in range(0, len(sale_ids), LOOKED_UP_FACTS):
        ids = sale_ids[start : start + LOOKED_UP_FACTS]
        if connection.dialect.name == SQLITE:
            held: ColumnElement[bool] = fact.c.sale_id.in_(
                text("SELECT value FROM json_each(:ids)").bindparams(ids=json.dumps(ids))
            )
        else:
            held = fact.c.sale_id == any_(literal([UUID(sale_id) for sale_id in ids], postgresql.ARRAY(Uuid)))
        for sale_id, batch_id in connection.execute(select(fact.c.sale_id, fact.c.batch_id).where(held)):
            found[sale_id.hex] = batch_id
    return found


def assign_owners(
    gold: GoldStar, reports: Mapping[str, PublishReport], owners: Callable[[Sequence[str]], Mapping[str, str]]
) -> frozenset[str]:
    """Let Gold name the batches that a side has its facts from; return what was never published.

    Args:
        gold: Opened; names batches as it will after the publishes to come.
        reports: The published batches.
        owners: Returns, of some facts of batches that were not published, those that are live all the same.

    Returns:
        Groups of facts, as `batch_id:date_key`.
    """
    gold.assign({})
    unpublished = gold.unpublished(reports)
    if live := owners(gold.ids_of(unpublished)) if unpublished else {}:
        gold.assign(live)
        unpublished = gold.unpublished(reports)
    return unpublished


def has_tables(settings: Settings, engine: Engine) -> bool:
    """Return whether the primary was ever migrated."""
    return inspect(engine).has_table("etl_batch", schema=settings.warehouse_schema)


def _batch_of(settings: Settings, report: PublishReport) -> GoldBatch:
    """Return what Gold knows of a published batch, from its run's records if they are kept."""
    try:
        batch = gold_batch(RunFolder(settings, report.run_id))
    except (RunRecordMissing, ValueError):
        batch = None
    if batch is not None and batch.token == report.token:
        return batch
    return GoldBatch(
        batch_id=report.batch_id,
        run_id=report.run_id,
        kind=report.kind,
        token=report.token,
        days=report.rebuilt_days,
    )


def known_batches(settings: Settings, primary: Connection | None = None) -> dict[str, PublishReport]:
    """Return every batch that was published, by what the runs, the replica and the primary remember of it.

    A batch that was set aside counts as not published, though the replica may have served it before.
    """
    found: dict[str, PublishReport] = {}
    for path in (settings.data_dir / "runs").glob("*/stages/publish.json"):
        try:
            report = Publication.model_validate_json(path.read_bytes()).report()
        except ValidationError:
            log.warning("%s was written by an earlier version, or is damaged; what the sides recorded has to do.", path)
            continue
        found[report.batch_id] = report
    try:
        with replica.reading(settings) as connection:
            found |= recorded_batches(connection)
    except ReplicaUnusable as error:
        log.info("%s", error)
    if primary is not None:
        found |= recorded_batches(primary)
    for batch_id in StateFile(settings).read().refused():
        found.pop(batch_id, None)
    return dict(sorted(found.items(), key=lambda item: (item[1].published_at, item[0])))


def forget_publication(settings: Settings, run_id: str) -> None:
    """Delete what a run has recorded of its publish, which is no longer so."""
    (RunFolder(settings, run_id).path / "stages" / "publish.json").unlink(missing_ok=True)


def primary_batches(settings: Settings) -> dict[str, PublishReport] | None:
    """Return every published batch, with what the primary knows of them; None if it does not answer."""
    try:
        with watched_engine(settings, PUBLISH_LIMIT_SECONDS) as engine:
            if not has_tables(settings, engine):
                return None
            with transaction(engine) as connection:
                return known_batches(settings, connection)
    except Exception as error:
        if not primary_failed(error):
            raise
        log.warning("The published batches are listed without the primary: %s", error_text(error))
        return None
