"""Exchange rates and converted amounts of facts, facts of countries, categories of products, wider sums.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any, TypeAlias

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Column: TypeAlias = tuple[str, TypeEngine[Any], str]
"""Name, type and comment."""

CURRENCIES = {"usd": 2, "eur": 2, "cad": 2, "aud": 2, "jpy": 0}

COUNTRY: list[Column] = [
    ("is_country", sa.Boolean(), "Whether the name stands for a country or territory"),
    ("iso2", sa.Text(), "ISO 3166-1 alpha-2 code"),
    ("iso3", sa.Text(), "ISO 3166-1 alpha-3 code"),
    ("region", sa.Text(), "Region, such as Europe"),
    ("subregion", sa.Text(), "Subregion, such as Northern Europe"),
    ("continent", sa.Text(), "Continent"),
    ("population", sa.BigInteger(), "Inhabitants"),
    ("latitude", sa.Numeric(9, 6), "Degrees north"),
    ("longitude", sa.Numeric(9, 6), "Degrees east"),
    ("facts_source", sa.Text(), "Where the facts are from"),
    ("facts_missing", sa.Text(), "Why there are no facts"),
    ("enriched_at", sa.DateTime(), "When the facts were recorded, UTC"),
]

PRODUCT: list[Column] = [
    ("category", sa.Text(), "Category of goods; uncategorised if the model is not sure"),
    ("subcategory", sa.Text(), "Subcategory"),
    ("brand", sa.Text(), "Brand, licence or named line"),
    ("category_confidence", sa.Numeric(4, 3), "Confidence of the model, 0 to 1"),
    ("category_version", sa.Text(), "Version of the model that answered"),
    ("enriched_at", sa.DateTime(), "When the category was recorded, UTC"),
]

FACT: list[Column] = [
    ("fx_date", sa.Date(), "Day of the rates: the invoice day or the last one before"),
    ("fx_source", sa.Text(), "Where the rates are from"),
    ("fx_missing", sa.Text(), "Why there are no rates"),
]

CALENDAR = (
    "Calendar days that have at least one invoice line; day 0 is the unknown day",
    "Every day of the calendar years that have invoice lines; day 0 is the unknown day",
)
TOTALS = {
    "etl_batch": ["amount"],
    "etl_receipt": [
        f"amount_{name}" for name in ("in", "loaded", "duplicate", "quarantined", "already_seen")
    ],
}
"""Sums of GBP that become wider."""

DESCRIPTION = ("Latest description seen on a line", "Description on the latest line that has a price")


def upgrade() -> None:
    """Add the columns."""
    schema = context.config.attributes["settings"].warehouse_schema
    for table, columns in (("dim_country", COUNTRY), ("dim_product", PRODUCT), ("fact_sales", FACT)):
        for name, kind, comment in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True, comment=comment), schema=schema)
    for currency in CURRENCIES:
        comment = f"{currency.upper()} for one GBP"
        rate = sa.Column(f"rate_{currency}", sa.Numeric(18, 8), nullable=True, comment=comment)
        op.add_column("fact_sales", rate, schema=schema)
    for column in ("amount", "unit_price"):
        for currency, places in CURRENCIES.items():
            converted = sa.Column(
                f"{column}_{currency}",
                sa.Numeric(18, places),
                sa.Computed(f"round({column} * rate_{currency}, {places})", persisted=True),
                nullable=True,
                comment=f"{currency.upper()}, {column} at the line's rate, half up",
            )
            op.add_column("fact_sales", converted, schema=schema)
    for table, names in TOTALS.items():
        for name in names:
            op.alter_column(
                table, name, type_=sa.Numeric(38, 4), existing_type=sa.Numeric(20, 4), schema=schema
            )
    loaded: list[sa.Column[Any]] = [
        sa.Column(
            "facts_loaded",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="Staged facts that are live as this batch's",
        ),
        sa.Column(
            "amount_loaded",
            sa.Numeric(38, 4),
            nullable=False,
            server_default="0",
            comment="GBP, sum over the facts that are live as this batch's",
        ),
    ]
    for added in loaded:
        op.add_column("etl_batch", added, schema=schema)
    op.execute(
        f"UPDATE {schema}.etl_batch b SET facts_loaded = f.facts, amount_loaded = f.amount FROM "
        f"(SELECT batch_id, count(*) AS facts, sum(amount) AS amount FROM {schema}.fact_sales GROUP BY 1) f "
        "WHERE f.batch_id = b.batch_id"
    )
    for added in loaded:
        op.alter_column("etl_batch", added.name, server_default=None, schema=schema)
    known = op.f("ck_fact_sales_fx_known_or_missing")
    op.create_check_constraint(known, "fact_sales", "fx_date IS NULL OR fx_missing IS NULL", schema=schema)
    op.create_table_comment("dim_date", CALENDAR[1], existing_comment=CALENDAR[0], schema=schema)
    op.alter_column(
        "dim_product", "description", comment=DESCRIPTION[1], existing_comment=DESCRIPTION[0], schema=schema
    )


def downgrade() -> None:
    """Drop the columns."""
    schema = context.config.attributes["settings"].warehouse_schema
    for name in ("facts_loaded", "amount_loaded"):
        op.drop_column("etl_batch", name, schema=schema)
    for table, names in TOTALS.items():
        for name in names:
            op.alter_column(
                table, name, type_=sa.Numeric(20, 4), existing_type=sa.Numeric(38, 4), schema=schema
            )
    op.drop_constraint(op.f("ck_fact_sales_fx_known_or_missing"), "fact_sales", schema=schema, type_="check")
    computed = [f"{column}_{currency}" for column in ("amount", "unit_price") for currency in CURRENCIES]
    for name in [*computed, *[f"rate_{currency}" for currency in CURRENCIES], *[name for name, _, _ in FACT]]:
        op.drop_column("fact_sales", name, schema=schema)
    for table, columns in (("dim_country", COUNTRY), ("dim_product", PRODUCT)):
        for name, _, _ in columns:
            op.drop_column(table, name, schema=schema)
    op.create_table_comment("dim_date", CALENDAR[0], existing_comment=CALENDAR[1], schema=schema)
    op.alter_column(
        "dim_product", "description", comment=DESCRIPTION[0], existing_comment=DESCRIPTION[1], schema=schema
    )
