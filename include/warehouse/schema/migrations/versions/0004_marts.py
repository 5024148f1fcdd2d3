"""Indices for reads by country, product, customer and kind; the views of the data mart.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDICES = {
    "ix_fact_sales_country_key_sold_at": (["country_key", "sold_at"], None),
    "ix_fact_sales_product_key_sold_at": (["product_key", "sold_at"], None),
    "ix_fact_sales_customer_key_sold_at": (["customer_key", "sold_at"], None),
    "ix_fact_sales_kind_sold_at": (["kind", "sold_at"], sa.text("kind <> 'sale'")),
}

VIEWS = {
    "mart_daily_sales": (
        "Sales by invoice day; one row a day that has lines",
        """
    SELECT d.date_key, d.full_date AS invoice_day, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
    FROM {schema}.dim_date d
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT invoice_key) AS invoices,
            count(*) AS lines, sum(quantity) AS units, CAST(sum(amount) AS numeric(20, 4)) AS revenue,
            CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 4)) AS gross_sales
        FROM {schema}.fact_sales
        WHERE sold_at >= d.full_date AND sold_at < d.full_date + 1
        HAVING count(*) > 0
    ) s
    """,
        {
            "date_key": "yyyymmdd",
            "invoice_day": "The day",
            "lines": "Invoice lines of every kind",
            "invoices": "Distinct invoices, cancellations and adjustments",
            "units": "Sum of quantity over all lines, which is negative for what came back or was lost",
            "revenue": "GBP of all lines",
            "gross_sales": "GBP of the lines of kind sale",
        },
    ),
    "mart_country_sales": (
        "Sales by country; one row a country that has lines",
        """
    SELECT c.country_key, c.country, c.iso2, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
    FROM {schema}.dim_country c
    CROSS JOIN LATERAL (
        SELECT count(*) AS invoices, CAST(sum(i.lines) AS bigint) AS lines, CAST(sum(i.units) AS bigint) AS units,
            CAST(sum(i.revenue) AS numeric(20, 4)) AS revenue,
            CAST(sum(i.gross_sales) AS numeric(20, 4)) AS gross_sales
        FROM (
            SELECT count(*) AS lines, sum(quantity) AS units, CAST(sum(amount) AS numeric(20, 4)) AS revenue,
                CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 4)) AS gross_sales
            FROM {schema}.fact_sales f
            WHERE f.country_key = c.country_key
            GROUP BY f.invoice_key
        ) i
        HAVING count(*) > 0
    ) s
    """,
        {
            "country_key": "Country",
            "country": "Name of the country",
            "iso2": "ISO 3166-1 alpha-2 code",
            "lines": "Invoice lines of every kind",
            "invoices": "Distinct invoices, cancellations and adjustments",
            "units": "Sum of quantity over all lines, which is negative for what came back or was lost",
            "revenue": "GBP of all lines",
            "gross_sales": "GBP of the lines of kind sale",
        },
    ),
    "mart_product_sales": (
        "Sales by stock code; one row a code that has lines",
        """
    SELECT s.product_key, p.stock_code, p.description, p.is_product, p.category,
        s.lines, s.units, s.revenue, s.gross_sales
    FROM (
        SELECT product_key, count(*) AS lines, sum(quantity) AS units, CAST(sum(amount) AS numeric(20, 4)) AS revenue,
            CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 4)) AS gross_sales
        FROM {schema}.fact_sales
        GROUP BY product_key
    ) s
    JOIN {schema}.dim_product p ON p.product_key = s.product_key
    """,
        {
            "product_key": "Stock code; filtering by it reads the lines of that code only",
            "stock_code": "Normalised stock code",
            "description": "Description on the latest line that has a price",
            "is_product": "Whether the code stands for goods",
            "category": "Category of goods; uncategorised if the model is not sure",
            "lines": "Invoice lines of every kind",
            "units": "Sum of quantity over all lines, which is negative for what came back or was lost",
            "revenue": "GBP of all lines",
            "gross_sales": "GBP of the lines of kind sale",
        },
    ),
    "mart_customer_rfm": (
        "Recency, frequency and money of every customer that has an id and a line of kind sale",
        """
    SELECT s.customer_key, c.customer_id, n.country, s.last_sale_day, s.recency_days, s.frequency, s.monetary,
        CAST(1 + 5 * (rank() OVER (ORDER BY s.recency_days DESC) - 1) / count(*) OVER () AS smallint) AS recency_score,
        CAST(1 + 5 * (rank() OVER (ORDER BY s.frequency) - 1) / count(*) OVER () AS smallint) AS frequency_score,
        CAST(1 + 5 * (rank() OVER (ORDER BY s.monetary) - 1) / count(*) OVER () AS smallint) AS monetary_score
    FROM (
        SELECT i.customer_key,
            CAST(max(i.last_at) AS date) AS last_sale_day,
            (SELECT CAST(max(sold_at) AS date) FROM {schema}.fact_sales) - CAST(max(i.last_at) AS date) AS recency_days,
            count(*) AS frequency,
            CAST(sum(i.monetary) AS numeric(20, 4)) AS monetary
        FROM (
            SELECT customer_key, max(sold_at) AS last_at, sum(amount) AS monetary
            FROM {schema}.fact_sales
            WHERE kind = 'sale' AND customer_key <> 0
            GROUP BY customer_key, invoice_key
        ) i
        GROUP BY i.customer_key
    ) s
    JOIN {schema}.dim_customer c ON c.customer_key = s.customer_key
    JOIN {schema}.dim_country n ON n.country_key = c.country_key
    """,
        {
            "customer_key": "Customer",
            "customer_id": "Customer id as normalised from the source",
            "country": "Country of the latest invoice",
            "last_sale_day": "Day of the latest line of kind sale",
            "recency_days": "Days from last_sale_day to the newest invoice day of the warehouse",
            "frequency": "Distinct invoices with a line of kind sale",
            "monetary": "GBP of the lines of kind sale",
            "recency_score": "Quintile of customers by recency_days, 5 the most recent, 1 to 5; equal customers score the same",
            "frequency_score": "Quintile of customers by frequency, 5 the most frequent, 1 to 5; equal customers score the same",
            "monetary_score": "Quintile of customers by monetary, 5 the highest, 1 to 5; equal customers score the same",
        },
    ),
}
"""View -> its comment, its query, its columns' comments."""


def upgrade() -> None:
    """Make the indices and views."""
    schema = context.config.attributes["settings"].warehouse_schema
    for name, (columns, where) in INDICES.items():
        op.create_index(op.f(name), "fact_sales", columns, unique=False, schema=schema, postgresql_where=where)
    quoted = _quoted(schema)
    for name, (comment, query, meanings) in VIEWS.items():
        # security_invoker: a reader sees through the view what it may see in the tables.
        op.execute(f"CREATE VIEW {quoted}.{name} WITH (security_invoker = true) AS {query.format(schema=quoted)}")
        op.execute(f"COMMENT ON VIEW {quoted}.{name} IS '{comment}'")
        for column, meaning in meanings.items():
            op.execute(f"COMMENT ON COLUMN {quoted}.{name}.{column} IS '{meaning}'")


def downgrade() -> None:
    """Drop the views and indices."""
    schema = context.config.attributes["settings"].warehouse_schema
    for name in VIEWS:
        op.execute(f"DROP VIEW {_quoted(schema)}.{name}")
    for name in INDICES:
        op.drop_index(op.f(name), table_name="fact_sales", schema=schema)


def _quoted(schema: str) -> str:
    return op.get_bind().dialect.identifier_preparer.quote_identifier(schema)
