-- Quantities with four decimal places, prices and amounts with six, and lines that state their amount.

DROP VIEW {schema}.mart_customer_rfm;
DROP VIEW {schema}.mart_product_sales;
DROP VIEW {schema}.mart_country_sales;
DROP VIEW {schema}.mart_daily_sales;

ALTER TABLE {schema}.fact_sales
    DROP COLUMN amount_usd,
    DROP COLUMN amount_eur,
    DROP COLUMN amount_cad,
    DROP COLUMN amount_aud,
    DROP COLUMN amount_jpy,
    DROP COLUMN unit_price_usd,
    DROP COLUMN unit_price_eur,
    DROP COLUMN unit_price_cad,
    DROP COLUMN unit_price_aud,
    DROP COLUMN unit_price_jpy,
    DROP CONSTRAINT ck_fact_sales_amount,
    DROP CONSTRAINT ck_fact_sales_quantity_range,
    ALTER COLUMN quantity TYPE NUMERIC(11, 4),
    ALTER COLUMN unit_price TYPE NUMERIC(14, 6),
    ALTER COLUMN amount TYPE NUMERIC(18, 6),
    ADD COLUMN amount_declared BOOLEAN NOT NULL DEFAULT false,
    ADD COLUMN amount_usd NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_usd, 2)) STORED,
    ADD COLUMN amount_eur NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_eur, 2)) STORED,
    ADD COLUMN amount_cad NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_cad, 2)) STORED,
    ADD COLUMN amount_aud NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_aud, 2)) STORED,
    ADD COLUMN amount_jpy NUMERIC(18, 0) GENERATED ALWAYS AS (round(amount * rate_jpy, 0)) STORED,
    ADD COLUMN unit_price_usd NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_usd, 2)) STORED,
    ADD COLUMN unit_price_eur NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_eur, 2)) STORED,
    ADD COLUMN unit_price_cad NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_cad, 2)) STORED,
    ADD COLUMN unit_price_aud NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_aud, 2)) STORED,
    ADD COLUMN unit_price_jpy NUMERIC(18, 0) GENERATED ALWAYS AS (round(unit_price * rate_jpy, 0)) STORED,
    ADD CONSTRAINT ck_fact_sales_amount CHECK (amount_declared OR amount = quantity * unit_price),
    ADD CONSTRAINT ck_fact_sales_quantity_range CHECK (quantity BETWEEN -1000000 AND 1000000);
COMMENT ON COLUMN {schema}.fact_sales.amount IS 'GBP: what the line states it costs in all, else quantity x unit_price';
COMMENT ON COLUMN {schema}.fact_sales.amount_declared IS 'Whether the line states its amount, which may then differ from quantity x unit_price';
COMMENT ON COLUMN {schema}.fact_sales.amount_usd IS 'USD, amount at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_eur IS 'EUR, amount at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_cad IS 'CAD, amount at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_aud IS 'AUD, amount at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_jpy IS 'JPY, amount at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_usd IS 'USD, unit_price at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_eur IS 'EUR, unit_price at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_cad IS 'CAD, unit_price at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_aud IS 'AUD, unit_price at the line''s rate, half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_jpy IS 'JPY, unit_price at the line''s rate, half up';

ALTER TABLE {schema}.etl_batch
    ALTER COLUMN amount TYPE NUMERIC(38, 6),
    ALTER COLUMN amount_loaded TYPE NUMERIC(38, 6);
ALTER TABLE {schema}.etl_receipt
    ALTER COLUMN amount_in TYPE NUMERIC(38, 6),
    ALTER COLUMN amount_loaded TYPE NUMERIC(38, 6),
    ALTER COLUMN amount_duplicate TYPE NUMERIC(38, 6),
    ALTER COLUMN amount_quarantined TYPE NUMERIC(38, 6),
    ALTER COLUMN amount_already_seen TYPE NUMERIC(38, 6);

-- security_invoker: a reader sees through a view what it may see in the tables.

CREATE VIEW {schema}.mart_daily_sales WITH (security_invoker = true) AS
SELECT d.date_key, d.full_date AS invoice_day, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
FROM {schema}.dim_date d
CROSS JOIN LATERAL (
    SELECT count(DISTINCT invoice_key) AS invoices,
        count(*) AS lines, trim_scale(sum(quantity)) AS units, CAST(sum(amount) AS numeric(20, 6)) AS revenue,
        CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 6)) AS gross_sales
    FROM {schema}.fact_sales
    WHERE sold_at >= d.full_date AND sold_at < d.full_date + 1
    HAVING count(*) > 0
) s;
COMMENT ON VIEW {schema}.mart_daily_sales IS 'Sales by invoice day; one row a day that has lines';
COMMENT ON COLUMN {schema}.mart_daily_sales.date_key IS 'yyyymmdd';
COMMENT ON COLUMN {schema}.mart_daily_sales.invoice_day IS 'The day';
COMMENT ON COLUMN {schema}.mart_daily_sales.lines IS 'Invoice lines of every kind';
COMMENT ON COLUMN {schema}.mart_daily_sales.invoices IS 'Distinct invoices, cancellations and adjustments';
COMMENT ON COLUMN {schema}.mart_daily_sales.units IS 'Sum of quantity over all lines, which is negative for what came back or was lost';
COMMENT ON COLUMN {schema}.mart_daily_sales.revenue IS 'GBP of all lines';
COMMENT ON COLUMN {schema}.mart_daily_sales.gross_sales IS 'GBP of the lines of kind sale';

CREATE VIEW {schema}.mart_country_sales WITH (security_invoker = true) AS
SELECT c.country_key, c.country, c.iso2, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
FROM {schema}.dim_country c
CROSS JOIN LATERAL (
    SELECT count(*) AS invoices, CAST(sum(i.lines) AS bigint) AS lines, trim_scale(sum(i.units)) AS units,
        CAST(sum(i.revenue) AS numeric(20, 6)) AS revenue,
        CAST(sum(i.gross_sales) AS numeric(20, 6)) AS gross_sales
    FROM (
        SELECT count(*) AS lines, trim_scale(sum(quantity)) AS units, CAST(sum(amount) AS numeric(20, 6)) AS revenue,
            CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 6)) AS gross_sales
        FROM {schema}.fact_sales f
        WHERE f.country_key = c.country_key
        GROUP BY f.invoice_key
    ) i
    HAVING count(*) > 0
) s;
COMMENT ON VIEW {schema}.mart_country_sales IS 'Sales by country; one row a country that has lines';
COMMENT ON COLUMN {schema}.mart_country_sales.country_key IS 'Country';
COMMENT ON COLUMN {schema}.mart_country_sales.country IS 'Name of the country';
COMMENT ON COLUMN {schema}.mart_country_sales.iso2 IS 'ISO 3166-1 alpha-2 code';
COMMENT ON COLUMN {schema}.mart_country_sales.lines IS 'Invoice lines of every kind';
COMMENT ON COLUMN {schema}.mart_country_sales.invoices IS 'Distinct invoices, cancellations and adjustments';
COMMENT ON COLUMN {schema}.mart_country_sales.units IS 'Sum of quantity over all lines, which is negative for what came back or was lost';
COMMENT ON COLUMN {schema}.mart_country_sales.revenue IS 'GBP of all lines';
COMMENT ON COLUMN {schema}.mart_country_sales.gross_sales IS 'GBP of the lines of kind sale';

CREATE VIEW {schema}.mart_product_sales WITH (security_invoker = true) AS
SELECT s.product_key, p.stock_code, p.description, p.is_product, p.category,
    s.lines, s.units, s.revenue, s.gross_sales
FROM (
    SELECT product_key, count(*) AS lines, trim_scale(sum(quantity)) AS units, CAST(sum(amount) AS numeric(20, 6)) AS revenue,
        CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 6)) AS gross_sales
    FROM {schema}.fact_sales
    GROUP BY product_key
) s
JOIN {schema}.dim_product p ON p.product_key = s.product_key;
COMMENT ON VIEW {schema}.mart_product_sales IS 'Sales by stock code; one row a code that has lines';
COMMENT ON COLUMN {schema}.mart_product_sales.product_key IS 'Stock code; filtering by it reads the lines of that code only';
COMMENT ON COLUMN {schema}.mart_product_sales.stock_code IS 'Normalised stock code';
COMMENT ON COLUMN {schema}.mart_product_sales.description IS 'Description on the latest line that has a price';
COMMENT ON COLUMN {schema}.mart_product_sales.is_product IS 'Whether the code stands for goods';
COMMENT ON COLUMN {schema}.mart_product_sales.category IS 'Category of goods; uncategorised if the model is not sure';
COMMENT ON COLUMN {schema}.mart_product_sales.lines IS 'Invoice lines of every kind';
COMMENT ON COLUMN {schema}.mart_product_sales.units IS 'Sum of quantity over all lines, which is negative for what came back or was lost';
COMMENT ON COLUMN {schema}.mart_product_sales.revenue IS 'GBP of all lines';
COMMENT ON COLUMN {schema}.mart_product_sales.gross_sales IS 'GBP of the lines of kind sale';

CREATE VIEW {schema}.mart_customer_rfm WITH (security_invoker = true) AS
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
JOIN {schema}.dim_country n ON n.country_key = c.country_key;
COMMENT ON VIEW {schema}.mart_customer_rfm IS 'Recency, frequency and money of every customer that has an id and a line of kind sale';
COMMENT ON COLUMN {schema}.mart_customer_rfm.customer_key IS 'Customer';
COMMENT ON COLUMN {schema}.mart_customer_rfm.customer_id IS 'Customer id as normalised from the source';
COMMENT ON COLUMN {schema}.mart_customer_rfm.country IS 'Country of the latest invoice';
COMMENT ON COLUMN {schema}.mart_customer_rfm.last_sale_day IS 'Day of the latest line of kind sale';
COMMENT ON COLUMN {schema}.mart_customer_rfm.recency_days IS 'Days from last_sale_day to the newest invoice day of the warehouse';
COMMENT ON COLUMN {schema}.mart_customer_rfm.frequency IS 'Distinct invoices with a line of kind sale';
COMMENT ON COLUMN {schema}.mart_customer_rfm.monetary IS 'GBP of the lines of kind sale';
COMMENT ON COLUMN {schema}.mart_customer_rfm.recency_score IS 'Quintile of customers by recency_days, 5 the most recent, 1 to 5; equal customers score the same';
COMMENT ON COLUMN {schema}.mart_customer_rfm.frequency_score IS 'Quintile of customers by frequency, 5 the most frequent, 1 to 5; equal customers score the same';
COMMENT ON COLUMN {schema}.mart_customer_rfm.monetary_score IS 'Quintile of customers by monetary, 5 the highest, 1 to 5; equal customers score the same';
