"""Rows kept out of the warehouse, in the lake."""

from __future__ import annotations

from typing import Any

import duckdb

from include.quality.store import existing_table
from include.settings import Settings
from include.sources.defects import VALUE_LIMIT, shortened
from retail_api.domain.operations import QuarantineQuery

_COLUMNS = """batch_id, source_file, source_page, source_line, codes, invoice, stock_code, description, quantity,
    invoice_date, price, customer_id, country, line_amount, raw, currency, amount"""
_THREADS = 1
"""Requests share the machine with the pipeline."""


class QuarantineRepository:
    """Reads the Delta table of quarantined rows."""

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.table("silver", "quarantine")

    def page(self, query: QuarantineQuery) -> tuple[list[dict[str, Any]], int]:
        """Return rows of the newest batches first, in order of file and line, and how many there are on all pages."""
        table = existing_table(self._uri)
        if table is None:
            return [], 0
        wanted = {
            "batch_id = $batch": query.batch,
            "list_contains(codes, $code)": query.code,
            "source_file = $file": query.file,
        }
        conditions = [condition for condition, value in wanted.items() if value is not None]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        given = {name: value for name in ("batch", "code", "file") if (value := getattr(query, name)) is not None}
        with duckdb.connect(config={"threads": _THREADS}) as connection:
            connection.register("quarantine", table.to_pyarrow_dataset())
            counted = connection.execute(f"SELECT count(*) FROM quarantine {where}", given).fetchone()
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM quarantine {where} "
                "ORDER BY batch_id DESC, source_file, source_line, source_page LIMIT $size OFFSET $skipped",
                given | {"size": query.size, "skipped": query.offset},
            )
            names = [column[0] for column in found.description or []]
            rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        for row in rows:
            row["raw"] = None if row["raw"] is None else shortened(row["raw"], VALUE_LIMIT)
        return rows, counted[0] if counted else 0
