"""Quality scores of batches.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    schema = context.config.attributes["settings"].warehouse_schema
    op.create_table(
        "etl_quality",
        sa.Column("batch_id", sa.Text(), nullable=False, comment="Batch, sortable by claim time"),
        sa.Column(
            "level", sa.Text(), nullable=False, comment="What was scored: overall, dimension, column, rule"
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="Which dimension, column or rule; overall for the overall score",
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Airflow run of the batch"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="drop (files) or rebuild (invoice days from Bronze)"
        ),
        sa.Column(
            "scored_at", sa.DateTime(timezone=True), nullable=False, comment="When the batch was audited"
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="Verdict on the batch: passed, held, released, nothing_to_score",
        ),
        sa.Column(
            "weight",
            sa.Double(),
            nullable=True,
            comment="What the overall score loses if every row fails; of rules",
        ),
        sa.Column(
            "failing",
            sa.BigInteger(),
            nullable=True,
            comment="Rows that fail the rule; for the overall score the quarantined rows",
        ),
        sa.Column(
            "rows",
            sa.BigInteger(),
            nullable=True,
            comment="Rows looked at; for the overall score all that came in",
        ),
        sa.Column(
            "score", sa.Double(), nullable=True, comment="0 to 1; null if there was no row to look at"
        ),
        sa.Column(
            "cost", sa.Double(), nullable=True, comment="What it took off the overall score; of rules"
        ),
        sa.Column("bar", sa.Double(), nullable=False, comment="Overall score the batch had to reach"),
        sa.CheckConstraint("failing BETWEEN 0 AND rows", name=op.f("ck_etl_quality_failing_range")),
        sa.CheckConstraint("kind IN ('drop', 'rebuild')", name=op.f("ck_etl_quality_kind")),
        sa.CheckConstraint(
            "level IN ('overall', 'dimension', 'column', 'rule')", name=op.f("ck_etl_quality_level")
        ),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_etl_quality_score_range")),
        sa.CheckConstraint(
            "status IN ('passed', 'held', 'released', 'nothing_to_score')",
            name=op.f("ck_etl_quality_status"),
        ),
        sa.PrimaryKeyConstraint("batch_id", "level", "name", name=op.f("pk_etl_quality")),
        schema=schema,
        comment="Quality scores of batches: overall, and by dimension, column and rule",
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("etl_quality", schema=context.config.attributes["settings"].warehouse_schema)
