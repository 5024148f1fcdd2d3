"""The data dictionary, written from the models: what every table, view and column of the warehouse means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import CheckConstraint, Column, Index, Table, make_url

from include.warehouse.schema.marts import MARTS, Mart
from include.warehouse.schema.tables import MODEL_SCHEMA, WarehouseTable

_DIALECT = make_url("postgresql+psycopg://").get_dialect()()
_ESCAPED_BAR = r"\|"

_HEAD = f"""# Data dictionary

Schema `{MODEL_SCHEMA}`. Made by `python -m include.operate dictionary > docs/data-dictionary.md` from the models in
`tables.py` and `marts.py` of `include/warehouse/schema`; the database holds the same words as comments.
"""


def data_dictionary() -> str:
    """Return the dictionary as Markdown."""
    sections = [_HEAD, *map(_table, WarehouseTable.metadata.tables.values()), *map(_mart, MARTS)]
    return "\n".join(sections).rstrip()


def _table(table: Table) -> str:
    rows = [
        (column.name, _type(column), "" if column.nullable else "yes", _key(column), column.comment or "")
        for column in table.columns
    ]
    checks = sorted(str(rule.sqltext) for rule in table.constraints if isinstance(rule, CheckConstraint))
    lines = [
        f"## {table.name}\n",
        f"{table.comment}.\n",
        *_rows(("column", "type", "required", "key", "meaning"), rows),
        *_listed("Checks", checks),
        *_listed("Indices", sorted(map(_index, table.indexes))),
    ]
    return "\n".join([*lines, ""])


def _mart(mart: Mart) -> str:
    rows = [(name, column.type, column.comment) for name, column in mart.columns.items()]
    return "\n".join(
        [f"## {mart.name} (view)\n", f"{mart.comment}.\n", *_rows(("column", "type", "meaning"), rows), ""]
    )


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for name, *cells in rows:
        yield f"| `{name}` | {' | '.join(cell.replace('|', _ESCAPED_BAR) for cell in cells)} |"


def _listed(title: str, values: list[str]) -> Iterator[str]:
    if values:
        yield f"\n{title}: " + "; ".join(f"`{value}`" for value in values) + "."


def _type(column: Column[object]) -> str:
    return column.type.compile(_DIALECT).lower().replace(", ", ",")


def _key(column: Column[object]) -> str:
    parts = ["primary"] if column.primary_key else []
    parts += ["unique"] if column.unique else []
    parts += [f"to {key.column.table.name}" for key in column.foreign_keys]
    if column.computed is not None:
        parts.append(f"computed: `{column.computed.sqltext}`")
    return ", ".join(parts)


def _index(index: Index) -> str:
    columns = f"({', '.join(column.name for column in index.columns)})"
    condition = index.dialect_options["postgresql"]["where"]
    return columns if condition is None else f"{columns} where {condition}"
