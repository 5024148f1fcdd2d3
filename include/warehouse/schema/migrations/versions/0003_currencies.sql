-- Lines in other currencies than the base currency, which all lines so far are in.

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
    DROP CONSTRAINT ck_fact_sales_unit_price_range,
    ADD COLUMN currency TEXT NOT NULL DEFAULT '{base}',
    ADD COLUMN original_unit_price NUMERIC(18, 6),
    ADD COLUMN original_amount NUMERIC(18, 6),
    ADD COLUMN base_rate NUMERIC(18, 12) NOT NULL DEFAULT 1;
UPDATE {schema}.fact_sales SET original_unit_price = unit_price, original_amount = amount;
ALTER TABLE {schema}.fact_sales
    ALTER COLUMN currency DROP DEFAULT,
    ALTER COLUMN base_rate DROP DEFAULT,
    ALTER COLUMN original_unit_price SET NOT NULL,
    ALTER COLUMN original_amount SET NOT NULL,
    ALTER COLUMN unit_price TYPE NUMERIC(18, 6),
    ADD COLUMN amount_usd NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'USD' THEN round(original_amount, 2) ELSE round(amount * rate_usd, 2) END) STORED,
    ADD COLUMN amount_eur NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'EUR' THEN round(original_amount, 2) ELSE round(amount * rate_eur, 2) END) STORED,
    ADD COLUMN amount_cad NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'CAD' THEN round(original_amount, 2) ELSE round(amount * rate_cad, 2) END) STORED,
    ADD COLUMN amount_aud NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'AUD' THEN round(original_amount, 2) ELSE round(amount * rate_aud, 2) END) STORED,
    ADD COLUMN amount_jpy NUMERIC(18, 0) GENERATED ALWAYS AS (
        CASE WHEN currency = 'JPY' THEN round(original_amount, 0) ELSE round(amount * rate_jpy, 0) END) STORED,
    ADD COLUMN unit_price_usd NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'USD' THEN round(original_unit_price, 2) ELSE round(unit_price * rate_usd, 2) END) STORED,
    ADD COLUMN unit_price_eur NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'EUR' THEN round(original_unit_price, 2) ELSE round(unit_price * rate_eur, 2) END) STORED,
    ADD COLUMN unit_price_cad NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'CAD' THEN round(original_unit_price, 2) ELSE round(unit_price * rate_cad, 2) END) STORED,
    ADD COLUMN unit_price_aud NUMERIC(18, 2) GENERATED ALWAYS AS (
        CASE WHEN currency = 'AUD' THEN round(original_unit_price, 2) ELSE round(unit_price * rate_aud, 2) END) STORED,
    ADD COLUMN unit_price_jpy NUMERIC(18, 0) GENERATED ALWAYS AS (
        CASE WHEN currency = 'JPY' THEN round(original_unit_price, 0) ELSE round(unit_price * rate_jpy, 0) END) STORED,
    ADD CONSTRAINT ck_fact_sales_amount CHECK (amount_declared OR original_amount = quantity * original_unit_price),
    ADD CONSTRAINT ck_fact_sales_converted
        CHECK (base_rate <> 1 OR (amount = original_amount AND unit_price = original_unit_price)),
    ADD CONSTRAINT ck_fact_sales_currency CHECK (currency = upper(currency) AND length(currency) = 3),
    ADD CONSTRAINT ck_fact_sales_original_unit_price_range
        CHECK (original_unit_price BETWEEN -1000000 AND 1000000);
COMMENT ON COLUMN {schema}.fact_sales.unit_price IS 'Price of a unit in the base currency, half up to six places if converted';
COMMENT ON COLUMN {schema}.fact_sales.amount IS 'Amount in the base currency, of a line in another converted at base_rate, half up to its coins';
COMMENT ON COLUMN {schema}.fact_sales.amount_declared IS 'Whether the line states its amount, which may then differ from quantity x original_unit_price';
COMMENT ON COLUMN {schema}.fact_sales.rate_usd IS 'USD for one unit of the base currency';
COMMENT ON COLUMN {schema}.fact_sales.rate_eur IS 'EUR for one unit of the base currency';
COMMENT ON COLUMN {schema}.fact_sales.rate_cad IS 'CAD for one unit of the base currency';
COMMENT ON COLUMN {schema}.fact_sales.rate_aud IS 'AUD for one unit of the base currency';
COMMENT ON COLUMN {schema}.fact_sales.rate_jpy IS 'JPY for one unit of the base currency';
COMMENT ON COLUMN {schema}.fact_sales.currency IS 'Code of the line''s own currency';
COMMENT ON COLUMN {schema}.fact_sales.original_unit_price IS 'Price of a unit in the line''s own currency';
COMMENT ON COLUMN {schema}.fact_sales.original_amount IS 'In the line''s own currency: what the line states it costs in all, else quantity x original_unit_price';
COMMENT ON COLUMN {schema}.fact_sales.base_rate IS 'Units of the base currency for one of the line''s own on fx_date';
COMMENT ON COLUMN {schema}.fact_sales.amount_usd IS 'USD, amount at the line''s rate, or original_amount of a line in USD; half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_eur IS 'EUR, amount at the line''s rate, or original_amount of a line in EUR; half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_cad IS 'CAD, amount at the line''s rate, or original_amount of a line in CAD; half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_aud IS 'AUD, amount at the line''s rate, or original_amount of a line in AUD; half up';
COMMENT ON COLUMN {schema}.fact_sales.amount_jpy IS 'JPY, amount at the line''s rate, or original_amount of a line in JPY; half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_usd IS 'USD, unit_price at the line''s rate, or original_unit_price of a line in USD; half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_eur IS 'EUR, unit_price at the line''s rate, or original_unit_price of a line in EUR; half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_cad IS 'CAD, unit_price at the line''s rate, or original_unit_price of a line in CAD; half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_aud IS 'AUD, unit_price at the line''s rate, or original_unit_price of a line in AUD; half up';
COMMENT ON COLUMN {schema}.fact_sales.unit_price_jpy IS 'JPY, unit_price at the line''s rate, or original_unit_price of a line in JPY; half up';

ALTER TABLE {schema}.etl_batch ADD COLUMN loaded JSONB;
UPDATE {schema}.etl_batch SET loaded = jsonb_build_object('{base}', CAST(amount_loaded AS text));
ALTER TABLE {schema}.etl_batch ALTER COLUMN loaded SET NOT NULL;
COMMENT ON COLUMN {schema}.etl_batch.loaded IS 'Currency -> sum over these facts that are in it, in that currency';
COMMENT ON COLUMN {schema}.etl_batch.amount IS 'Sum over the staged facts, in the base currency';
COMMENT ON COLUMN {schema}.etl_batch.amount_loaded IS 'Sum over the facts that are live as this batch''s, in the base currency';
COMMENT ON COLUMN {schema}.etl_receipt.amount_in IS 'Money in the base currency that came in; other currencies in document';
COMMENT ON COLUMN {schema}.etl_receipt.amount_loaded IS 'Of it, loaded';
COMMENT ON COLUMN {schema}.etl_receipt.amount_duplicate IS 'Of it, duplicate rows';
COMMENT ON COLUMN {schema}.etl_receipt.amount_quarantined IS 'Of it, quarantined rows';
COMMENT ON COLUMN {schema}.etl_receipt.amount_already_seen IS 'Of it, rows that an earlier run loaded';

COMMENT ON COLUMN {schema}.mart_daily_sales.revenue IS 'Amount of all lines in the base currency';
COMMENT ON COLUMN {schema}.mart_daily_sales.gross_sales IS 'Amount of the lines of kind sale in the base currency';
COMMENT ON COLUMN {schema}.mart_country_sales.revenue IS 'Amount of all lines in the base currency';
COMMENT ON COLUMN {schema}.mart_country_sales.gross_sales IS 'Amount of the lines of kind sale in the base currency';
COMMENT ON COLUMN {schema}.mart_product_sales.revenue IS 'Amount of all lines in the base currency';
COMMENT ON COLUMN {schema}.mart_product_sales.gross_sales IS 'Amount of the lines of kind sale in the base currency';
COMMENT ON COLUMN {schema}.mart_customer_rfm.monetary IS 'Amount of the lines of kind sale in the base currency';
