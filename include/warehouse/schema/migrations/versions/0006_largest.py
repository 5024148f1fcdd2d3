"""Lines by their amount, so that the largest and pages deep in such a list are read by an index.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import context, op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEX = "ix_fact_sales_amount_sold_at_sale_id"


def upgrade() -> None:
    """Make the index: about 50 MB and a second or two for a million lines."""
    schema = context.config.attributes["settings"].warehouse_schema
    op.create_index(op.f(INDEX), "fact_sales", ["amount", "sold_at", "sale_id"], unique=False, schema=schema)


def downgrade() -> None:
    """Drop the index."""
    schema = context.config.attributes["settings"].warehouse_schema
    op.drop_index(op.f(INDEX), table_name="fact_sales", schema=schema)
