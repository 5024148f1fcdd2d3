"""Lists of invoice lines and single ones."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from include.warehouse.failover import Answer, Warehouse
from retail_api.data.census import CensusTaker
from retail_api.data.sales import SalesRepository
from retail_api.domain.paging import encode_cursor, pages_of
from retail_api.domain.sales import Sale, SaleCursor, SaleDetail, SalesPage, SalesQuery
from retail_api.problems import Problem


class SalesService:
    """Reads invoice lines of whoever serves."""

    def __init__(self, warehouse: Warehouse, taker: CensusTaker) -> None:
        self._warehouse = warehouse
        self._taker = taker

    def page(self, query: SalesQuery) -> Answer[SalesPage]:
        """Return a page of the lines asked for.

        Raises:
            WarehouseUnavailable: If neither side answers.
        """

        def read(connection: Connection) -> SalesPage:
            sales = SalesRepository(connection, self._taker)
            selection = sales.select(query)
            cursor = query.position
            wanted = query.size + 1  # the line after the page tells whether there is another
            rows = (
                sales.after(selection, cursor, wanted)
                if cursor
                else sales.page(selection, query.order, query.offset, wanted)
            )
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

    def one(self, sale_id: UUID) -> Answer[SaleDetail]:
        """Return one line.

        Raises:
            Problem: 404 if there is none of this id.
            WarehouseUnavailable: If neither side answers.
        """

        def read(connection: Connection) -> Any:
            row = SalesRepository(connection, self._taker).one(sale_id)
            return SaleDetail.model_validate(dict(row)) if row else None

        answer = self._warehouse.read(read)
        if answer.value is None:
            raise Problem(404, f"There is no sale with id {sale_id}.", headers=answer.headers)
        return answer


def _position(last: Sale, query: SalesQuery) -> SaleCursor:
    return SaleCursor(before=query.order[0].descending, sold_at=last.invoice_date, id=last.id)
