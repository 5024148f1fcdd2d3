-- Back to lines in the base currency alone; refused where a fact is in another.

DO $$ BEGIN
    IF EXISTS (SELECT FROM {schema}.fact_sales WHERE currency <> '{base}') THEN
        RAISE EXCEPTION 'There are facts in other currencies, which revision 0002 cannot hold: keep this revision.';
    END IF;
END $$;

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
    DROP COLUMN currency,
    DROP COLUMN original_unit_price,
    DROP COLUMN original_amount,
    DROP COLUMN base_rate,
    ALTER COLUMN unit_price TYPE NUMERIC(14, 6),
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
    ADD CONSTRAINT ck_fact_sales_unit_price_range CHECK (unit_price BETWEEN -1000000 AND 1000000);
COMMENT ON COLUMN {schema}.fact_sales.unit_price IS 'GBP a unit';
COMMENT ON COLUMN {schema}.fact_sales.amount IS 'GBP: what the line states it costs in all, else quantity x unit_price';
COMMENT ON COLUMN {schema}.fact_sales.amount_declared IS 'Whether the line states its amount, which may then differ from quantity x unit_price';
COMMENT ON COLUMN {schema}.fact_sales.rate_usd IS 'USD for one GBP';
COMMENT ON COLUMN {schema}.fact_sales.rate_eur IS 'EUR for one GBP';
COMMENT ON COLUMN {schema}.fact_sales.rate_cad IS 'CAD for one GBP';
COMMENT ON COLUMN {schema}.fact_sales.rate_aud IS 'AUD for one GBP';
COMMENT ON COLUMN {schema}.fact_sales.rate_jpy IS 'JPY for one GBP';
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

ALTER TABLE {schema}.etl_batch DROP COLUMN loaded;
COMMENT ON COLUMN {schema}.etl_batch.amount IS 'GBP, sum over the staged facts';
COMMENT ON COLUMN {schema}.etl_batch.amount_loaded IS 'GBP, sum over the facts that are live as this batch''s';
COMMENT ON COLUMN {schema}.etl_receipt.amount_in IS 'GBP that came in';
COMMENT ON COLUMN {schema}.etl_receipt.amount_loaded IS 'GBP loaded';
COMMENT ON COLUMN {schema}.etl_receipt.amount_duplicate IS 'GBP of duplicate rows';
COMMENT ON COLUMN {schema}.etl_receipt.amount_quarantined IS 'GBP of quarantined rows';
COMMENT ON COLUMN {schema}.etl_receipt.amount_already_seen IS 'GBP of rows that an earlier run loaded';

COMMENT ON COLUMN {schema}.mart_daily_sales.revenue IS 'GBP of all lines';
COMMENT ON COLUMN {schema}.mart_daily_sales.gross_sales IS 'GBP of the lines of kind sale';
COMMENT ON COLUMN {schema}.mart_country_sales.revenue IS 'GBP of all lines';
COMMENT ON COLUMN {schema}.mart_country_sales.gross_sales IS 'GBP of the lines of kind sale';
COMMENT ON COLUMN {schema}.mart_product_sales.revenue IS 'GBP of all lines';
COMMENT ON COLUMN {schema}.mart_product_sales.gross_sales IS 'GBP of the lines of kind sale';
COMMENT ON COLUMN {schema}.mart_customer_rfm.monetary IS 'GBP of the lines of kind sale';
