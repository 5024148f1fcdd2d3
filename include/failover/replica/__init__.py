"""The replica: the star in a local SQLite file, made from Gold, that takes the place of PostgreSQL while it is away."""

from include.failover.replica.building import Refreshed, refresh
from include.failover.replica.changing import apply_batch, replace_days, report_of, store_receipts
from include.failover.replica.file import (
    BUSY_SECONDS,
    ReplicaState,
    ReplicaUnusable,
    damage,
    damaged_pages,
    fresh_path,
    put_replica_in_place,
    reading,
    replica_link,
    replica_state,
)
from include.failover.replica.schema import REPLICA_TABLES, schema_version, unknown_member

__all__ = [
    "BUSY_SECONDS",
    "REPLICA_TABLES",
    "Refreshed",
    "ReplicaState",
    "ReplicaUnusable",
    "apply_batch",
    "damage",
    "damaged_pages",
    "fresh_path",
    "put_replica_in_place",
    "reading",
    "refresh",
    "replace_days",
    "replica_link",
    "replica_state",
    "report_of",
    "schema_version",
    "store_receipts",
    "unknown_member",
]
