"""Lists of invoice lines and single ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from include.failover import Answer, Warehouse
from include.warehouse import timed_out
from retail_api.data.cache import DataCache
from retail_api.data.sales import SalesRepository
from retail_api.domain.errors import NotFound, TooBusy, Unavailable
from retail_api.domain.paging import encode_cursor, pages_of
from retail_api.domain.sales import Sale, SaleCursor, SaleDetail, SalesPage, SalesQuery

SORTED_LINES = 50_000
"""Sorting more lines than this counts as heavy where no index helps."""

_RETRY_SECONDS = 2


class SalesService:
    """Reads invoice lines on the active side of the warehouse."""

    def __init__(self, warehouse: Warehouse, cache: DataCache, sorts: threading.BoundedSemaphore) -> None:
        """Take what is shared.

        Args:
            warehouse: Where the lines are.
            cache: What was read of the data before.
            sorts: Limits heavy sorts at a time, as each takes a core for a second or two.
        """
        self._warehouse = warehouse
        self._cache = cache
        self._sorts = sorts

    def page(self, query: SalesQuery) -> Answer[SalesPage]:
        """Return a page of the lines asked for.

        Raises:
            TooBusy: If as many heavy sorts as may run are running.
            Unavailable: If one takes too long.
            WarehouseUnavailable: If neither side answers.
        """

        def read(connection: Connection) -> SalesPage:
            sales = SalesRepository(connection, self._cache)
            selection = sales.select(query)
            cursor = query.position
            wanted = query.size + 1  # a line after the page means that there is another
            if cursor:
                rows = sales.after(selection, cursor, wanted)
            elif selection.total <= SORTED_LINES or selection.indexed(query.order):
                rows = sales.page(selection, query.order, query.offset, wanted)
            else:
                with self._heavy(selection.total):
                    rows = sales.page(selection, query.order, query.offset, wanted)
            items = [Sale.model_validate(dict(row)) for row in rows[: query.size]]
            more = len(rows) > query.size and query.by_time_alone
            return SalesPage(
                items=items,
                total=selection.total,
                page=None if cursor else query.page,
                size=query.size,
                pages=pages_of(selection.total, query.size),
                next_cursor=encode_cursor(_position(items[-1], query)) if more else None,
            )

        return self._warehouse.read(read)

    @contextmanager
    def _heavy(self, lines: int) -> Iterator[None]:
        """Sort many lines, beside few others; that it takes too long says nothing of the side that does it."""
        if not self._sorts.acquire(blocking=False):
            raise TooBusy(
                f"Other requests sort many lines. Try again in {_RETRY_SECONDS} seconds, or narrow the filters.",
                retry_seconds=_RETRY_SECONDS,
            )
        try:
            yield
        except DBAPIError as error:
            if not timed_out(error):
                raise
            raise Unavailable(
                f"To sort {lines:,} lines takes too long at the moment. Narrow the filters, or sort by invoice_date."
            ) from error
        finally:
            self._sorts.release()

    def one(self, sale_id: UUID) -> Answer[SaleDetail]:
        """Return one line.

        Raises:
            NotFound: If there is none of this id.
            WarehouseUnavailable: If neither side answers.
        """

        def read(connection: Connection) -> Any:
            row = SalesRepository(connection, self._cache).one(sale_id)
            return SaleDetail.model_validate(dict(row)) if row else None

        answer = self._warehouse.read(read)
        if answer.value is None:
            raise NotFound(f"There is no sale with id {sale_id}.", side=answer.side)
        return answer


def _position(last: Sale, query: SalesQuery) -> SaleCursor:
    return SaleCursor(before=query.order[0].descending, sold_at=last.invoice_date, id=last.id)
