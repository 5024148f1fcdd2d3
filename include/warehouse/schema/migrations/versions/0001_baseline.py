"""All of the warehouse: tables, indices, unknown members, views. The statements are in `0001_baseline.sql`.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from pathlib import Path

from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

VIEWS = ("mart_daily_sales", "mart_country_sales", "mart_product_sales", "mart_customer_rfm")
TABLES = (
    "dim_country",
    "dim_date",
    "dim_invoice",
    "dim_product",
    "etl_audit",
    "etl_batch",
    "etl_quality",
    "etl_receipt",
    "dim_customer",
    "fact_sales",
)


def upgrade() -> None:
    """Make all of it."""
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(statements.replace("{schema}", _schema()))


def downgrade() -> None:
    """Drop all of it."""
    for view in VIEWS:
        op.execute(f"DROP VIEW {_schema()}.{view}")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {_schema()}.{table}")


def _schema() -> str:
    schema: str = context.config.attributes["settings"].warehouse_schema
    return op.get_bind().dialect.identifier_preparer.quote_identifier(schema)
