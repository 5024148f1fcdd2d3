"""Lines in their own currency. The statements are in the SQL files beside this one.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from pathlib import Path

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HERE = Path(__file__).parent


def upgrade() -> None:
    """Add the line's own currency; what is there is in the base currency."""
    _run("0003_currencies.sql")


def downgrade() -> None:
    """Take it away.

    Raises:
        sqlalchemy.exc.DBAPIError: If a fact is in another currency.
    """
    _run("0003_currencies_down.sql")


def _run(name: str) -> None:
    settings = context.config.attributes["settings"]
    quoted = op.get_bind().dialect.identifier_preparer.quote_identifier(settings.warehouse_schema)
    statements = (HERE / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("{schema}", quoted).replace("{base}", settings.base_currency))
