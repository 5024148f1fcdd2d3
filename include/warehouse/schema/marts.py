"""The data mart: views over the star that answer the usual questions.

Revenue counts every line, cancellations, returns, fees and adjustments included; gross sales count lines of kind `sale`
only, as in the documents of `include.lake.aggregates`. The views compute at each read, so they never disagree with the
star; `docs/warehouse.md` says what that costs and why nothing is materialised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class MartColumn(NamedTuple):
    """Type and meaning of a view's column."""

    type: str
    comment: str


@dataclass(frozen=True)
class Mart:
    """A view.

    Attributes:
        name: Name of the view.
        comment: What one row is.
        columns: Its columns in order.
        query: The query, `{schema}` standing for the warehouse's schema.
    """

    name: str
    comment: str
    columns: dict[str, MartColumn]
    query: str


_MONEY = "numeric(20,6)"
_SUMS = (
    "count(*) AS lines, trim_scale(sum(quantity)) AS units, CAST(sum(amount) AS numeric(20, 6)) AS revenue,",
    "CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 6)) AS gross_sales",
)
_LINES = MartColumn("bigint", "Invoice lines of every kind")
_INVOICES = MartColumn("bigint", "Distinct invoices, cancellations and adjustments")
_UNITS = MartColumn("numeric", "Sum of quantity over all lines, which is negative for what came back or was lost")
_REVENUE = MartColumn(_MONEY, "Amount of all lines in the base currency")
_GROSS = MartColumn(_MONEY, "Amount of the lines of kind sale in the base currency")
_SCORE = "Quintile of customers by {}, 1 to 5; equal customers score the same"

DAILY_SALES = Mart(
    "mart_daily_sales",
    "Sales by invoice day; one row a day that has lines",
    {
        "date_key": MartColumn("integer", "yyyymmdd"),
        "invoice_day": MartColumn("date", "The day"),
        "lines": _LINES,
        "invoices": _INVOICES,
        "units": _UNITS,
        "revenue": _REVENUE,
        "gross_sales": _GROSS,
    },
    # Joined sideways, a range of days reads the lines of those days only.
    f"""
    SELECT d.date_key, d.full_date AS invoice_day, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
    FROM {{schema}}.dim_date d
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT invoice_key) AS invoices,
            {_SUMS[0]}
            {_SUMS[1]}
        FROM {{schema}}.fact_sales
        WHERE sold_at >= d.full_date AND sold_at < d.full_date + 1
        HAVING count(*) > 0
    ) s
    """,
)

COUNTRY_SALES = Mart(
    "mart_country_sales",
    "Sales by country; one row a country that has lines",
    {
        "country_key": MartColumn("bigint", "Country"),
        "country": MartColumn("text", "Name of the country"),
        "iso2": MartColumn("text", "ISO 3166-1 alpha-2 code"),
        "lines": _LINES,
        "invoices": _INVOICES,
        "units": _UNITS,
        "revenue": _REVENUE,
        "gross_sales": _GROSS,
    },
    # Joined sideways, one country reads its own lines only; hashing counts many invoices twice as fast as DISTINCT.
    f"""
    SELECT c.country_key, c.country, c.iso2, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
    FROM {{schema}}.dim_country c
    CROSS JOIN LATERAL (
        SELECT count(*) AS invoices, CAST(sum(i.lines) AS bigint) AS lines, trim_scale(sum(i.units)) AS units,
            CAST(sum(i.revenue) AS numeric(20, 6)) AS revenue,
            CAST(sum(i.gross_sales) AS numeric(20, 6)) AS gross_sales
        FROM (
            SELECT {_SUMS[0]}
                {_SUMS[1]}
            FROM {{schema}}.fact_sales f
            WHERE f.country_key = c.country_key
            GROUP BY f.invoice_key
        ) i
        HAVING count(*) > 0
    ) s
    """,
)

PRODUCT_SALES = Mart(
    "mart_product_sales",
    "Sales by stock code; one row a code that has lines",
    {
        "product_key": MartColumn("bigint", "Stock code; filtering by it reads the lines of that code only"),
        "stock_code": MartColumn("text", "Normalised stock code"),
        "description": MartColumn("text", "Description on the latest line that has a price"),
        "is_product": MartColumn("boolean", "Whether the code stands for goods"),
        "category": MartColumn("text", "Category of goods; uncategorised if the model is not sure"),
        "lines": _LINES,
        "units": _UNITS,
        "revenue": _REVENUE,
        "gross_sales": _GROSS,
    },
    # Grouped, not joined sideways: five thousand codes looked up one by one take seventeen times as long.
    f"""
    SELECT s.product_key, p.stock_code, p.description, p.is_product, p.category,
        s.lines, s.units, s.revenue, s.gross_sales
    FROM (
        SELECT product_key, {_SUMS[0]}
            {_SUMS[1]}
        FROM {{schema}}.fact_sales
        GROUP BY product_key
    ) s
    JOIN {{schema}}.dim_product p ON p.product_key = s.product_key
    """,
)

CUSTOMER_RFM = Mart(
    "mart_customer_rfm",
    "Recency, frequency and money of every customer that has an id and a line of kind sale",
    {
        "customer_key": MartColumn("bigint", "Customer"),
        "customer_id": MartColumn("text", "Customer id as normalised from the source"),
        "country": MartColumn("text", "Country of the latest invoice"),
        "last_sale_day": MartColumn("date", "Day of the latest line of kind sale"),
        "recency_days": MartColumn("integer", "Days from last_sale_day to the newest invoice day of the warehouse"),
        "frequency": MartColumn("bigint", "Distinct invoices with a line of kind sale"),
        "monetary": MartColumn(_MONEY, "Amount of the lines of kind sale in the base currency"),
        "recency_score": MartColumn("smallint", _SCORE.format("recency_days, 5 the most recent")),
        "frequency_score": MartColumn("smallint", _SCORE.format("frequency, 5 the most frequent")),
        "monetary_score": MartColumn("smallint", _SCORE.format("monetary, 5 the highest")),
    },
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
            CAST(sum(i.monetary) AS numeric(20, 6)) AS monetary
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
)

MARTS = (DAILY_SALES, COUNTRY_SALES, PRODUCT_SALES, CUSTOMER_RFM)
