"""The star schema from Silver lines; pure DataFrame -> DataFrame."""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from include.domain.classify import ADJUSTMENT_INVOICE, CANCELLATION_INVOICE
from include.domain.money import CURRENCIES, MONEY_PLACES, minor_units
from include.domain.star import UNKNOWN_KEY, Dimension, Fixed, Greatest, Least, Newer
from spark_jobs.session import surrogate_key

MONEY = f"decimal(18,{MONEY_PLACES})"


def dim_date(spark: SparkSession, first: date, last: date) -> DataFrame:
    """Return every day of the calendar years from `first` to `last`."""
    start, end = date(first.year, 1, 1), date(last.year, 12, 31)
    days = spark.range((end - start).days + 1).select(
        F.date_add(F.lit(start), F.col("id").cast("int")).alias("full_date")
    )
    day = F.col("full_date")
    iso_weekday = F.weekday(day) + 1
    return days.select(
        F.date_format(day, "yyyyMMdd").cast("int").alias("date_key"),
        "full_date",
        F.year(day).cast("smallint").alias("year"),
        F.quarter(day).cast("smallint").alias("quarter"),
        F.month(day).cast("smallint").alias("month"),
        F.date_format(day, "MMMM").alias("month_name"),
        F.dayofmonth(day).cast("smallint").alias("day"),
        iso_weekday.cast("smallint").alias("day_of_week"),
        F.date_format(day, "EEEE").alias("day_name"),
        F.weekofyear(day).cast("smallint").alias("iso_week"),
        (iso_weekday >= 6).alias("is_weekend"),
    )


def keyed(lines: DataFrame) -> DataFrame:
    """Return Silver lines with the keys of their dimensions."""
    unknown = F.lit(UNKNOWN_KEY).cast("bigint")
    return lines.withColumns(
        {
            "date_key": F.date_format("sold_at", "yyyyMMdd").cast("int"),
            "product_key": surrogate_key(F.col("stock_code")),
            "customer_key": F.coalesce(surrogate_key(F.col("customer_id")), unknown),
            "country_key": surrogate_key(F.col("country")),
            "invoice_key": surrogate_key(F.col("invoice_no")),
        }
    )


def dim_country(sales: DataFrame, facts: DataFrame) -> DataFrame:
    """Return one row per country name, with its `facts` (country, COUNTRY_FACTS, enriched_at)."""
    return sales.select("country_key", "country").distinct().join(F.broadcast(facts), "country", "left")


def dim_product(sales: DataFrame, facts: DataFrame) -> DataFrame:
    """Return one row per stock code, with its `facts` (stock_code, PRODUCT_FACTS, enriched_at).

    The description is that of its latest described line with a price: lines without one are stock movements and
    giveaways, whose descriptions are notes such as "damaged".
    """
    # Text cannot be aggregated by hashing, only grouped: the lines are first reduced to code and description.
    described = (
        sales.groupBy("product_key", "stock_code", "description", "product_type")
        .agg(
            F.max("is_product").alias("is_product"),
            F.min("sold_at").alias("first_sold_at"),
            F.max("sold_at").alias("last_sold_at"),
            F.max(F.when(F.col("unit_price") > 0, F.col("sold_at"))).alias("last_priced_at"),
        )
        .withColumn(
            "named",
            F.when(
                F.col("description").isNotNull() & F.col("last_priced_at").isNotNull(),
                F.struct("last_priced_at", "description"),
            ),
        )
    )
    return (
        described.groupBy("product_key", "stock_code")
        .agg(
            F.max("named").alias("latest"),
            F.max("product_type").alias("product_type"),
            F.max("is_product").alias("is_product"),
            F.min("first_sold_at").alias("first_sold_at"),
            F.max("last_sold_at").alias("last_sold_at"),
        )
        .select(
            "product_key",
            "stock_code",
            F.col("latest.description").alias("description"),
            "product_type",
            "is_product",
            F.col("latest.last_priced_at").alias("described_at"),
            "first_sold_at",
            "last_sold_at",
        )
        .join(F.broadcast(facts), "stock_code", "left")
    )


def dim_customer(sales: DataFrame) -> DataFrame:
    """Return one row per known customer; the country is that of the latest line."""
    of_countries = (
        sales.where(F.col("customer_id").isNotNull())
        .groupBy("customer_key", "customer_id", "country_key")
        .agg(F.min("sold_at").alias("first_invoice_at"), F.max("sold_at").alias("last_invoice_at"))
    )
    return (
        of_countries.groupBy("customer_key", "customer_id")
        .agg(
            F.max(F.struct("last_invoice_at", "country_key")).alias("latest"),
            F.min("first_invoice_at").alias("first_invoice_at"),
        )
        .select(
            "customer_key",
            "customer_id",
            F.col("latest.country_key").alias("country_key"),
            "first_invoice_at",
            F.col("latest.last_invoice_at").alias("last_invoice_at"),
        )
    )


def dim_invoice(sales: DataFrame) -> DataFrame:
    """Return one row per invoice number."""
    kind = (
        F.when(F.col("invoice_no").rlike(CANCELLATION_INVOICE), F.lit("cancellation"))
        .when(F.col("invoice_no").rlike(ADJUSTMENT_INVOICE), F.lit("adjustment"))
        .otherwise(F.lit("sale"))
    )
    return (
        sales.groupBy("invoice_key", "invoice_no")
        .agg(F.min("sold_at").alias("first_line_at"), F.max("sold_at").alias("last_line_at"))
        .select("invoice_key", "invoice_no", kind.alias("kind"), "first_line_at", "last_line_at")
    )


def converted(facts: DataFrame, rates: DataFrame, base_rates: DataFrame, base: str) -> DataFrame:
    """Return facts with the exchange rates of their day and the amounts and prices converted at them.

    Args:
        facts: date_key, currency, original_unit_price, original_amount and any other columns but those below.
        rates: date_key, fx_date, fx_source, fx_missing, rate_usd, rate_eur, rate_cad, rate_aud, rate_jpy.
        base_rates: date_key, currency, base_rate of each foreign currency and day that lines are in.
        base: Code of the base currency.

    Returns:
        The columns given, those of `rates`, base_rate, unit_price and amount in the base currency, and amount_usd ...
        unit_price_jpy; null where there is no rate. What is converted is rounded half up: amounts to the coins of the
        currency, prices in the base currency to six places.
    """
    is_base = F.col("currency") == base
    as_it_is = F.col("base_rate") == 1
    of_day = facts.join(F.broadcast(rates), "date_key", "left").join(
        F.broadcast(base_rates), ["date_key", "currency"], "left"
    )

    def in_base(name: str, places: int) -> Column:
        original = F.col(f"original_{name}")
        return F.when(as_it_is, original).otherwise(F.round(original * F.col("base_rate"), places)).cast(MONEY)

    def in_currency(name: str, currency: str, places: int) -> Column:
        own = F.when(F.col("currency") == currency, F.round(F.col(f"original_{name}"), places))
        value = own.otherwise(F.round(F.col(name) * F.col(f"rate_{currency.lower()}"), places))
        return value.cast(f"decimal(18,{places})")

    return (
        of_day.withColumn("base_rate", F.when(is_base, F.lit(1)).otherwise(F.col("base_rate")).cast("decimal(18,12)"))
        .withColumns(
            {"unit_price": in_base("unit_price", MONEY_PLACES), "amount": in_base("amount", minor_units(base))}
        )
        .withColumns(
            {
                f"{name}_{currency.lower()}": in_currency(name, currency, places)
                for name in ("amount", "unit_price")
                for currency, places in CURRENCIES.items()
            }
        )
    )


def fact_sales(sales: DataFrame) -> DataFrame:
    """Return one row per line, with the keys of its dimensions; invoice_month partitions it in Delta."""
    return sales.select(
        "sale_id",
        "date_key",
        "product_key",
        "customer_key",
        "country_key",
        "invoice_key",
        "sold_at",
        "quantity",
        "currency",
        F.col("unit_price").alias("original_unit_price"),
        F.col("amount").alias("original_amount"),
        "amount_declared",
        "kind",
        "batch_id",
        "invoice_month",
    )


def merged(rows: DataFrame, dimension: Dimension) -> DataFrame:
    """Return one row a member of rows that several batches have for it, by the dimension's rules."""
    values: list[Column] = []
    for name, rule in dimension.rules.items():
        column = F.col(name)
        match rule:
            case Fixed() | Greatest():
                values.append(F.max(column).alias(name))
            case Least():
                values.append(F.min(column).alias(name))
            case Newer(clock):
                newest = F.max(F.when(F.col(clock).isNotNull(), F.struct(clock, name)))
                values.append(newest.getField(name).alias(name))
    if not values:
        return rows.distinct()
    return rows.groupBy(dimension.key, dimension.natural).agg(*values).select(*dimension.columns)


def rates_of(fx: DataFrame) -> DataFrame:
    """Return reference table fx_rates as `converted` takes it."""
    return fx.select(
        F.date_format("invoice_day", "yyyyMMdd").cast("int").alias("date_key"),
        F.col("rate_date").alias("fx_date"),
        F.col("source").alias("fx_source"),
        F.col("missing").alias("fx_missing"),
        *[f"rate_{currency.lower()}" for currency in CURRENCIES],
    )


def base_rates_of(fx: DataFrame) -> DataFrame:
    """Return reference table currency_rates as `converted` takes it."""
    return fx.select(F.date_format("invoice_day", "yyyyMMdd").cast("int").alias("date_key"), "currency", "base_rate")


def refreshed(known: DataFrame, facts: DataFrame, dimension: Dimension, members: list[str]) -> DataFrame:
    """Return `members` of a dimension with the facts that are recorded now.

    Args:
        known: The dimension in Delta.
        facts: Natural key, the columns enrichment fills, enriched_at.
        dimension: Its rules.
        members: Natural keys.
    """
    kept = known.drop(*[name for name in facts.columns if name != dimension.natural])
    stale = kept.where(F.col(dimension.natural).isin(members))
    return stale.join(F.broadcast(facts), dimension.natural).select(*dimension.columns)
