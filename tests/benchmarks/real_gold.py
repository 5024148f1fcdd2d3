"""Gold made by DuckDB out of one clean CSV file: the star in Delta without Spark, for measuring what reads it.

Kinds of transaction are told apart roughly; exchange rates are one made-up rate a currency.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from deltalake import write_deltalake

from include.domain.money import CURRENCIES
from include.settings import Settings

BATCH_ID = "20261124T080000-0a1b2c3d"
RATES = {"USD": "1.56260000", "EUR": "1.18820000", "CAD": "1.58930000", "AUD": "1.61690000", "JPY": "131.55000000"}

LINES = r"""
CREATE TABLE lines AS
WITH typed AS (
    SELECT DISTINCT upper(trim(Invoice)) AS invoice_no,
        upper(trim(StockCode)) AS stock_code,
        nullif(trim(regexp_replace(Description, '[\s\x{00a0}]+', ' ', 'g')), '') AS description,
        Quantity::DECIMAL(11, 4) AS quantity,
        InvoiceDate::TIMESTAMP AS sold_at,
        Price::DECIMAL(14, 6) AS unit_price,
        regexp_replace(nullif(trim("Customer ID"), ''), '\.0+$', '') AS customer_id,
        trim(Country) AS country
    FROM read_csv(?, header = true, all_varchar = true))
SELECT *, (quantity * unit_price::DECIMAL(20, 6))::DECIMAL(18, 6) AS amount, false AS amount_declared,
    'GBP' AS currency, unit_price AS original_unit_price, amount AS original_amount, 1::DECIMAL(18, 12) AS base_rate,
    substr(sha256(concat_ws(chr(31), invoice_no, stock_code, coalesce(description, ''), quantity,
        epoch_us(sold_at), unit_price, coalesce(customer_id, ''), country)), 1, 32) AS sale_id,
    CASE WHEN invoice_no LIKE 'C%' THEN 'cancellation' WHEN invoice_no LIKE 'A%' THEN 'adjustment'
        WHEN quantity <= 0 AND unit_price = 0 THEN 'stock_movement' WHEN quantity <= 0 THEN 'return'
        WHEN unit_price = 0 THEN 'free_of_charge' WHEN unit_price < 0 THEN 'adjustment' ELSE 'sale' END AS kind,
    strftime(sold_at, '%Y%m%d')::INTEGER AS date_key,
    strftime(sold_at, '%Y-%m') AS invoice_month
FROM typed
"""

KEY = "('0x' || substr(sha256({}), 1, 15))::BIGINT"


def _key(column: str) -> str:
    return f"CASE WHEN {column} IS NULL THEN 0 ELSE {KEY.format(column)} END"


def _moment(expression: str) -> str:
    return f"timezone('UTC', {expression})"


def _star() -> dict[str, str]:
    rates = [f"{RATES[name]}::DECIMAL(18, 8) AS rate_{name.lower()}" for name in CURRENCIES]
    converted = [
        f"round({column}::DECIMAL(20, 6) * {RATES[name]}::DECIMAL(18, 8), {places})::DECIMAL(18, {places})"
        f" AS {column}_{name.lower()}"
        for column in ("amount", "unit_price")
        for name, places in CURRENCIES.items()
    ]
    country_facts = """true AS is_country, 'XX' AS iso2, 'XXX' AS iso3, 'Region' AS region, 'Subregion' AS subregion,
        'Continent' AS continent, 1::BIGINT AS population, 1.5::DECIMAL(9, 6) AS latitude,
        -1.5::DECIMAL(9, 6) AS longitude, 'offline' AS facts_source, NULL::VARCHAR AS facts_missing"""
    enriched = f"{_moment('TIMESTAMP ' + repr('2026-11-24 08:00:00'))} AS enriched_at"
    return {
        "dim_date": """SELECT strftime(day, '%Y%m%d')::INTEGER AS date_key, day::DATE AS full_date,
            year(day)::SMALLINT AS year, quarter(day)::SMALLINT AS quarter, month(day)::SMALLINT AS month,
            monthname(day) AS month_name, dayofmonth(day)::SMALLINT AS day, isodow(day)::SMALLINT AS day_of_week,
            dayname(day) AS day_name, weekofyear(day)::SMALLINT AS iso_week, isodow(day) >= 6 AS is_weekend
            FROM (SELECT unnest(range(date_trunc('year', min(sold_at)),
                date_trunc('year', max(sold_at)) + INTERVAL 1 YEAR, INTERVAL 1 DAY)) AS day FROM lines)""",
        "dim_country": f"""SELECT DISTINCT {_key("country")} AS country_key, country, {country_facts}, {enriched}
            FROM lines""",
        "dim_product": f"""SELECT {_key("stock_code")} AS product_key, stock_code,
            max({{'at': sold_at, 'description': description}}) FILTER (
                description IS NOT NULL AND unit_price > 0).description AS description,
            'product' AS product_type, true AS is_product,
            {_moment("max(sold_at) FILTER (description IS NOT NULL AND unit_price > 0)")} AS described_at,
            {_moment("min(sold_at)")} AS first_sold_at, {_moment("max(sold_at)")} AS last_sold_at,
            'uncategorised' AS category, NULL::VARCHAR AS subcategory, NULL::VARCHAR AS brand,
            0.5::DECIMAL(4, 3) AS category_confidence, 'v1' AS category_version, {enriched}
            FROM lines GROUP BY stock_code""",
        "dim_customer": f"""SELECT {_key("customer_id")} AS customer_key, customer_id,
            max({{'at': sold_at, 'key': {_key("country")}}}).key AS country_key,
            {_moment("min(sold_at)")} AS first_invoice_at, {_moment("max(sold_at)")} AS last_invoice_at
            FROM lines WHERE customer_id IS NOT NULL GROUP BY customer_id""",
        "dim_invoice": f"""SELECT {_key("invoice_no")} AS invoice_key, invoice_no,
            CASE WHEN invoice_no LIKE 'C%' THEN 'cancellation' WHEN invoice_no LIKE 'A%' THEN 'adjustment'
                ELSE 'sale' END AS kind,
            {_moment("min(sold_at)")} AS first_line_at, {_moment("max(sold_at)")} AS last_line_at
            FROM lines GROUP BY invoice_no""",
        "fact_sales": f"""SELECT sale_id, date_key, {_key("stock_code")} AS product_key,
            {_key("customer_id")} AS customer_key, {_key("country")} AS country_key,
            {_key("invoice_no")} AS invoice_key, {_moment("sold_at")} AS sold_at, quantity, currency,
            original_unit_price, original_amount, amount_declared, base_rate, unit_price, amount, kind,
            '{BATCH_ID}' AS batch_id, invoice_month, sold_at::DATE AS fx_date, 'ecb' AS fx_source,
            NULL::VARCHAR AS fx_missing, {", ".join(rates)}, {", ".join(converted)} FROM lines ORDER BY sold_at""",
    }


def write(settings: Settings, csv: Path) -> dict[str, int]:
    """Write the star of `csv` as one batch; return the rows of each table."""
    rows = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(LINES, [str(csv)])
        for name, query in _star().items():
            table = connection.sql(query).to_arrow_table()
            partitions = ["invoice_month"] if name == "fact_sales" else None
            write_deltalake(settings.table("gold", name), table, partition_by=partitions)
            rows[name] = table.num_rows
    return rows
