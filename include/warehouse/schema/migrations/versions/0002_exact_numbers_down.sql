-- Back to whole quantities, and prices and amounts with four decimal places; refused where a fact needs more.

DO $$ BEGIN
    IF EXISTS (SELECT FROM {schema}.fact_sales WHERE amount_declared OR quantity <> trunc(quantity)
        OR unit_price <> trunc(unit_price, 4) OR amount <> trunc(amount, 4)) THEN
        RAISE EXCEPTION 'The facts need more decimal places than revision 0001 has: keep this revision.';
    END IF;
END $$;

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
    DROP COLUMN amount_declared,
    ALTER COLUMN quantity TYPE INTEGER,
    ALTER COLUMN unit_price TYPE NUMERIC(14, 4),
    ALTER COLUMN amount TYPE NUMERIC(18, 4),
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
    ADD CONSTRAINT ck_fact_sales_amount CHECK (amount = quantity * unit_price),
    ADD CONSTRAINT ck_fact_sales_quantity_range CHECK (quantity BETWEEN -1000000 AND 1000000);
COMMENT ON COLUMN {schema}.fact_sales.amount IS 'GBP, quantity x unit_price';
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
    ALTER COLUMN amount TYPE NUMERIC(38, 4),
    ALTER COLUMN amount_loaded TYPE NUMERIC(38, 4);
ALTER TABLE {schema}.etl_receipt
    ALTER COLUMN amount_in TYPE NUMERIC(38, 4),
    ALTER COLUMN amount_loaded TYPE NUMERIC(38, 4),
    ALTER COLUMN amount_duplicate TYPE NUMERIC(38, 4),
    ALTER COLUMN amount_quarantined TYPE NUMERIC(38, 4),
    ALTER COLUMN amount_already_seen TYPE NUMERIC(38, 4);
