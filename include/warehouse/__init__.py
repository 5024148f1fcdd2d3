"""The star schema in PostgreSQL: connections, tables, publishing and administration.

Other packages import from here alone.
"""

from include.warehouse.audit_trail import AuditEntry, Outcome, save_entries
from include.warehouse.connection.configuration import masked, problems
from include.warehouse.connection.engine import (
    WarehouseMisconfigured,
    WarehouseUnavailable,
    advisory_lock,
    make_engine,
    open_engine,
    set_local,
    transaction,
    warehouse_url,
)
from include.warehouse.connection.heartbeat import Pulse, watched_engine
from include.warehouse.connection.liveness import (
    abort_connection,
    cut_after,
    error_text,
    lock_timed_out,
    lost_connection,
    primary_failed,
    primary_is_up,
    timed_out,
)
from include.warehouse.gold import GoldBatch, GoldStar, GoldUnreadable, gold_batch, stored
from include.warehouse.health import (
    ConnectionHealth,
    NewestBatch,
    connection_health,
    newest_batch_of,
    statistics,
    statistics_of,
)
from include.warehouse.publishing.batches import (
    Loaded,
    PublishError,
    PublishReport,
    newest_batch,
    record_batch,
    recorded_batches,
    recorded_batches_of,
)
from include.warehouse.publishing.facts import suspend_row_checks
from include.warehouse.publishing.loading import copy_picked, publish_batch, stage_picked
from include.warehouse.publishing.publish import STATEMENT_TIMEOUT_SECONDS, publish_lock_key, replace_days
from include.warehouse.publishing.staging import (
    KEPT,
    create_staging,
    jdbc_options,
    purge_staging,
    qualified_staging_table,
)
from include.warehouse.quality import save_scores, write_scores
from include.warehouse.queries import latest_sales, totals
from include.warehouse.receipts import save_receipt, write_receipt
from include.warehouse.schema.dictionary import data_dictionary
from include.warehouse.schema.migrations import (
    create_schemas,
    current_revision,
    downgrade,
    secure,
    upgrade,
)
from include.warehouse.schema.portable import SQLITE, places, rounded, rounded_product
from include.warehouse.schema.security import unsecured
from include.warehouse.schema.tables import (
    FACT,
    IS_CONVERTED,
    IS_PRODUCT,
    IS_SCALED_CONVERTED,
    IS_SCALED_PRODUCT,
    MODEL_SCHEMA,
    NAMING,
    ORIGINAL,
    PRODUCT,
    SCALED,
    STAR,
    UNKNOWN,
    loaded_columns,
    star_table,
)

__all__ = [
    "FACT",
    "IS_CONVERTED",
    "IS_PRODUCT",
    "IS_SCALED_CONVERTED",
    "IS_SCALED_PRODUCT",
    "KEPT",
    "MODEL_SCHEMA",
    "NAMING",
    "ORIGINAL",
    "PRODUCT",
    "SCALED",
    "SQLITE",
    "STAR",
    "STATEMENT_TIMEOUT_SECONDS",
    "UNKNOWN",
    "AuditEntry",
    "ConnectionHealth",
    "GoldBatch",
    "GoldStar",
    "GoldUnreadable",
    "Loaded",
    "NewestBatch",
    "Outcome",
    "PublishError",
    "PublishReport",
    "Pulse",
    "WarehouseMisconfigured",
    "WarehouseUnavailable",
    "abort_connection",
    "advisory_lock",
    "connection_health",
    "copy_picked",
    "create_schemas",
    "create_staging",
    "current_revision",
    "cut_after",
    "data_dictionary",
    "downgrade",
    "error_text",
    "gold_batch",
    "jdbc_options",
    "latest_sales",
    "loaded_columns",
    "lock_timed_out",
    "lost_connection",
    "make_engine",
    "masked",
    "newest_batch",
    "newest_batch_of",
    "open_engine",
    "places",
    "primary_failed",
    "primary_is_up",
    "problems",
    "publish_batch",
    "publish_lock_key",
    "purge_staging",
    "qualified_staging_table",
    "record_batch",
    "recorded_batches",
    "recorded_batches_of",
    "replace_days",
    "rounded",
    "rounded_product",
    "save_entries",
    "save_receipt",
    "save_scores",
    "secure",
    "set_local",
    "stage_picked",
    "star_table",
    "statistics",
    "statistics_of",
    "stored",
    "suspend_row_checks",
    "timed_out",
    "totals",
    "transaction",
    "unsecured",
    "upgrade",
    "warehouse_url",
    "watched_engine",
    "write_receipt",
    "write_scores",
]
