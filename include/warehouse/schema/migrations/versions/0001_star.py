"""The star and the pipeline's own records, with the unknown members.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "dim_date",
    "dim_country",
    "dim_product",
    "dim_customer",
    "dim_invoice",
    "fact_sales",
    "etl_batch",
    "etl_receipt",
)


def upgrade() -> None:
    """Make the tables and their unknown members."""
    schema = context.config.attributes["settings"].warehouse_schema
    op.create_table(
        "dim_date",
        sa.Column(
            "date_key",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="yyyymmdd; 0 is the unknown day",
        ),
        sa.Column("full_date", sa.Date(), nullable=True, comment="The day; null for the unknown day"),
        sa.Column("year", sa.SmallInteger(), nullable=False, comment="Calendar year"),
        sa.Column("quarter", sa.SmallInteger(), nullable=False, comment="Quarter of the year, 1 to 4"),
        sa.Column("month", sa.SmallInteger(), nullable=False, comment="Month of the year, 1 to 12"),
        sa.Column("month_name", sa.Text(), nullable=False, comment="English name of the month"),
        sa.Column("day", sa.SmallInteger(), nullable=False, comment="Day of the month, 1 to 31"),
        sa.Column(
            "day_of_week", sa.SmallInteger(), nullable=False, comment="ISO day of the week, 1 is Monday"
        ),
        sa.Column("day_name", sa.Text(), nullable=False, comment="English name of the day of the week"),
        sa.Column("iso_week", sa.SmallInteger(), nullable=False, comment="ISO week of the year, 1 to 53"),
        sa.Column(
            "is_weekend", sa.Boolean(), nullable=False, comment="Whether the day is a Saturday or Sunday"
        ),
        sa.CheckConstraint(
            "date_key = 0 OR (full_date IS NOT NULL AND quarter BETWEEN 1 AND 4 AND month BETWEEN 1 AND 12 AND day BETWEEN 1 AND 31 AND day_of_week BETWEEN 1 AND 7 AND iso_week BETWEEN 1 AND 53)",
            name=op.f("ck_dim_date_ranges"),
        ),
        sa.CheckConstraint("date_key = year * 10000 + month * 100 + day", name=op.f("ck_dim_date_key")),
        sa.PrimaryKeyConstraint("date_key", name=op.f("pk_dim_date")),
        sa.UniqueConstraint("full_date", name=op.f("uq_dim_date_full_date")),
        schema=schema,
        comment="Calendar days that have at least one invoice line; day 0 is the unknown day",
    )
    op.create_table(
        "dim_country",
        sa.Column(
            "country_key",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="First 60 bits of SHA-256 of the country; 0 is the unknown country",
        ),
        sa.Column("country", sa.Text(), nullable=False, comment="Name of the country"),
        sa.CheckConstraint("country <> ''", name=op.f("ck_dim_country_country_not_empty")),
        sa.PrimaryKeyConstraint("country_key", name=op.f("pk_dim_country")),
        sa.UniqueConstraint("country", name=op.f("uq_dim_country_country")),
        schema=schema,
        comment="Countries invoices were made out to",
    )
    op.create_table(
        "dim_product",
        sa.Column(
            "product_key",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="First 60 bits of SHA-256 of the stock code; 0 is the unknown product",
        ),
        sa.Column("stock_code", sa.Text(), nullable=False, comment="Normalised stock code"),
        sa.Column("description", sa.Text(), nullable=True, comment="Latest description seen on a line"),
        sa.Column(
            "product_type",
            sa.Text(),
            nullable=False,
            comment="product, or the type of a code that is not goods: postage, fee, ...",
        ),
        sa.Column("is_product", sa.Boolean(), nullable=False, comment="Whether the code stands for goods"),
        sa.Column(
            "described_at",
            sa.DateTime(),
            nullable=True,
            comment="Shop time of the line the description was taken from",
        ),
        sa.Column("first_sold_at", sa.DateTime(), nullable=True, comment="Shop time of the first line"),
        sa.Column("last_sold_at", sa.DateTime(), nullable=True, comment="Shop time of the latest line"),
        sa.CheckConstraint("stock_code <> ''", name=op.f("ck_dim_product_stock_code_not_empty")),
        sa.CheckConstraint("first_sold_at <= last_sold_at", name=op.f("ck_dim_product_sold_in_order")),
        sa.PrimaryKeyConstraint("product_key", name=op.f("pk_dim_product")),
        sa.UniqueConstraint("stock_code", name=op.f("uq_dim_product_stock_code")),
        schema=schema,
        comment="Stock codes; what is not goods (postage, fees, ...) is told by product_type",
    )
    op.create_table(
        "dim_customer",
        sa.Column(
            "customer_key",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="First 60 bits of SHA-256 of the customer id; 0 is the unknown customer",
        ),
        sa.Column(
            "customer_id", sa.Text(), nullable=False, comment="Customer id as normalised from the source"
        ),
        sa.Column("country_key", sa.BigInteger(), nullable=False, comment="Country of the latest invoice"),
        sa.Column("first_invoice_at", sa.DateTime(), nullable=True, comment="Shop time of the first line"),
        sa.Column("last_invoice_at", sa.DateTime(), nullable=True, comment="Shop time of the latest line"),
        sa.CheckConstraint("customer_id <> ''", name=op.f("ck_dim_customer_customer_id_not_empty")),
        sa.CheckConstraint(
            "first_invoice_at <= last_invoice_at", name=op.f("ck_dim_customer_invoiced_in_order")
        ),
        sa.ForeignKeyConstraint(
            ["country_key"], [f"{schema}.dim_country.country_key"], name=op.f("fk_dim_customer_country_key")
        ),
        sa.PrimaryKeyConstraint("customer_key", name=op.f("pk_dim_customer")),
        sa.UniqueConstraint("customer_id", name=op.f("uq_dim_customer_customer_id")),
        schema=schema,
        comment="Customers; sales without a customer id belong to customer 0",
    )
    op.create_table(
        "dim_invoice",
        sa.Column(
            "invoice_key",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="First 60 bits of SHA-256 of the invoice number; 0 is the unknown invoice",
        ),
        sa.Column("invoice_no", sa.Text(), nullable=False, comment="Normalised invoice number"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="Kind of document: sale, cancellation, adjustment"
        ),
        sa.Column("first_line_at", sa.DateTime(), nullable=True, comment="Shop time of the earliest line"),
        sa.Column("last_line_at", sa.DateTime(), nullable=True, comment="Shop time of the latest line"),
        sa.CheckConstraint("invoice_no <> ''", name=op.f("ck_dim_invoice_invoice_no_not_empty")),
        sa.CheckConstraint(
            "kind IN ('sale', 'cancellation', 'adjustment') OR invoice_key = 0",
            name=op.f("ck_dim_invoice_kind"),
        ),
        sa.CheckConstraint("first_line_at <= last_line_at", name=op.f("ck_dim_invoice_lines_in_order")),
        sa.PrimaryKeyConstraint("invoice_key", name=op.f("pk_dim_invoice")),
        sa.UniqueConstraint("invoice_no", name=op.f("uq_dim_invoice_invoice_no")),
        schema=schema,
        comment="Invoices, cancellations (C...) and adjustments (A...)",
    )
    op.create_table(
        "fact_sales",
        sa.Column(
            "sale_id", sa.Uuid(), nullable=False, comment="Identity of the line, made from its content"
        ),
        sa.Column("date_key", sa.Integer(), nullable=False, comment="Day of sold_at"),
        sa.Column("product_key", sa.BigInteger(), nullable=False, comment="Product sold"),
        sa.Column(
            "customer_key", sa.BigInteger(), nullable=False, comment="Customer, 0 where the line names none"
        ),
        sa.Column("country_key", sa.BigInteger(), nullable=False, comment="Country of this line"),
        sa.Column("invoice_key", sa.BigInteger(), nullable=False, comment="Invoice the line is on"),
        sa.Column("sold_at", sa.DateTime(), nullable=False, comment="Shop local time on the line"),
        sa.Column(
            "quantity",
            sa.Integer(),
            nullable=False,
            comment="Units; negative for returns, cancellations and stock losses",
        ),
        sa.Column("unit_price", sa.Numeric(precision=14, scale=4), nullable=False, comment="GBP a unit"),
        sa.Column(
            "amount", sa.Numeric(precision=18, scale=4), nullable=False, comment="GBP, quantity x unit_price"
        ),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="Kind of transaction: sale, free_of_charge, return, cancellation, adjustment, fee, stock_movement",
        ),
        sa.Column("batch_id", sa.Text(), nullable=False, comment="Batch that first loaded the line"),
        sa.CheckConstraint(
            "kind IN ('sale', 'free_of_charge', 'return', 'cancellation', 'adjustment', 'fee', 'stock_movement')",
            name=op.f("ck_fact_sales_kind"),
        ),
        sa.CheckConstraint(
            "sold_at >= '1990-01-01' AND sold_at < '2100-01-01'", name=op.f("ck_fact_sales_sold_at_range")
        ),
        sa.CheckConstraint("amount = quantity * unit_price", name=op.f("ck_fact_sales_amount")),
        sa.CheckConstraint(
            "quantity BETWEEN -1000000 AND 1000000", name=op.f("ck_fact_sales_quantity_range")
        ),
        sa.CheckConstraint(
            "unit_price BETWEEN -1000000 AND 1000000", name=op.f("ck_fact_sales_unit_price_range")
        ),
        sa.ForeignKeyConstraint(
            ["country_key"], [f"{schema}.dim_country.country_key"], name=op.f("fk_fact_sales_country_key")
        ),
        sa.ForeignKeyConstraint(
            ["customer_key"], [f"{schema}.dim_customer.customer_key"], name=op.f("fk_fact_sales_customer_key")
        ),
        sa.ForeignKeyConstraint(
            ["date_key"], [f"{schema}.dim_date.date_key"], name=op.f("fk_fact_sales_date_key")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_key"], [f"{schema}.dim_invoice.invoice_key"], name=op.f("fk_fact_sales_invoice_key")
        ),
        sa.ForeignKeyConstraint(
            ["product_key"], [f"{schema}.dim_product.product_key"], name=op.f("fk_fact_sales_product_key")
        ),
        sa.PrimaryKeyConstraint("sale_id", name=op.f("pk_fact_sales")),
        schema=schema,
        comment="Invoice lines: sales and every other kind of transaction; one row a line, duplicates removed",
    )
    op.create_index(op.f("ix_fact_sales_sold_at"), "fact_sales", ["sold_at"], unique=False, schema=schema)
    op.create_table(
        "etl_batch",
        sa.Column("batch_id", sa.Text(), nullable=False, comment="Batch, sortable by claim time"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="Airflow run that published it"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="drop (files) or rebuild (invoice days from Bronze)"
        ),
        sa.Column(
            "token", sa.Text(), nullable=False, comment="Identity of the Gold output that was published"
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the batch was ready to commit",
        ),
        sa.Column(
            "rebuilt_days",
            JSONB(),
            nullable=False,
            comment="Rebuilt invoice days, ISO dates; empty for a drop",
        ),
        sa.Column("rows_staged", JSONB(), nullable=False, comment="Rows staged by table"),
        sa.Column("rows_written", JSONB(), nullable=False, comment="Rows inserted or changed by table"),
        sa.Column("facts_deleted", sa.Integer(), nullable=False, comment="Facts a rebuild found gone"),
        sa.Column(
            "amount",
            sa.Numeric(precision=20, scale=4),
            nullable=False,
            comment="GBP, sum over the staged facts",
        ),
        sa.CheckConstraint("kind IN ('drop', 'rebuild')", name=op.f("ck_etl_batch_kind")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_etl_batch")),
        schema=schema,
        comment="Published batches: the record that makes publishing repeatable",
    )
    op.create_table(
        "etl_receipt",
        sa.Column("run_id", sa.Text(), nullable=False, comment="Airflow run id"),
        sa.Column("batch_id", sa.Text(), nullable=False, comment="Batch of the run"),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="drop (files) or rebuild (invoice days from Bronze)"
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="Outcome: loaded, nothing_new, rejected"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="Start of the run"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False, comment="End of the run"),
        sa.Column("rows_in", sa.BigInteger(), nullable=False, comment="Rows that came in"),
        sa.Column("rows_loaded", sa.BigInteger(), nullable=False, comment="Rows loaded"),
        sa.Column(
            "rows_duplicate", sa.BigInteger(), nullable=False, comment="Rows that repeat another line in full"
        ),
        sa.Column(
            "rows_quarantined",
            sa.BigInteger(),
            nullable=False,
            comment="Rows kept out; by reason in document",
        ),
        sa.Column(
            "rows_already_seen", sa.BigInteger(), nullable=False, comment="Rows that an earlier run loaded"
        ),
        sa.Column("amount_in", sa.Numeric(precision=20, scale=4), nullable=False, comment="GBP that came in"),
        sa.Column("amount_loaded", sa.Numeric(precision=20, scale=4), nullable=False, comment="GBP loaded"),
        sa.Column(
            "amount_duplicate",
            sa.Numeric(precision=20, scale=4),
            nullable=False,
            comment="GBP of duplicate rows",
        ),
        sa.Column(
            "amount_quarantined",
            sa.Numeric(precision=20, scale=4),
            nullable=False,
            comment="GBP of quarantined rows",
        ),
        sa.Column(
            "amount_already_seen",
            sa.Numeric(precision=20, scale=4),
            nullable=False,
            comment="GBP of rows that an earlier run loaded",
        ),
        sa.Column("document", JSONB(), nullable=False, comment="The whole receipt"),
        sa.CheckConstraint("kind IN ('drop', 'rebuild')", name=op.f("ck_etl_receipt_kind")),
        sa.CheckConstraint(
            "status IN ('loaded', 'nothing_new', 'rejected')", name=op.f("ck_etl_receipt_status")
        ),
        sa.CheckConstraint(
            "amount_in = amount_loaded + amount_duplicate + amount_quarantined + amount_already_seen",
            name=op.f("ck_etl_receipt_amount_balance"),
        ),
        sa.CheckConstraint(
            "rows_in = rows_loaded + rows_duplicate + rows_quarantined + rows_already_seen",
            name=op.f("ck_etl_receipt_rows_balance"),
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_etl_receipt")),
        schema=schema,
        comment="One receipt a run: what came in and what became of it",
    )
    op.create_index(
        op.f("ix_etl_receipt_finished_at"), "etl_receipt", ["finished_at"], unique=False, schema=schema
    )

    _insert(
        "dim_date",
        schema,
        date_key=0,
        year=0,
        quarter=0,
        month=0,
        month_name="(unknown)",
        day=0,
        day_of_week=0,
        day_name="(unknown)",
        iso_week=0,
        is_weekend=False,
    )
    _insert("dim_country", schema, country_key=0, country="(unknown)")
    _insert(
        "dim_product",
        schema,
        product_key=0,
        stock_code="(unknown)",
        product_type="(unknown)",
        is_product=False,
    )
    _insert("dim_customer", schema, customer_key=0, customer_id="(unknown)", country_key=0)
    _insert("dim_invoice", schema, invoice_key=0, invoice_no="(unknown)", kind="(unknown)")


def downgrade() -> None:
    """Drop the tables."""
    schema = context.config.attributes["settings"].warehouse_schema
    for table in reversed(TABLES):
        op.drop_table(table, schema=schema)


def _insert(name: str, schema: str, **values: object) -> None:
    table = sa.table(name, *[sa.column(column) for column in values], schema=schema)
    op.execute(table.insert().values(values))
