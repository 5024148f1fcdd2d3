"""Two sides of one truth: PostgreSQL and the SQLite replica, both made from Gold.

Other packages import from here alone. `docs/failover.md` describes the states and who decides.
"""

from include.failover.catching_up import CaughtUp, catch_up
from include.failover.figures import Figures, Scope, gold_figures, member_hashes, side_figures
from include.failover.integrity import IntegrityReport, check_integrity
from include.failover.published import Publication, known_batches
from include.failover.publishing import apply_refused, discard_refused, publish
from include.failover.reads import Answer, Warehouse, read, serving_side
from include.failover.receipts import receipts_on_disk, record_receipt
from include.failover.repair import Comparison, Repaired, compare_sides, days_with_facts, repair
from include.failover.replica.building import Refreshed
from include.failover.replica.file import ReplicaUnusable, put_replica_in_place, replica_link, replica_state
from include.failover.replica.schema import REPLICA_TABLES, schema_version, unknown_member
from include.failover.sides import SIDES, open_side
from include.failover.standby import REPLICA_ERRORS, ReplicaUpdate, refresh_replica, replica_of, update_replica
from include.failover.state import Breaker, FailoverState, Side, StateFile, locked
from include.failover.status import Status, status

__all__ = [
    "REPLICA_ERRORS",
    "REPLICA_TABLES",
    "SIDES",
    "Answer",
    "Breaker",
    "CaughtUp",
    "Comparison",
    "FailoverState",
    "Figures",
    "IntegrityReport",
    "Publication",
    "Refreshed",
    "Repaired",
    "ReplicaUnusable",
    "ReplicaUpdate",
    "Scope",
    "Side",
    "StateFile",
    "Status",
    "Warehouse",
    "apply_refused",
    "catch_up",
    "check_integrity",
    "compare_sides",
    "days_with_facts",
    "discard_refused",
    "gold_figures",
    "known_batches",
    "locked",
    "member_hashes",
    "open_side",
    "publish",
    "put_replica_in_place",
    "read",
    "receipts_on_disk",
    "record_receipt",
    "refresh_replica",
    "repair",
    "replica_link",
    "replica_of",
    "replica_state",
    "schema_version",
    "serving_side",
    "side_figures",
    "status",
    "unknown_member",
    "update_replica",
]
