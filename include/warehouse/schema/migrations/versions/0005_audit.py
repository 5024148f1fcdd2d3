"""Audit trail of the API.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    schema = context.config.attributes["settings"].warehouse_schema
    op.create_table(
        "etl_audit",
        sa.Column("audit_id", sa.Uuid(), nullable=False, comment="Identity of the entry"),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False, comment="When the request came"),
        sa.Column(
            "username",
            sa.Text(),
            nullable=False,
            comment="User of Airflow, or the name that was given; empty if none was",
        ),
        sa.Column(
            "method",
            sa.Text(),
            nullable=False,
            comment="How the user was proven: basic, jwt, session; empty if not",
        ),
        sa.Column("address", sa.Text(), nullable=False, comment="Where the request came from"),
        sa.Column(
            "action", sa.Text(), nullable=False, comment="HTTP method and route, such as POST /api/v1/files"
        ),
        sa.Column("target", sa.Text(), nullable=False, comment="Path and query of the request, as sent"),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="What became of it: done, refused, failed, unknown",
        ),
        sa.Column("status", sa.Integer(), nullable=True, comment="HTTP status of the answer"),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="Why it was refused; empty if it was not"
        ),
        sa.Column("correlation_id", sa.Text(), nullable=False, comment="Id of the request in the log"),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="What was changed: files, runs, parameters",
        ),
        sa.CheckConstraint(
            "outcome IN ('done', 'refused', 'failed', 'unknown')", name=op.f("ck_etl_audit_outcome")
        ),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_etl_audit")),
        schema=schema,
        comment="Audit trail of the API: every change asked for, every refused sign-in",
    )
    op.create_index(op.f("ix_etl_audit_occurred_at"), "etl_audit", ["occurred_at"], unique=False, schema=schema)
    op.create_index(
        op.f("ix_etl_audit_username_occurred_at"),
        "etl_audit",
        ["username", "occurred_at"],
        unique=False,
        schema=schema,
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("etl_audit", schema=context.config.attributes["settings"].warehouse_schema)
