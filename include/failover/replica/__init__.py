"""The replica: the star in a local SQLite file, made from Gold, that takes the place of PostgreSQL while it is away."""

from include.failover.replica.building import refresh
from include.failover.replica.changing import apply_batch, replace_days, report_of, store_receipts
from include.failover.replica.file import (
    damage,
    damaged_pages,
    reading,
    replica_link,
)
from include.failover.replica.schema import REPLICA_TABLES, schema_version

__all__ = [
    "REPLICA_TABLES",
    "apply_batch",
    "damage",
    "damaged_pages",
    "reading",
    "refresh",
    "replace_days",
    "replica_link",
    "report_of",
    "schema_version",
    "store_receipts",
]
