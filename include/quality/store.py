"""Small Delta tables of the audit: rows are replaced in one commit, also by several runs at once."""

from __future__ import annotations

import logging
import random
import time

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError

log = logging.getLogger(__name__)

MAX_CONFLICTS = 20
MAX_FILES = 64
"""Each batch adds a file or two; a table of more files is compacted, so that reading takes milliseconds."""


def replace_rows(uri: str, rows: pa.Table, predicate: str) -> None:
    """Replace the rows that match `predicate` by `rows`, in one commit; the first call makes the Delta table.

    Raises:
        deltalake.exceptions.CommitFailedError: If other runs committed first `MAX_CONFLICTS` times.
    """
    for attempt in range(1, MAX_CONFLICTS + 1):
        try:
            write_deltalake(uri, rows, mode="overwrite", predicate=predicate)
            break
        except CommitFailedError:
            if attempt == MAX_CONFLICTS:
                raise
            log.info("Another run wrote to %s first; attempt %d", uri, attempt + 1)
            time.sleep(random.uniform(0.01, 0.05) * attempt)
    _compact(DeltaTable(uri))


def _compact(table: DeltaTable) -> None:
    if len(table.file_uris()) <= MAX_FILES:
        return
    try:
        table.optimize.compact()
    except CommitFailedError:
        log.info("Another run writes to %s; a later one will compact it", table.table_uri)


def existing_table(uri: str) -> DeltaTable | None:
    """Return the Delta table at `uri`, None if nothing was written there yet."""
    try:
        return DeltaTable(uri)
    except TableNotFoundError:
        return None
