from __future__ import annotations

from include.settings import PROJECT_ROOT
from include.warehouse.schema.dictionary import data_dictionary
from include.warehouse.schema.marts import MARTS
from include.warehouse.schema.tables import WarehouseTable


def test_the_committed_dictionary_is_current() -> None:
    committed = (PROJECT_ROOT / "docs" / "data-dictionary.md").read_text()
    assert committed == f"{data_dictionary()}\n", (
        "Run `python -m include.operate dictionary > docs/data-dictionary.md`."
    )


def test_the_dictionary_has_every_table_view_and_column() -> None:
    found = data_dictionary()
    for table in WarehouseTable.metadata.sorted_tables:
        assert f"## {table.name}\n" in found
        assert all(f"| `{column.name}` | " in found for column in table.columns)
    for mart in MARTS:
        assert f"## {mart.name} (view)\n" in found
        assert all(f"| `{name}` | {column.type} | {column.comment} |" in found for name, column in mart.columns.items())
