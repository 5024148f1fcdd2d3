"""Column types that hold the same values in PostgreSQL and in SQLite.

SQLite has no decimal and no time zone. Decimals are kept there as whole numbers scaled by their decimal places, so that
they survive a round trip and sums are exact; moments as UTC without a zone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Connection, DateTime, Numeric, Table, TypeDecorator
from sqlalchemy.dialects import postgresql, sqlite

SQLITE = "sqlite"


class ScaledDecimal(TypeDecorator[Decimal]):
    """Decimals of a fixed number of places, stored as integers: 2.5500 with four places is 25500."""

    impl = BigInteger
    cache_ok = True

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places = places

    def process_bind_param(self, value: Decimal | int | None, dialect: Any) -> int | None:
        """Return the stored integer.

        Raises:
            ValueError: If `value` has more decimal places.
        """
        if value is None:
            return None
        scaled = Decimal(value).scaleb(self.places)
        if scaled != scaled.to_integral_value():
            raise ValueError(f"{value} has more than {self.places} decimal places.")
        return int(scaled)

    def process_result_value(self, value: int | None, dialect: Any) -> Decimal | None:
        """Return the decimal that is stored."""
        return None if value is None else Decimal(value).scaleb(-self.places)


class UtcMoment(TypeDecorator[datetime]):
    """Moments with a time zone, stored as UTC without one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the moment in UTC, without a zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the moment with its zone, UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def portable(kind: Any) -> Any:
    """Return a column type that keeps the values of `kind` in SQLite too."""
    if isinstance(kind, Numeric):
        return kind.with_variant(ScaledDecimal(kind.scale or 0), SQLITE)
    if isinstance(kind, DateTime) and kind.timezone:
        return kind.with_variant(UtcMoment(), SQLITE)
    return kind


def places(kind: Any) -> int | None:
    """Return the decimal places of a column type, None if it is no decimal."""
    return (kind.scale or 0) if isinstance(kind, Numeric) else None


def upsert(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    """Insert a row or replace the one with the same primary key."""
    insert = sqlite.insert if connection.dialect.name == SQLITE else postgresql.insert
    statement = insert(table).values(values)
    keys = table.primary_key.columns.keys()
    replaced = {name: statement.excluded[name] for name in values if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced))


def exact_product(product: str, quantity: str, price: str, places: int) -> str:
    """Return SQLite's condition that a column is the product of two others, all scaled, without leaving 64 bits.

    Args:
        product: Column with as many places as `price`.
        quantity: Column of at most 10 digits, so many `places` of them decimals.
        price: Column of at most 12 digits.
        places: 4 or fewer.
    """
    one = 10**places
    rest = f"({quantity} % {one}) * {price}"
    return f"({product} = ({quantity} / {one}) * {price} + {rest} / {one} AND {rest} % {one} = 0)"


def rounded(column: str, dropped: int) -> str:
    """Return SQLite's expression for a scaled column without its last `dropped` digits, rounded half away from zero."""
    return f"(CASE WHEN {column} < 0 THEN -1 ELSE 1 END) * ((abs({column}) + {10**dropped // 2}) / {10**dropped})"


def rounded_product(factor: str, rate: str, dropped: int) -> str:
    """Return SQLite's expression for the product of two scaled columns without its last `dropped` digits.

    Rounded half away from zero, as PostgreSQL rounds. SQLite turns products beyond 64 bits into floats; here both
    factors are multiplied by parts of eight digits, so that only a result beyond 18 digits could.

    Args:
        factor: Column of at most 18 digits.
        rate: Column of at most 18 digits.
        dropped: 9 to 16.
    """
    base = 10**8
    a, r = f"abs({factor})", f"abs({rate})"
    high = f"({a} / {base}) * ({r} / {base})"
    middle = f"(({a} / {base}) * ({r} % {base}) + ({a} % {base}) * ({r} / {base}))"
    low = f"({a} % {base}) * ({r} % {base})"
    rest = 10 ** (dropped - 8)
    whole = f"{high} * {10 ** (16 - dropped)} + {middle} / {rest}"
    fraction = f"(({middle} % {rest}) * {base} + {low} + {5 * 10 ** (dropped - 1)}) / {10**dropped}"
    return f"(CASE WHEN ({factor} < 0) <> ({rate} < 0) THEN -1 ELSE 1 END) * ({whole} + {fraction})"
