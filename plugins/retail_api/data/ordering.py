"""Text in the same order on both sides of the warehouse."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from include.warehouse import SQLITE


class by_code_point(FunctionElement[str]):  # noqa: N801 - it reads as a function of SQL
    """Text ordered by code point, whatever the collation of the server."""

    type = Text()
    inherit_cache = True


@compiles(by_code_point)
def _postgresql(element: by_code_point, compiler: Any, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)}) COLLATE "C"'


@compiles(by_code_point, SQLITE)
def _sqlite(element: by_code_point, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


def directed(column: ColumnElement[Any], descending: bool) -> ColumnElement[Any]:
    """Return a sort by `column`, nothing last."""
    return column.desc().nulls_last() if descending else column.asc().nulls_last()
