"""More decimal places, and lines that state their amount. The statements are in the SQL files beside this one.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Widen the columns; the views and computed columns that read them are made anew."""
    _run(_read("0002_exact_numbers.sql"))


def downgrade() -> None:
    """Narrow the columns.

    Raises:
        sqlalchemy.exc.DBAPIError: If a fact has more decimal places than there were.
    """
    baseline = _read("0001_baseline.sql")
    _run(_read("0002_exact_numbers_down.sql") + baseline[baseline.index("CREATE VIEW") :])


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _run(statements: str) -> None:
    schema: str = context.config.attributes["settings"].warehouse_schema
    quoted = op.get_bind().dialect.identifier_preparer.quote_identifier(schema)
    op.get_bind().exec_driver_sql(statements.replace("{schema}", quoted))
