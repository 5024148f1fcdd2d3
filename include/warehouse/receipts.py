"""Receipts in the warehouse: one row a run."""

from __future__ import annotations

from sqlalchemy import Connection, Engine

from include.receipts.model import Receipt
from include.warehouse.connection.engine import transaction
from include.warehouse.schema.portable import upsert
from include.warehouse.schema.tables import star_table

_SUMMARY = (
    "run_id",
    "batch_id",
    "kind",
    "status",
    "started_at",
    "finished_at",
    "rows_in",
    "rows_loaded",
    "rows_duplicate",
    "rows_already_seen",
    "amount_in",
    "amount_loaded",
    "amount_duplicate",
    "amount_quarantined",
    "amount_already_seen",
)


def save_receipt(engine: Engine, receipt: Receipt) -> None:
    """Write the receipt of a run, replacing what an earlier attempt of the run wrote.

    Raises:
        ReceiptUnbalanced: If rows or money of the receipt do not balance.
        WarehouseUnavailable: If the server cannot be reached.
    """
    receipt.check()
    with transaction(engine) as connection:
        write_receipt(connection, receipt)


def write_receipt(connection: Connection, receipt: Receipt) -> None:
    """Write a receipt that balances, on either side of the warehouse."""
    table = star_table("etl_receipt")
    values = receipt.model_dump(include=set(_SUMMARY)) | {
        "rows_quarantined": sum(receipt.rows_quarantined.values()),
        "document": receipt.model_dump(mode="json"),
    }
    upsert(connection, table, values)
