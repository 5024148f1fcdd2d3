"""Tables of the warehouse: the star (`dim_*`, `fact_sales`) and what the pipeline records about itself (`etl_*`).

The models name the schema `retail_dwh`. An engine from `include.warehouse.make_engine` maps that name to the
configured schema, so the same models serve a warehouse under any name.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from include.domain.classify import KINDS
from include.domain.money import CURRENCIES, MONEY_PLACES, QUANTITY_PLACES
from include.quality.findings import LEVELS, STATUSES
from include.warehouse.schema.portable import exact_product, portable

MODEL_SCHEMA = "retail_dwh"
"""Name of the schema in the models; engines translate it to the configured one."""

UNKNOWN = "(unknown)"
"""Natural key of the unknown members."""

INVOICE_KINDS = ("sale", "cancellation", "adjustment")
RUN_KINDS = ("drop", "rebuild")
RECEIPT_STATUSES = ("loaded", "nothing_new", "rejected")

AUDIT_OUTCOMES = ("done", "refused", "failed", "unknown")
PRIVATE_TABLES = ("etl_audit",)
"""Tables that only the pipeline and Supabase's service_role may read: they tell of people."""

PRICE = Numeric(18, MONEY_PLACES)
MONEY = Numeric(18, MONEY_PLACES)
MONEY_TOTAL = Numeric(38, MONEY_PLACES)
"""Sums of amounts; wide enough for a quarantined row of 999,999,999 units at 9,999,999,999.9999."""

SCALED = "scaled"
"""Key in the `info` of a check: what it is where decimals are scaled to whole numbers."""

IS_PRODUCT = "original_amount = quantity * original_unit_price"
IS_SCALED_PRODUCT = exact_product("original_amount", "quantity", "original_unit_price", QUANTITY_PLACES)

BASE_RATE = Numeric(18, 12)
"""Units of the base currency for one of another: twelve places, as there are currencies of which one buys little."""

_AS_IS = "(amount = original_amount AND unit_price = original_unit_price)"
IS_CONVERTED = f"base_rate <> 1 OR {_AS_IS}"
IS_SCALED_CONVERTED = f"base_rate <> {10**12} OR {_AS_IS}"
"""What is converted at a rate of 1 is as it was; the same where decimals are scaled."""

ORIGINAL = "original"
"""Key in the `info` of a computed column: the column it is taken from where the line is in a currency, and that one."""

PRODUCT = "product"
"""Key in the `info` of a computed column: the names of the two columns it is the rounded product of."""

JSON_DOCUMENT = JSON().with_variant(JSONB(), "postgresql")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class WarehouseTable(SQLModel):
    """Base of the warehouse's tables; keeps them apart from any other SQLModel metadata in the process."""

    metadata = MetaData(schema=MODEL_SCHEMA, naming_convention=NAMING)


def _column(kind: Any, comment: str, *arguments: Any, nullable: bool = False, **options: Any) -> Any:
    return Field(sa_column=Column(portable(kind), *arguments, nullable=nullable, comment=comment, **options))


def _key(kind: Any, comment: str) -> Any:
    return _column(kind, comment, primary_key=True, autoincrement=False)


def _rate(currency: str) -> Any:
    return _column(Numeric(18, 8), f"{currency} for one unit of the base currency", nullable=True)


def _converted(column: str, currency: str) -> Any:
    """Return the column that the database computes from `column` and the line's rate, or has from the line itself."""
    places, rate, original = CURRENCIES[currency], f"rate_{currency.lower()}", f"original_{column}"
    value = Computed(
        f"CASE WHEN currency = '{currency}' THEN round({original}, {places}) "
        f"ELSE round({column} * {rate}, {places}) END",
        persisted=True,
    )
    comment = f"{currency}, {column} at the line's rate, or {original} of a line in {currency}; half up"
    info = {PRODUCT: (column, rate), ORIGINAL: (original, currency)}
    return _column(Numeric(18, places), comment, value, nullable=True, info=info)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


_RARE_KINDS = text("kind <> 'sale'")
"""Nearly all lines are sales: they are found by time, and need no index by kind."""


class DimDate(WarehouseTable, table=True):
    """Calendar day."""

    __tablename__: ClassVar[Any] = "dim_date"
    __table_args__ = (
        CheckConstraint("date_key = year * 10000 + month * 100 + day", name="key"),
        CheckConstraint(
            "date_key = 0 OR (full_date IS NOT NULL AND quarter BETWEEN 1 AND 4 AND month BETWEEN 1 AND 12 "
            "AND day BETWEEN 1 AND 31 AND day_of_week BETWEEN 1 AND 7 AND iso_week BETWEEN 1 AND 53)",
            name="ranges",
        ),
        {"comment": "Every day of the calendar years that have invoice lines; day 0 is the unknown day"},
    )

    date_key: int = _key(Integer, "yyyymmdd; 0 is the unknown day")
    full_date: date | None = _column(Date, "The day; null for the unknown day", nullable=True, unique=True)
    year: int = _column(SmallInteger, "Calendar year")
    quarter: int = _column(SmallInteger, "Quarter of the year, 1 to 4")
    month: int = _column(SmallInteger, "Month of the year, 1 to 12")
    month_name: str = _column(Text, "English name of the month")
    day: int = _column(SmallInteger, "Day of the month, 1 to 31")
    day_of_week: int = _column(SmallInteger, "ISO day of the week, 1 is Monday")
    day_name: str = _column(Text, "English name of the day of the week")
    iso_week: int = _column(SmallInteger, "ISO week of the year, 1 to 53")
    is_weekend: bool = _column(Boolean, "Whether the day is a Saturday or Sunday")


class DimCountry(WarehouseTable, table=True):
    """Country as written on the invoices, after normalisation."""

    __tablename__: ClassVar[Any] = "dim_country"
    __table_args__ = (
        CheckConstraint("country <> ''", name="country_not_empty"),
        {"comment": "Countries invoices were made out to"},
    )

    country_key: int = _key(BigInteger, "First 60 bits of SHA-256 of the country; 0 is the unknown country")
    country: str = _column(Text, "Name of the country", unique=True)
    is_country: bool | None = _column(Boolean, "Whether the name stands for a country or territory", nullable=True)
    iso2: str | None = _column(Text, "ISO 3166-1 alpha-2 code", nullable=True)
    iso3: str | None = _column(Text, "ISO 3166-1 alpha-3 code", nullable=True)
    region: str | None = _column(Text, "Region, such as Europe", nullable=True)
    subregion: str | None = _column(Text, "Subregion, such as Northern Europe", nullable=True)
    continent: str | None = _column(Text, "Continent", nullable=True)
    population: int | None = _column(BigInteger, "Inhabitants", nullable=True)
    latitude: Decimal | None = _column(Numeric(9, 6), "Degrees north", nullable=True)
    longitude: Decimal | None = _column(Numeric(9, 6), "Degrees east", nullable=True)
    facts_source: str | None = _column(Text, "Where the facts are from", nullable=True)
    facts_missing: str | None = _column(Text, "Why there are no facts", nullable=True)
    enriched_at: datetime | None = _column(DateTime, "When the facts were recorded, UTC", nullable=True)


class DimProduct(WarehouseTable, table=True):
    """Stock code: goods, and charges such as postage."""

    __tablename__: ClassVar[Any] = "dim_product"
    __table_args__ = (
        CheckConstraint("stock_code <> ''", name="stock_code_not_empty"),
        CheckConstraint("first_sold_at <= last_sold_at", name="sold_in_order"),
        {"comment": "Stock codes; what is not goods (postage, fees, ...) is told by product_type"},
    )

    product_key: int = _key(BigInteger, "First 60 bits of SHA-256 of the stock code; 0 is the unknown product")
    stock_code: str = _column(Text, "Normalised stock code", unique=True)
    description: str | None = _column(Text, "Description on the latest line that has a price", nullable=True)
    product_type: str = _column(Text, "product, or the type of a code that is not goods: postage, fee, ...")
    is_product: bool = _column(Boolean, "Whether the code stands for goods")
    described_at: datetime | None = _column(
        DateTime, "Shop time of the line the description was taken from", nullable=True
    )
    first_sold_at: datetime | None = _column(DateTime, "Shop time of the first line", nullable=True)
    last_sold_at: datetime | None = _column(DateTime, "Shop time of the latest line", nullable=True)
    category: str | None = _column(Text, "Category of goods; uncategorised if the model is not sure", nullable=True)
    subcategory: str | None = _column(Text, "Subcategory", nullable=True)
    brand: str | None = _column(Text, "Brand, licence or named line", nullable=True)
    category_confidence: Decimal | None = _column(Numeric(4, 3), "Confidence of the model, 0 to 1", nullable=True)
    category_version: str | None = _column(Text, "Version of the model that answered", nullable=True)
    enriched_at: datetime | None = _column(DateTime, "When the category was recorded, UTC", nullable=True)


class DimCustomer(WarehouseTable, table=True):
    """Customer, with the country of the latest invoice."""

    __tablename__: ClassVar[Any] = "dim_customer"
    __table_args__ = (
        CheckConstraint("customer_id <> ''", name="customer_id_not_empty"),
        CheckConstraint("first_invoice_at <= last_invoice_at", name="invoiced_in_order"),
        {"comment": "Customers; sales without a customer id belong to customer 0"},
    )

    customer_key: int = _key(BigInteger, "First 60 bits of SHA-256 of the customer id; 0 is the unknown customer")
    customer_id: str = _column(Text, "Customer id as normalised from the source", unique=True)
    country_key: int = _column(BigInteger, "Country of the latest invoice", ForeignKey("dim_country.country_key"))
    first_invoice_at: datetime | None = _column(DateTime, "Shop time of the first line", nullable=True)
    last_invoice_at: datetime | None = _column(DateTime, "Shop time of the latest line", nullable=True)


class DimInvoice(WarehouseTable, table=True):
    """Invoice document."""

    __tablename__: ClassVar[Any] = "dim_invoice"
    __table_args__ = (
        CheckConstraint("invoice_no <> ''", name="invoice_no_not_empty"),
        CheckConstraint(f"{_one_of('kind', INVOICE_KINDS)} OR invoice_key = 0", name="kind"),
        CheckConstraint("first_line_at <= last_line_at", name="lines_in_order"),
        {"comment": "Invoices, cancellations (C...) and adjustments (A...)"},
    )

    invoice_key: int = _key(BigInteger, "First 60 bits of SHA-256 of the invoice number; 0 is the unknown invoice")
    invoice_no: str = _column(Text, "Normalised invoice number", unique=True)
    kind: str = _column(Text, f"Kind of document: {', '.join(INVOICE_KINDS)}")
    first_line_at: datetime | None = _column(DateTime, "Shop time of the earliest line", nullable=True)
    last_line_at: datetime | None = _column(DateTime, "Shop time of the latest line", nullable=True)


class FactSales(WarehouseTable, table=True):
    """One invoice line."""

    __tablename__: ClassVar[Any] = "fact_sales"
    __table_args__ = (
        CheckConstraint(_one_of("kind", KINDS), name="kind"),
        CheckConstraint("quantity BETWEEN -1000000 AND 1000000", name="quantity_range"),
        CheckConstraint(
            f"amount_declared OR {IS_PRODUCT}", name="amount", info={SCALED: f"amount_declared OR {IS_SCALED_PRODUCT}"}
        ),
        CheckConstraint("original_unit_price BETWEEN -1000000 AND 1000000", name="original_unit_price_range"),
        CheckConstraint(IS_CONVERTED, name="converted", info={SCALED: IS_SCALED_CONVERTED}),
        CheckConstraint("currency = upper(currency) AND length(currency) = 3", name="currency"),
        CheckConstraint("sold_at >= '1990-01-01' AND sold_at < '2100-01-01'", name="sold_at_range"),
        CheckConstraint("fx_date IS NULL OR fx_missing IS NULL", name="fx_known_or_missing"),
        Index(None, "sold_at"),
        Index(None, "country_key", "sold_at"),
        Index(None, "product_key", "sold_at"),
        Index(None, "customer_key", "sold_at"),
        Index(None, "amount", "sold_at", "sale_id"),
        Index(None, "kind", "sold_at", postgresql_where=_RARE_KINDS, sqlite_where=_RARE_KINDS),
        {"comment": "Invoice lines: sales and every other kind of transaction; one row a line, duplicates removed"},
    )

    sale_id: UUID = _column(Uuid, "Identity of the line, made from its content", primary_key=True)
    date_key: int = _column(Integer, "Day of sold_at", ForeignKey("dim_date.date_key"))
    product_key: int = _column(BigInteger, "Product sold", ForeignKey("dim_product.product_key"))
    customer_key: int = _column(
        BigInteger, "Customer, 0 where the line names none", ForeignKey("dim_customer.customer_key")
    )
    country_key: int = _column(BigInteger, "Country of this line", ForeignKey("dim_country.country_key"))
    invoice_key: int = _column(BigInteger, "Invoice the line is on", ForeignKey("dim_invoice.invoice_key"))
    sold_at: datetime = _column(DateTime, "Shop local time on the line")
    quantity: Decimal = _column(
        Numeric(11, QUANTITY_PLACES), "Units; negative for returns, cancellations and stock losses"
    )
    unit_price: Decimal = _column(PRICE, "Price of a unit in the base currency, half up to six places if converted")
    amount: Decimal = _column(
        MONEY, "Amount in the base currency, of a line in another converted at base_rate, half up to its coins"
    )
    kind: str = _column(Text, f"Kind of transaction: {', '.join(KINDS)}")
    batch_id: str = _column(Text, "Batch that first loaded the line")
    fx_date: date | None = _column(Date, "Day of the rates: the invoice day or the last one before", nullable=True)
    fx_source: str | None = _column(Text, "Where the rates are from", nullable=True)
    fx_missing: str | None = _column(Text, "Why there are no rates", nullable=True)
    rate_usd: Decimal | None = _rate("USD")
    rate_eur: Decimal | None = _rate("EUR")
    rate_cad: Decimal | None = _rate("CAD")
    rate_aud: Decimal | None = _rate("AUD")
    rate_jpy: Decimal | None = _rate("JPY")
    amount_declared: bool = _column(
        Boolean,
        "Whether the line states its amount, which may then differ from quantity x original_unit_price",
        server_default=text("false"),
    )
    currency: str = _column(Text, "Code of the line's own currency")
    original_unit_price: Decimal = _column(PRICE, "Price of a unit in the line's own currency")
    original_amount: Decimal = _column(
        MONEY, "In the line's own currency: what the line states it costs in all, else quantity x original_unit_price"
    )
    base_rate: Decimal = _column(BASE_RATE, "Units of the base currency for one of the line's own on fx_date")
    amount_usd: Decimal | None = _converted("amount", "USD")
    amount_eur: Decimal | None = _converted("amount", "EUR")
    amount_cad: Decimal | None = _converted("amount", "CAD")
    amount_aud: Decimal | None = _converted("amount", "AUD")
    amount_jpy: Decimal | None = _converted("amount", "JPY")
    unit_price_usd: Decimal | None = _converted("unit_price", "USD")
    unit_price_eur: Decimal | None = _converted("unit_price", "EUR")
    unit_price_cad: Decimal | None = _converted("unit_price", "CAD")
    unit_price_aud: Decimal | None = _converted("unit_price", "AUD")
    unit_price_jpy: Decimal | None = _converted("unit_price", "JPY")


class EtlBatch(WarehouseTable, table=True):
    """A batch that was published."""

    __tablename__: ClassVar[Any] = "etl_batch"
    __table_args__ = (
        CheckConstraint(_one_of("kind", RUN_KINDS), name="kind"),
        {"comment": "Published batches: the record that makes publishing repeatable"},
    )

    batch_id: str = _column(Text, "Batch, sortable by claim time", primary_key=True)
    run_id: str = _column(Text, "Airflow run that published it")
    kind: str = _column(Text, "drop (files) or rebuild (invoice days from Bronze)")
    token: str = _column(Text, "Identity of the Gold output that was published")
    published_at: datetime = _column(DateTime(timezone=True), "When the batch was ready to commit")
    rebuilt_days: list[str] = _column(JSON_DOCUMENT, "Rebuilt invoice days, ISO dates; empty for a drop")
    rows_staged: dict[str, int] = _column(JSON_DOCUMENT, "Rows staged by table")
    rows_written: dict[str, int] = _column(JSON_DOCUMENT, "Rows inserted or changed by table")
    facts_deleted: int = _column(Integer, "Facts a rebuild found gone")
    amount: Decimal = _column(MONEY_TOTAL, "Sum over the staged facts, in the base currency")
    facts_loaded: int = _column(Integer, "Staged facts that are live as this batch's")
    amount_loaded: Decimal = _column(
        MONEY_TOTAL, "Sum over the facts that are live as this batch's, in the base currency"
    )
    loaded: dict[str, str] = _column(JSON_DOCUMENT, "Currency -> sum over these facts that are in it, in that currency")


class EtlReceipt(WarehouseTable, table=True):
    """The receipt of a run."""

    __tablename__: ClassVar[Any] = "etl_receipt"
    __table_args__ = (
        CheckConstraint(_one_of("kind", RUN_KINDS), name="kind"),
        CheckConstraint(_one_of("status", RECEIPT_STATUSES), name="status"),
        CheckConstraint(
            "rows_in = rows_loaded + rows_duplicate + rows_quarantined + rows_already_seen",
            name="rows_balance",
        ),
        CheckConstraint(
            "amount_in = amount_loaded + amount_duplicate + amount_quarantined + amount_already_seen",
            name="amount_balance",
        ),
        Index(None, "finished_at"),
        {"comment": "One receipt a run: what came in and what became of it"},
    )

    run_id: str = _column(Text, "Airflow run id", primary_key=True)
    batch_id: str = _column(Text, "Batch of the run")
    kind: str = _column(Text, "drop (files) or rebuild (invoice days from Bronze)")
    status: str = _column(Text, f"Outcome: {', '.join(RECEIPT_STATUSES)}")
    started_at: datetime = _column(DateTime(timezone=True), "Start of the run")
    finished_at: datetime = _column(DateTime(timezone=True), "End of the run")
    rows_in: int = _column(BigInteger, "Rows that came in")
    rows_loaded: int = _column(BigInteger, "Rows loaded")
    rows_duplicate: int = _column(BigInteger, "Rows that repeat another line in full")
    rows_quarantined: int = _column(BigInteger, "Rows kept out; by reason in document")
    rows_already_seen: int = _column(BigInteger, "Rows that an earlier run loaded")
    amount_in: Decimal = _column(MONEY_TOTAL, "Money in the base currency that came in; other currencies in document")
    amount_loaded: Decimal = _column(MONEY_TOTAL, "Of it, loaded")
    amount_duplicate: Decimal = _column(MONEY_TOTAL, "Of it, duplicate rows")
    amount_quarantined: Decimal = _column(MONEY_TOTAL, "Of it, quarantined rows")
    amount_already_seen: Decimal = _column(MONEY_TOTAL, "Of it, rows that an earlier run loaded")
    document: dict[str, Any] = _column(JSON_DOCUMENT, "The whole receipt")


class EtlQuality(WarehouseTable, table=True):
    """One score of a published batch."""

    __tablename__: ClassVar[Any] = "etl_quality"
    __table_args__ = (
        CheckConstraint(_one_of("kind", RUN_KINDS), name="kind"),
        CheckConstraint(_one_of("status", STATUSES), name="status"),
        CheckConstraint(_one_of("level", LEVELS), name="level"),
        CheckConstraint("score BETWEEN 0 AND 1", name="score_range"),
        CheckConstraint("failing BETWEEN 0 AND rows", name="failing_range"),
        {"comment": "Quality scores of batches: overall, and by dimension, column and rule"},
    )

    batch_id: str = _column(Text, "Batch, sortable by claim time", primary_key=True)
    level: str = _column(Text, f"What was scored: {', '.join(LEVELS)}", primary_key=True)
    name: str = _column(Text, "Which dimension, column or rule; overall for the overall score", primary_key=True)
    run_id: str = _column(Text, "Airflow run of the batch")
    kind: str = _column(Text, "drop (files) or rebuild (invoice days from Bronze)")
    scored_at: datetime = _column(DateTime(timezone=True), "When the batch was audited")
    status: str = _column(Text, f"Verdict on the batch: {', '.join(STATUSES)}")
    weight: float | None = _column(Double, "What the overall score loses if every row fails; of rules", nullable=True)
    failing: int | None = _column(
        BigInteger, "Rows that fail the rule; for the overall score the quarantined rows", nullable=True
    )
    rows: int | None = _column(BigInteger, "Rows looked at; for the overall score all that came in", nullable=True)
    score: float | None = _column(Double, "0 to 1; null if there was no row to look at", nullable=True)
    cost: float | None = _column(Double, "What it took off the overall score; of rules", nullable=True)
    bar: float = _column(Double, "Overall score the batch had to reach")


class EtlAudit(WarehouseTable, table=True):
    """A change that was asked for through the API, or a caller who was refused."""

    __tablename__: ClassVar[Any] = "etl_audit"
    __table_args__ = (
        CheckConstraint(_one_of("outcome", AUDIT_OUTCOMES), name="outcome"),
        Index(None, "occurred_at"),
        Index(None, "username", "occurred_at"),
        {"comment": "Audit trail of the API: every change asked for, every refused sign-in"},
    )

    audit_id: UUID = _column(Uuid, "Identity of the entry", primary_key=True)
    occurred_at: datetime = _column(DateTime(timezone=True), "When the request came")
    username: str = _column(Text, "User of Airflow, or the name that was given; empty if none was")
    method: str = _column(Text, "How the user was proven: basic, jwt, session; empty if not")
    address: str = _column(Text, "Where the request came from")
    action: str = _column(Text, "HTTP method and route, such as POST /api/v1/files")
    target: str = _column(Text, "Path and query of the request, as sent")
    outcome: str = _column(Text, f"What became of it: {', '.join(AUDIT_OUTCOMES)}")
    status: int | None = _column(Integer, "HTTP status of the answer", nullable=True)
    reason: str = _column(Text, "Why it was refused; empty if it was not")
    correlation_id: str = _column(Text, "Id of the request in the log")
    details: dict[str, Any] = _column(JSON_DOCUMENT, "What was changed: files, runs, parameters")


DIMENSIONS = ("dim_date", "dim_country", "dim_product", "dim_customer", "dim_invoice")
"""Dimensions in the order they are written: a table comes after those it refers to."""

FACT = "fact_sales"

STAR = (*DIMENSIONS, FACT)
"""Tables that are staged and published."""


def star_table(name: str) -> Table:
    """Return table `name` of the warehouse, in the models' schema.

    Raises:
        KeyError: If there is no such table.
    """
    return WarehouseTable.metadata.tables[f"{MODEL_SCHEMA}.{name}"]


def loaded_columns(name: str) -> list[Column[Any]]:
    """Return the columns of table `name` that a load fills; the database computes the others."""
    return [column for column in star_table(name).columns if column.computed is None]


def metadata_in(schema: str) -> MetaData:
    """Return a copy of the warehouse's metadata with every table in `schema`."""
    copied = MetaData(schema=schema, naming_convention=NAMING)
    for table in WarehouseTable.metadata.sorted_tables:
        table.to_metadata(copied, schema=schema)
    return copied
