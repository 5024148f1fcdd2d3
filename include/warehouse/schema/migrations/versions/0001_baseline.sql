-- The tables, their indices and unknown members, and the views of the data mart.

CREATE TABLE {schema}.dim_country (
    country_key BIGINT NOT NULL,
    country TEXT NOT NULL,
    is_country BOOLEAN,
    iso2 TEXT,
    iso3 TEXT,
    region TEXT,
    subregion TEXT,
    continent TEXT,
    population BIGINT,
    latitude NUMERIC(9, 6),
    longitude NUMERIC(9, 6),
    facts_source TEXT,
    facts_missing TEXT,
    enriched_at TIMESTAMP WITHOUT TIME ZONE,
    CONSTRAINT pk_dim_country PRIMARY KEY (country_key),
    CONSTRAINT uq_dim_country_country UNIQUE (country),
    CONSTRAINT ck_dim_country_country_not_empty CHECK (country <> '')
);
COMMENT ON TABLE {schema}.dim_country IS 'Countries invoices were made out to';
COMMENT ON COLUMN {schema}.dim_country.country_key IS 'First 60 bits of SHA-256 of the country; 0 is the unknown country';
COMMENT ON COLUMN {schema}.dim_country.country IS 'Name of the country';
COMMENT ON COLUMN {schema}.dim_country.is_country IS 'Whether the name stands for a country or territory';
COMMENT ON COLUMN {schema}.dim_country.iso2 IS 'ISO 3166-1 alpha-2 code';
COMMENT ON COLUMN {schema}.dim_country.iso3 IS 'ISO 3166-1 alpha-3 code';
COMMENT ON COLUMN {schema}.dim_country.region IS 'Region, such as Europe';
COMMENT ON COLUMN {schema}.dim_country.subregion IS 'Subregion, such as Northern Europe';
COMMENT ON COLUMN {schema}.dim_country.continent IS 'Continent';
COMMENT ON COLUMN {schema}.dim_country.population IS 'Inhabitants';
COMMENT ON COLUMN {schema}.dim_country.latitude IS 'Degrees north';
COMMENT ON COLUMN {schema}.dim_country.longitude IS 'Degrees east';
COMMENT ON COLUMN {schema}.dim_country.facts_source IS 'Where the facts are from';
COMMENT ON COLUMN {schema}.dim_country.facts_missing IS 'Why there are no facts';
COMMENT ON COLUMN {schema}.dim_country.enriched_at IS 'When the facts were recorded, UTC';

CREATE TABLE {schema}.dim_date (
    date_key INTEGER NOT NULL,
    full_date DATE,
    year SMALLINT NOT NULL,
    quarter SMALLINT NOT NULL,
    month SMALLINT NOT NULL,
    month_name TEXT NOT NULL,
    day SMALLINT NOT NULL,
    day_of_week SMALLINT NOT NULL,
    day_name TEXT NOT NULL,
    iso_week SMALLINT NOT NULL,
    is_weekend BOOLEAN NOT NULL,
    CONSTRAINT pk_dim_date PRIMARY KEY (date_key),
    CONSTRAINT uq_dim_date_full_date UNIQUE (full_date),
    CONSTRAINT ck_dim_date_key CHECK (date_key = year * 10000 + month * 100 + day),
    CONSTRAINT ck_dim_date_ranges CHECK (date_key = 0 OR (full_date IS NOT NULL AND quarter BETWEEN 1 AND 4 AND
        month BETWEEN 1 AND 12 AND day BETWEEN 1 AND 31 AND day_of_week BETWEEN 1 AND 7 AND iso_week BETWEEN 1 AND
        53))
);
COMMENT ON TABLE {schema}.dim_date IS 'Every day of the calendar years that have invoice lines; day 0 is the unknown day';
COMMENT ON COLUMN {schema}.dim_date.date_key IS 'yyyymmdd; 0 is the unknown day';
COMMENT ON COLUMN {schema}.dim_date.full_date IS 'The day; null for the unknown day';
COMMENT ON COLUMN {schema}.dim_date.year IS 'Calendar year';
COMMENT ON COLUMN {schema}.dim_date.quarter IS 'Quarter of the year, 1 to 4';
COMMENT ON COLUMN {schema}.dim_date.month IS 'Month of the year, 1 to 12';
COMMENT ON COLUMN {schema}.dim_date.month_name IS 'English name of the month';
COMMENT ON COLUMN {schema}.dim_date.day IS 'Day of the month, 1 to 31';
COMMENT ON COLUMN {schema}.dim_date.day_of_week IS 'ISO day of the week, 1 is Monday';
COMMENT ON COLUMN {schema}.dim_date.day_name IS 'English name of the day of the week';
COMMENT ON COLUMN {schema}.dim_date.iso_week IS 'ISO week of the year, 1 to 53';
COMMENT ON COLUMN {schema}.dim_date.is_weekend IS 'Whether the day is a Saturday or Sunday';

CREATE TABLE {schema}.dim_invoice (
    invoice_key BIGINT NOT NULL,
    invoice_no TEXT NOT NULL,
    kind TEXT NOT NULL,
    first_line_at TIMESTAMP WITHOUT TIME ZONE,
    last_line_at TIMESTAMP WITHOUT TIME ZONE,
    CONSTRAINT pk_dim_invoice PRIMARY KEY (invoice_key),
    CONSTRAINT uq_dim_invoice_invoice_no UNIQUE (invoice_no),
    CONSTRAINT ck_dim_invoice_invoice_no_not_empty CHECK (invoice_no <> ''),
    CONSTRAINT ck_dim_invoice_kind CHECK (kind IN ('sale', 'cancellation', 'adjustment') OR invoice_key = 0),
    CONSTRAINT ck_dim_invoice_lines_in_order CHECK (first_line_at <= last_line_at)
);
COMMENT ON TABLE {schema}.dim_invoice IS 'Invoices, cancellations (C...) and adjustments (A...)';
COMMENT ON COLUMN {schema}.dim_invoice.invoice_key IS 'First 60 bits of SHA-256 of the invoice number; 0 is the unknown invoice';
COMMENT ON COLUMN {schema}.dim_invoice.invoice_no IS 'Normalised invoice number';
COMMENT ON COLUMN {schema}.dim_invoice.kind IS 'Kind of document: sale, cancellation, adjustment';
COMMENT ON COLUMN {schema}.dim_invoice.first_line_at IS 'Shop time of the earliest line';
COMMENT ON COLUMN {schema}.dim_invoice.last_line_at IS 'Shop time of the latest line';

CREATE TABLE {schema}.dim_product (
    product_key BIGINT NOT NULL,
    stock_code TEXT NOT NULL,
    description TEXT,
    product_type TEXT NOT NULL,
    is_product BOOLEAN NOT NULL,
    described_at TIMESTAMP WITHOUT TIME ZONE,
    first_sold_at TIMESTAMP WITHOUT TIME ZONE,
    last_sold_at TIMESTAMP WITHOUT TIME ZONE,
    category TEXT,
    subcategory TEXT,
    brand TEXT,
    category_confidence NUMERIC(4, 3),
    category_version TEXT,
    enriched_at TIMESTAMP WITHOUT TIME ZONE,
    CONSTRAINT pk_dim_product PRIMARY KEY (product_key),
    CONSTRAINT uq_dim_product_stock_code UNIQUE (stock_code),
    CONSTRAINT ck_dim_product_sold_in_order CHECK (first_sold_at <= last_sold_at),
    CONSTRAINT ck_dim_product_stock_code_not_empty CHECK (stock_code <> '')
);
COMMENT ON TABLE {schema}.dim_product IS 'Stock codes; what is not goods (postage, fees, ...) is told by product_type';
COMMENT ON COLUMN {schema}.dim_product.product_key IS 'First 60 bits of SHA-256 of the stock code; 0 is the unknown product';
COMMENT ON COLUMN {schema}.dim_product.stock_code IS 'Normalised stock code';
COMMENT ON COLUMN {schema}.dim_product.description IS 'Description on the latest line that has a price';
COMMENT ON COLUMN {schema}.dim_product.product_type IS 'product, or the type of a code that is not goods: postage, fee, ...';
COMMENT ON COLUMN {schema}.dim_product.is_product IS 'Whether the code stands for goods';
COMMENT ON COLUMN {schema}.dim_product.described_at IS 'Shop time of the line the description was taken from';
COMMENT ON COLUMN {schema}.dim_product.first_sold_at IS 'Shop time of the first line';
COMMENT ON COLUMN {schema}.dim_product.last_sold_at IS 'Shop time of the latest line';
COMMENT ON COLUMN {schema}.dim_product.category IS 'Category of goods; uncategorised if the model is not sure';
COMMENT ON COLUMN {schema}.dim_product.subcategory IS 'Subcategory';
COMMENT ON COLUMN {schema}.dim_product.brand IS 'Brand, licence or named line';
COMMENT ON COLUMN {schema}.dim_product.category_confidence IS 'Confidence of the model, 0 to 1';
COMMENT ON COLUMN {schema}.dim_product.category_version IS 'Version of the model that answered';
COMMENT ON COLUMN {schema}.dim_product.enriched_at IS 'When the category was recorded, UTC';

CREATE TABLE {schema}.etl_audit (
    audit_id UUID NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    username TEXT NOT NULL,
    method TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    reason TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    details JSONB NOT NULL,
    CONSTRAINT pk_etl_audit PRIMARY KEY (audit_id),
    CONSTRAINT ck_etl_audit_outcome CHECK (outcome IN ('done', 'refused', 'failed', 'unknown'))
);
CREATE INDEX ix_etl_audit_occurred_at ON {schema}.etl_audit (occurred_at);
CREATE INDEX ix_etl_audit_username_occurred_at ON {schema}.etl_audit (username, occurred_at);
COMMENT ON TABLE {schema}.etl_audit IS 'Audit trail of the API: every change asked for, every refused sign-in';
COMMENT ON COLUMN {schema}.etl_audit.audit_id IS 'Identity of the entry';
COMMENT ON COLUMN {schema}.etl_audit.occurred_at IS 'When the request came';
COMMENT ON COLUMN {schema}.etl_audit.username IS 'User of Airflow, or the name that was given; empty if none was';
COMMENT ON COLUMN {schema}.etl_audit.method IS 'How the user was proven: basic, jwt, session; empty if not';
COMMENT ON COLUMN {schema}.etl_audit.address IS 'Where the request came from';
COMMENT ON COLUMN {schema}.etl_audit.action IS 'HTTP method and route, such as POST /api/v1/files';
COMMENT ON COLUMN {schema}.etl_audit.target IS 'Path and query of the request, as sent';
COMMENT ON COLUMN {schema}.etl_audit.outcome IS 'What became of it: done, refused, failed, unknown';
COMMENT ON COLUMN {schema}.etl_audit.status IS 'HTTP status of the answer';
COMMENT ON COLUMN {schema}.etl_audit.reason IS 'Why it was refused; empty if it was not';
COMMENT ON COLUMN {schema}.etl_audit.correlation_id IS 'Id of the request in the log';
COMMENT ON COLUMN {schema}.etl_audit.details IS 'What was changed: files, runs, parameters';

CREATE TABLE {schema}.etl_batch (
    batch_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    token TEXT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    rebuilt_days JSONB NOT NULL,
    rows_staged JSONB NOT NULL,
    rows_written JSONB NOT NULL,
    facts_deleted INTEGER NOT NULL,
    amount NUMERIC(38, 4) NOT NULL,
    facts_loaded INTEGER NOT NULL,
    amount_loaded NUMERIC(38, 4) NOT NULL,
    CONSTRAINT pk_etl_batch PRIMARY KEY (batch_id),
    CONSTRAINT ck_etl_batch_kind CHECK (kind IN ('drop', 'rebuild'))
);
COMMENT ON TABLE {schema}.etl_batch IS 'Published batches: the record that makes publishing repeatable';
COMMENT ON COLUMN {schema}.etl_batch.batch_id IS 'Batch, sortable by claim time';
COMMENT ON COLUMN {schema}.etl_batch.run_id IS 'Airflow run that published it';
COMMENT ON COLUMN {schema}.etl_batch.kind IS 'drop (files) or rebuild (invoice days from Bronze)';
COMMENT ON COLUMN {schema}.etl_batch.token IS 'Identity of the Gold output that was published';
COMMENT ON COLUMN {schema}.etl_batch.published_at IS 'When the batch was ready to commit';
COMMENT ON COLUMN {schema}.etl_batch.rebuilt_days IS 'Rebuilt invoice days, ISO dates; empty for a drop';
COMMENT ON COLUMN {schema}.etl_batch.rows_staged IS 'Rows staged by table';
COMMENT ON COLUMN {schema}.etl_batch.rows_written IS 'Rows inserted or changed by table';
COMMENT ON COLUMN {schema}.etl_batch.facts_deleted IS 'Facts a rebuild found gone';
COMMENT ON COLUMN {schema}.etl_batch.amount IS 'GBP, sum over the staged facts';
COMMENT ON COLUMN {schema}.etl_batch.facts_loaded IS 'Staged facts that are live as this batch''s';
COMMENT ON COLUMN {schema}.etl_batch.amount_loaded IS 'GBP, sum over the facts that are live as this batch''s';

CREATE TABLE {schema}.etl_quality (
    batch_id TEXT NOT NULL,
    level TEXT NOT NULL,
    name TEXT NOT NULL,
    run_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    weight DOUBLE PRECISION,
    failing BIGINT,
    rows BIGINT,
    score DOUBLE PRECISION,
    cost DOUBLE PRECISION,
    bar DOUBLE PRECISION NOT NULL,
    CONSTRAINT pk_etl_quality PRIMARY KEY (batch_id, level, name),
    CONSTRAINT ck_etl_quality_failing_range CHECK (failing BETWEEN 0 AND rows),
    CONSTRAINT ck_etl_quality_kind CHECK (kind IN ('drop', 'rebuild')),
    CONSTRAINT ck_etl_quality_level CHECK (level IN ('overall', 'dimension', 'column', 'rule')),
    CONSTRAINT ck_etl_quality_score_range CHECK (score BETWEEN 0 AND 1),
    CONSTRAINT ck_etl_quality_status CHECK (status IN ('passed', 'held', 'released', 'nothing_to_score'))
);
COMMENT ON TABLE {schema}.etl_quality IS 'Quality scores of batches: overall, and by dimension, column and rule';
COMMENT ON COLUMN {schema}.etl_quality.batch_id IS 'Batch, sortable by claim time';
COMMENT ON COLUMN {schema}.etl_quality.level IS 'What was scored: overall, dimension, column, rule';
COMMENT ON COLUMN {schema}.etl_quality.name IS 'Which dimension, column or rule; overall for the overall score';
COMMENT ON COLUMN {schema}.etl_quality.run_id IS 'Airflow run of the batch';
COMMENT ON COLUMN {schema}.etl_quality.kind IS 'drop (files) or rebuild (invoice days from Bronze)';
COMMENT ON COLUMN {schema}.etl_quality.scored_at IS 'When the batch was audited';
COMMENT ON COLUMN {schema}.etl_quality.status IS 'Verdict on the batch: passed, held, released, nothing_to_score';
COMMENT ON COLUMN {schema}.etl_quality.weight IS 'What the overall score loses if every row fails; of rules';
COMMENT ON COLUMN {schema}.etl_quality.failing IS 'Rows that fail the rule; for the overall score the quarantined rows';
COMMENT ON COLUMN {schema}.etl_quality.rows IS 'Rows looked at; for the overall score all that came in';
COMMENT ON COLUMN {schema}.etl_quality.score IS '0 to 1; null if there was no row to look at';
COMMENT ON COLUMN {schema}.etl_quality.cost IS 'What it took off the overall score; of rules';
COMMENT ON COLUMN {schema}.etl_quality.bar IS 'Overall score the batch had to reach';

CREATE TABLE {schema}.etl_receipt (
    run_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    rows_in BIGINT NOT NULL,
    rows_loaded BIGINT NOT NULL,
    rows_duplicate BIGINT NOT NULL,
    rows_quarantined BIGINT NOT NULL,
    rows_already_seen BIGINT NOT NULL,
    amount_in NUMERIC(38, 4) NOT NULL,
    amount_loaded NUMERIC(38, 4) NOT NULL,
    amount_duplicate NUMERIC(38, 4) NOT NULL,
    amount_quarantined NUMERIC(38, 4) NOT NULL,
    amount_already_seen NUMERIC(38, 4) NOT NULL,
    document JSONB NOT NULL,
    CONSTRAINT pk_etl_receipt PRIMARY KEY (run_id),
    CONSTRAINT ck_etl_receipt_amount_balance CHECK (amount_in = amount_loaded + amount_duplicate +
        amount_quarantined + amount_already_seen),
    CONSTRAINT ck_etl_receipt_kind CHECK (kind IN ('drop', 'rebuild')),
    CONSTRAINT ck_etl_receipt_rows_balance CHECK (rows_in = rows_loaded + rows_duplicate + rows_quarantined +
        rows_already_seen),
    CONSTRAINT ck_etl_receipt_status CHECK (status IN ('loaded', 'nothing_new', 'rejected'))
);
CREATE INDEX ix_etl_receipt_finished_at ON {schema}.etl_receipt (finished_at);
COMMENT ON TABLE {schema}.etl_receipt IS 'One receipt a run: what came in and what became of it';
COMMENT ON COLUMN {schema}.etl_receipt.run_id IS 'Airflow run id';
COMMENT ON COLUMN {schema}.etl_receipt.batch_id IS 'Batch of the run';
COMMENT ON COLUMN {schema}.etl_receipt.kind IS 'drop (files) or rebuild (invoice days from Bronze)';
COMMENT ON COLUMN {schema}.etl_receipt.status IS 'Outcome: loaded, nothing_new, rejected';
COMMENT ON COLUMN {schema}.etl_receipt.started_at IS 'Start of the run';
COMMENT ON COLUMN {schema}.etl_receipt.finished_at IS 'End of the run';
COMMENT ON COLUMN {schema}.etl_receipt.rows_in IS 'Rows that came in';
COMMENT ON COLUMN {schema}.etl_receipt.rows_loaded IS 'Rows loaded';
COMMENT ON COLUMN {schema}.etl_receipt.rows_duplicate IS 'Rows that repeat another line in full';
COMMENT ON COLUMN {schema}.etl_receipt.rows_quarantined IS 'Rows kept out; by reason in document';
COMMENT ON COLUMN {schema}.etl_receipt.rows_already_seen IS 'Rows that an earlier run loaded';
COMMENT ON COLUMN {schema}.etl_receipt.amount_in IS 'GBP that came in';
COMMENT ON COLUMN {schema}.etl_receipt.amount_loaded IS 'GBP loaded';
COMMENT ON COLUMN {schema}.etl_receipt.amount_duplicate IS 'GBP of duplicate rows';
COMMENT ON COLUMN {schema}.etl_receipt.amount_quarantined IS 'GBP of quarantined rows';
COMMENT ON COLUMN {schema}.etl_receipt.amount_already_seen IS 'GBP of rows that an earlier run loaded';
COMMENT ON COLUMN {schema}.etl_receipt.document IS 'The whole receipt';

CREATE TABLE {schema}.dim_customer (
    customer_key BIGINT NOT NULL,
    customer_id TEXT NOT NULL,
    country_key BIGINT NOT NULL,
    first_invoice_at TIMESTAMP WITHOUT TIME ZONE,
    last_invoice_at TIMESTAMP WITHOUT TIME ZONE,
    CONSTRAINT pk_dim_customer PRIMARY KEY (customer_key),
    CONSTRAINT uq_dim_customer_customer_id UNIQUE (customer_id),
    CONSTRAINT fk_dim_customer_country_key FOREIGN KEY(country_key) REFERENCES {schema}.dim_country (country_key),
    CONSTRAINT ck_dim_customer_customer_id_not_empty CHECK (customer_id <> ''),
    CONSTRAINT ck_dim_customer_invoiced_in_order CHECK (first_invoice_at <= last_invoice_at)
);
COMMENT ON TABLE {schema}.dim_customer IS 'Customers; sales without a customer id belong to customer 0';
COMMENT ON COLUMN {schema}.dim_customer.customer_key IS 'First 60 bits of SHA-256 of the customer id; 0 is the unknown customer';
COMMENT ON COLUMN {schema}.dim_customer.customer_id IS 'Customer id as normalised from the source';
COMMENT ON COLUMN {schema}.dim_customer.country_key IS 'Country of the latest invoice';
COMMENT ON COLUMN {schema}.dim_customer.first_invoice_at IS 'Shop time of the first line';
COMMENT ON COLUMN {schema}.dim_customer.last_invoice_at IS 'Shop time of the latest line';

CREATE TABLE {schema}.fact_sales (
    sale_id UUID NOT NULL,
    date_key INTEGER NOT NULL,
    product_key BIGINT NOT NULL,
    customer_key BIGINT NOT NULL,
    country_key BIGINT NOT NULL,
    invoice_key BIGINT NOT NULL,
    sold_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price NUMERIC(14, 4) NOT NULL,
    amount NUMERIC(18, 4) NOT NULL,
    kind TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    fx_date DATE,
    fx_source TEXT,
    fx_missing TEXT,
    rate_usd NUMERIC(18, 8),
    rate_eur NUMERIC(18, 8),
    rate_cad NUMERIC(18, 8),
    rate_aud NUMERIC(18, 8),
    rate_jpy NUMERIC(18, 8),
    amount_usd NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_usd, 2)) STORED,
    amount_eur NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_eur, 2)) STORED,
    amount_cad NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_cad, 2)) STORED,
    amount_aud NUMERIC(18, 2) GENERATED ALWAYS AS (round(amount * rate_aud, 2)) STORED,
    amount_jpy NUMERIC(18, 0) GENERATED ALWAYS AS (round(amount * rate_jpy, 0)) STORED,
    unit_price_usd NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_usd, 2)) STORED,
    unit_price_eur NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_eur, 2)) STORED,
    unit_price_cad NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_cad, 2)) STORED,
    unit_price_aud NUMERIC(18, 2) GENERATED ALWAYS AS (round(unit_price * rate_aud, 2)) STORED,
    unit_price_jpy NUMERIC(18, 0) GENERATED ALWAYS AS (round(unit_price * rate_jpy, 0)) STORED,
    CONSTRAINT pk_fact_sales PRIMARY KEY (sale_id),
    CONSTRAINT fk_fact_sales_country_key FOREIGN KEY(country_key) REFERENCES {schema}.dim_country (country_key),
    CONSTRAINT fk_fact_sales_customer_key FOREIGN KEY(customer_key) REFERENCES {schema}.dim_customer (customer_key),
    CONSTRAINT fk_fact_sales_date_key FOREIGN KEY(date_key) REFERENCES {schema}.dim_date (date_key),
    CONSTRAINT fk_fact_sales_invoice_key FOREIGN KEY(invoice_key) REFERENCES {schema}.dim_invoice (invoice_key),
    CONSTRAINT fk_fact_sales_product_key FOREIGN KEY(product_key) REFERENCES {schema}.dim_product (product_key),
    CONSTRAINT ck_fact_sales_amount CHECK (amount = quantity * unit_price),
    CONSTRAINT ck_fact_sales_fx_known_or_missing CHECK (fx_date IS NULL OR fx_missing IS NULL),
    CONSTRAINT ck_fact_sales_kind CHECK (kind IN ('sale', 'free_of_charge', 'return', 'cancellation', 'adjustment',
        'fee', 'stock_movement')),
    CONSTRAINT ck_fact_sales_quantity_range CHECK (quantity BETWEEN -1000000 AND 1000000),
    CONSTRAINT ck_fact_sales_sold_at_range CHECK (sold_at >= '1990-01-01' AND sold_at < '2100-01-01'),
    CONSTRAINT ck_fact_sales_unit_price_range CHECK (unit_price BETWEEN -1000000 AND 1000000)
);
CREATE INDEX ix_fact_sales_amount_sold_at_sale_id ON {schema}.fact_sales (amount, sold_at, sale_id);
CREATE INDEX ix_fact_sales_country_key_sold_at ON {schema}.fact_sales (country_key, sold_at);
CREATE INDEX ix_fact_sales_customer_key_sold_at ON {schema}.fact_sales (customer_key, sold_at);
CREATE INDEX ix_fact_sales_kind_sold_at ON {schema}.fact_sales (kind, sold_at) WHERE kind <> 'sale';
CREATE INDEX ix_fact_sales_product_key_sold_at ON {schema}.fact_sales (product_key, sold_at);
CREATE INDEX ix_fact_sales_sold_at ON {schema}.fact_sales (sold_at);
COMMENT ON TABLE {schema}.fact_sales IS 'Invoice lines: sales and every other kind of transaction; one row a line, duplicates removed';
COMMENT ON COLUMN {schema}.fact_sales.sale_id IS 'Identity of the line, made from its content';
COMMENT ON COLUMN {schema}.fact_sales.date_key IS 'Day of sold_at';
COMMENT ON COLUMN {schema}.fact_sales.product_key IS 'Product sold';
COMMENT ON COLUMN {schema}.fact_sales.customer_key IS 'Customer, 0 where the line names none';
COMMENT ON COLUMN {schema}.fact_sales.country_key IS 'Country of this line';
COMMENT ON COLUMN {schema}.fact_sales.invoice_key IS 'Invoice the line is on';
COMMENT ON COLUMN {schema}.fact_sales.sold_at IS 'Shop local time on the line';
COMMENT ON COLUMN {schema}.fact_sales.quantity IS 'Units; negative for returns, cancellations and stock losses';
COMMENT ON COLUMN {schema}.fact_sales.unit_price IS 'GBP a unit';
COMMENT ON COLUMN {schema}.fact_sales.amount IS 'GBP, quantity x unit_price';
COMMENT ON COLUMN {schema}.fact_sales.kind IS 'Kind of transaction: sale, free_of_charge, return, cancellation, adjustment, fee, stock_movement';
COMMENT ON COLUMN {schema}.fact_sales.batch_id IS 'Batch that first loaded the line';
COMMENT ON COLUMN {schema}.fact_sales.fx_date IS 'Day of the rates: the invoice day or the last one before';
COMMENT ON COLUMN {schema}.fact_sales.fx_source IS 'Where the rates are from';
COMMENT ON COLUMN {schema}.fact_sales.fx_missing IS 'Why there are no rates';
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

INSERT INTO {schema}.dim_date (
    date_key, year, quarter, month, month_name, day, day_of_week, day_name, iso_week, is_weekend
) VALUES (0, 0, 0, 0, '(unknown)', 0, 0, '(unknown)', 0, false);
INSERT INTO {schema}.dim_country (country_key, country) VALUES (0, '(unknown)');
INSERT INTO {schema}.dim_product (product_key, stock_code, product_type, is_product)
    VALUES (0, '(unknown)', '(unknown)', false);
INSERT INTO {schema}.dim_customer (customer_key, customer_id, country_key) VALUES (0, '(unknown)', 0);
INSERT INTO {schema}.dim_invoice (invoice_key, invoice_no, kind) VALUES (0, '(unknown)', '(unknown)');

-- security_invoker: a reader sees through a view what it may see in the tables.

CREATE VIEW {schema}.mart_daily_sales WITH (security_invoker = true) AS
SELECT d.date_key, d.full_date AS invoice_day, s.lines, s.invoices, s.units, s.revenue, s.gross_sales
FROM {schema}.dim_date d
CROSS JOIN LATERAL (
    SELECT count(DISTINCT invoice_key) AS invoices,
        count(*) AS lines, sum(quantity) AS units, CAST(sum(amount) AS numeric(20, 4)) AS revenue,
        CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 4)) AS gross_sales
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
    SELECT product_key, count(*) AS lines, sum(quantity) AS units, CAST(sum(amount) AS numeric(20, 4)) AS revenue,
        CAST(coalesce(sum(amount) FILTER (WHERE kind = 'sale'), 0) AS numeric(20, 4)) AS gross_sales
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
