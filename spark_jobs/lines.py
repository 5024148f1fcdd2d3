"""Invoice lines from raw text to judged, typed rows; pure DataFrame -> DataFrame."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)
from pyspark.sql.window import Window

from include.domain.classify import (
    ADJUSTMENT_INVOICE,
    CANCELLATION_INVOICE,
    NON_PRODUCT_CODES,
    PRODUCT,
    TEST_CODE,
    UNSPECIFIED_COUNTRY,
)
from include.domain.line import WHOLE_AS_DECIMAL
from include.domain.money import MONEY_PLACES, QUANTITY_PLACES
from spark_jobs.rules import TEXT_COLUMNS, amount_violation, moment, text_valid, trimmed, violation

QUANTITY, PRICE, MONEY = DecimalType(11, QUANTITY_PLACES), DecimalType(14, MONEY_PLACES), DecimalType(18, MONEY_PLACES)
NUMBERS = {
    "quantity": f"decimal(13,{QUANTITY_PLACES})",
    "price": f"decimal(16,{MONEY_PLACES})",
    "line_amount": f"decimal(18,{MONEY_PLACES})",
}
"""Text column with a number -> type that holds what its form allows, in range or not."""

LINE, DUPLICATE, QUARANTINED = "line", "duplicate", "quarantined"

EXACT = DecimalType(26, MONEY_PLACES)
"""Holds the amount of any readable line, in range or not."""

SILVER_SCHEMA = StructType(
    [
        StructField("sale_id", StringType()),
        StructField("invoice_no", StringType()),
        StructField("stock_code", StringType()),
        StructField("description", StringType()),
        StructField("quantity", QUANTITY),
        StructField("sold_at", TimestampType()),
        StructField("unit_price", PRICE),
        StructField("amount", MONEY),
        StructField("amount_declared", BooleanType()),
        StructField("currency", StringType()),
        StructField("customer_id", StringType()),
        StructField("country", StringType()),
        StructField("country_as_written", StringType()),
        StructField("kind", StringType()),
        StructField("product_type", StringType()),
        StructField("is_product", BooleanType()),
        StructField("source_file", StringType()),
        StructField("source_sha256", StringType()),
        StructField("source_line", LongType()),
        StructField("batch_id", StringType()),
        StructField("invoice_day", DateType()),
        StructField("invoice_month", StringType()),
    ]
)


def parsed(bronze: DataFrame) -> DataFrame:
    """Return Bronze rows trimmed and typed, with the codes of the rules they break.

    Returns:
        Bronze's columns, the text ones trimmed and amount named line_amount, plus quantity_, sold_at, unit_price,
        amount, the declared one or quantity x unit_price (null where it cannot be told exactly), amount_declared
        (whether there is a declared one) and codes (array of reason codes, empty for a valid row).
    """
    values = {name: trimmed(name) for name in TEXT_COLUMNS}
    number = {name: F.when(text_valid(name), F.col(name).try_cast(kind)) for name, kind in NUMBERS.items()}
    typed = (
        bronze.withColumnRenamed("amount", "line_amount")
        .withColumns(values)
        .withColumns(
            {
                "quantity_": number["quantity"],
                "sold_at": moment("invoice_date"),
                "unit_price": number["price"],
                "declared": number["line_amount"],
                "amount_declared": F.col("line_amount").isNotNull(),
            }
        )
    )
    columns = {"quantity": F.col("quantity_"), "sold_at": F.col("sold_at"), "unit_price": F.col("unit_price")}
    judged = typed.withColumns({f"{name}_code": violation(name, columns) for name in NUMBERS})
    product = F.col("quantity_") * F.col("unit_price")
    exact = product.cast(EXACT)
    amount = F.when(F.col("amount_declared"), F.col("declared").cast(EXACT)).when(exact == product, exact)
    readable, valid = F.col("defect").isNull(), F.lit(True)
    for name in NUMBERS:
        code = F.col(f"{name}_code")
        readable = readable & (code.isNull() | (code == f"{name}_out_of_range"))
        valid = valid & code.isNull()
    counted = judged.withColumn("amount", F.when(readable, amount))
    # Joined as text and split where there are any: functions on arrays are interpreted row by row.
    broken = F.concat_ws(
        " ",
        *[F.col(f"{name}_code") if name in NUMBERS else violation(name, columns) for name in TEXT_COLUMNS],
        F.when(valid, amount_violation(F.col("amount"))),
    )
    codes = F.when(F.col("defect").isNotNull(), F.array("defect")).when(broken != "", F.split(broken, " "))
    return counted.withColumn("codes", codes.otherwise(F.array().cast("array<string>"))).drop(
        "declared", *[f"{name}_code" for name in NUMBERS]
    )


def product_type() -> Column:
    """Return the type of upper-case column stock_code: `product`, or what else the code stands for."""
    found = F.when(F.col("stock_code").rlike(TEST_CODE), F.lit("test"))
    for kind in sorted(set(NON_PRODUCT_CODES.values())):
        codes = [code for code, value in NON_PRODUCT_CODES.items() if value == kind]
        found = found.when(F.col("stock_code").isin(codes), F.lit(kind))
    return found.otherwise(F.lit(PRODUCT))


def transaction_kind() -> Column:
    """Return the kind of a line from invoice_no, product_type, quantity and unit_price; the first that applies."""
    return (
        F.when(F.col("invoice_no").rlike(CANCELLATION_INVOICE), F.lit("cancellation"))
        .when(F.col("invoice_no").rlike(ADJUSTMENT_INVOICE), F.lit("adjustment"))
        .when(F.col("product_type").isin("fee", "tax"), F.lit("fee"))
        .when(F.col("product_type") == "adjustment", F.lit("adjustment"))
        .when((F.col("quantity") <= 0) & (F.col("unit_price") == 0), F.lit("stock_movement"))
        .when(F.col("quantity") <= 0, F.lit("return"))
        .when(F.col("unit_price") == 0, F.lit("free_of_charge"))
        .when(F.col("unit_price") < 0, F.lit("adjustment"))
        .otherwise(F.lit("sale"))
    )


def sale_id(base: str) -> Column:
    """Return the identity of a line: 128 bits of SHA-256 over its normalised values, the country as written, in hex.

    A whole quantity has no decimals and a price four, or six if it needs more than four. A currency other than `base`,
    the line's own amount and what tells a second equal sale from the first count only where a line has them.
    """
    units, cents = F.col("quantity").cast("bigint"), F.col("unit_price").cast("decimal(14,4)")
    parts = [
        F.col("invoice_no"),
        F.col("stock_code"),
        F.coalesce("description", F.lit("")),
        F.when(F.col("quantity") == units, units.cast("string")).otherwise(
            F.regexp_replace(F.col("quantity").cast("string"), "0+$", "")
        ),
        F.unix_micros("sold_at").cast("string"),
        F.when(F.col("unit_price") == cents, cents.cast("string")).otherwise(F.col("unit_price").cast("string")),
        F.coalesce("customer_id", F.lit("")),
        F.coalesce("country_as_written", F.lit(UNSPECIFIED_COUNTRY)),
        F.when(F.col("currency") != base, F.concat(F.lit("currency "), "currency")),
        F.when(F.col("amount_declared"), F.concat(F.lit("amount "), F.col("amount").cast("string"))),
        F.when(F.col("occurrence") > 1, F.concat(F.lit("occurrence "), F.col("occurrence").cast("string"))),
    ]
    return F.substring(F.sha2(F.concat_ws("\x1f", *parts), 256), 1, 32)


def whole(name: str) -> Column:
    """Return text column `name`, with 17850 for 17850.0."""
    return F.when(F.contains(name, F.lit(".0")), F.regexp_replace(name, WHOLE_AS_DECIMAL, "$1")).otherwise(F.col(name))


def single_spaced(name: str) -> Column:
    """Return text column `name` with one space for each run of white space; few rows pay for the expression."""
    has_run = F.contains(name, F.lit("  "))
    for character in "\t\n\v\f\r\u00a0":
        has_run = has_run | F.contains(name, F.lit(character))
    return F.when(has_run, F.regexp_replace(name, r"[\s\u00a0]+", " ")).otherwise(F.col(name))


def country(members: Mapping[str, str]) -> Column:
    """Return the name of column country in `members` (name as written -> name of the country), else as it is."""
    written = F.col("country")
    if not members:
        return F.coalesce(written, F.lit(UNSPECIFIED_COUNTRY))
    names = F.create_map(*[F.lit(part) for pair in members.items() for part in pair])
    return F.coalesce(F.element_at(names, written), written, F.lit(UNSPECIFIED_COUNTRY))


def normalised(rows: DataFrame, countries: Mapping[str, str], base: str) -> DataFrame:
    """Return parsed rows as Silver lines, with what the quarantine keeps of an invalid one.

    Args:
        rows: As `parsed` gives them.
        countries: Country as written -> the one name of it; others keep what is written.
        base: Code of the currency of lines that name none.

    Returns:
        SILVER_SCHEMA, but numbers wide enough for what is out of range; codes as `parsed` gives them; rejected: null
        for a valid row, else a struct of source_page, the text columns as they came, and raw.
    """
    staged_as = {name: "amount" if name == "line_amount" else name for name in TEXT_COLUMNS}
    written = F.from_json("written", StructType([StructField(name, StringType()) for name in staged_as.values()]))
    values = [F.coalesce(written.getField(staged), F.col(name)).alias(name) for name, staged in staged_as.items()]
    kept = F.struct("source_page", *values, "raw")
    lines = rows.select(
        F.upper(whole("invoice")).alias("invoice_no"),
        F.upper(whole("stock_code")).alias("stock_code"),
        single_spaced("description").alias("description"),
        F.col("quantity_").alias("quantity"),
        "sold_at",
        "unit_price",
        "amount",
        "amount_declared",
        F.coalesce("currency", F.lit(base)).alias("currency"),
        "occurrence",
        whole("customer_id").alias("customer_id"),
        country(countries).alias("country"),
        F.col("country").alias("country_as_written"),
        "source_file",
        "source_sha256",
        "source_line",
        "batch_id",
        F.to_date("sold_at").alias("invoice_day"),
        F.date_format("sold_at", "yyyy-MM").alias("invoice_month"),
        "codes",
        F.when(F.size("codes") > 0, kept).alias("rejected"),
    )
    typed = lines.withColumn("product_type", product_type())
    return typed.withColumns(
        {
            "is_product": F.col("product_type") == PRODUCT,
            "kind": transaction_kind(),
            "sale_id": sale_id(base),
        }
    ).select(*SILVER_SCHEMA.fieldNames(), "codes", "rejected")


def judged(lines: DataFrame) -> DataFrame:
    """Return `lines` with column outcome: what becomes of each.

    Args:
        lines: As `normalised` gives them, and owner: the batch that has the line in Silver, null if none has.

    Returns:
        The columns given but owner, and outcome: quarantined; line, of each line repeated in full the owner's, else the
        earliest by batch, file and line number; or duplicate.
    """
    valid = F.size("codes") == 0
    # Each invalid row is a group of its own, so that a file full of them is spread over the partitions.
    identity = F.when(valid, F.col("sale_id")).otherwise(F.concat_ws(":", "source_sha256", "source_line"))
    others = ~F.col("batch_id").eqNullSafe(F.col("owner"))
    order = Window.partitionBy("identity").orderBy(others, "batch_id", "source_file", "source_line")
    numbered = lines.withColumn("identity", identity).withColumn("position", F.row_number().over(order))
    outcome = F.when(~valid, QUARANTINED).when(F.col("position") == 1, LINE).otherwise(DUPLICATE)
    return numbered.withColumn("outcome", outcome).drop("identity", "position", "owner")


def quarantined(rows: DataFrame) -> DataFrame:
    """Return the quarantined of `judged` rows.

    Returns:
        batch_id, source_file, source_sha256, source_line, source_page, code (the first), codes, the text columns, raw,
        currency, amount (in it, null where it cannot be told), invoice_day.
    """
    return rows.where(F.col("outcome") == QUARANTINED).select(
        "batch_id",
        "source_file",
        "source_sha256",
        "source_line",
        "rejected.source_page",
        F.element_at("codes", 1).alias("code"),
        "codes",
        *[f"rejected.{name}" for name in TEXT_COLUMNS],
        "rejected.raw",
        "currency",
        "amount",
        "invoice_day",
    )
