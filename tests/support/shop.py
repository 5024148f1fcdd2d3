"""A small shop: Gold and Silver as far as the search reads them, and settings of a search of its own."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

import pyarrow as pa
from deltalake import write_deltalake
from pydantic import SecretStr

from deploy.embedded.search import TypesenseServer
from include.search.catalogue import open_lake
from include.search.entities import Product
from include.settings import Settings

TYPESENSE_KEY = secrets.token_urlsafe(16)
"""Key of the server that the tests share."""

MakeSettings = Callable[..., Settings]

MOMENT = pa.timestamp("us", tz="UTC")
FACTS = pa.schema(
    [
        ("product_key", pa.int64()),
        ("country_key", pa.int64()),
        ("sold_at", MOMENT),
        ("quantity", pa.decimal128(11, 4)),
        ("unit_price", pa.decimal128(14, 6)),
        ("amount", pa.decimal128(18, 6)),
        ("kind", pa.string()),
        ("batch_id", pa.string()),
        ("invoice_month", pa.string()),
    ]
)
LINES = pa.schema(
    [(name, pa.string()) for name in ("stock_code", "description", "batch_id", "invoice_month")]
    + [("is_product", pa.bool_()), ("unit_price", pa.decimal128(14, 6))]
)
COUNTRIES = pa.schema([("country_key", pa.int64()), ("country", pa.string()), ("region", pa.string())])
PRODUCTS = pa.schema(
    [("product_key", pa.int64()), ("is_product", pa.bool_())]
    + [(name, pa.string()) for name in ("stock_code", "description", "category", "subcategory", "brand")]
)


@dataclass(frozen=True)
class Line:
    """An invoice line of the shop."""

    stock_code: str
    description: str | None
    price: str = "2.50"
    quantity: int = 10
    country: str = "United Kingdom"
    region: str = "Europe"
    kind: str = "sale"
    batch_id: str = "b1"
    category: str | None = "home_decor"
    subcategory: str | None = "ornaments"
    brand: str | None = None
    is_product: bool = True
    sold_at: datetime = datetime(2010, 12, 1, 8, 26)


def settings_for(server: TypesenseServer, folder: Path, **changes: Any) -> Settings:
    """Settings of a search of its own on a server that others use too."""
    values: dict[str, Any] = {
        "data_dir": folder,
        "typesense_nodes": server.node,
        "typesense_api_key": SecretStr(TYPESENSE_KEY),
        "search_alias": f"p{uuid.uuid4().hex[:12]}",
    }
    return Settings(_env_file=None, **(values | changes))


def write_shop(settings: Settings, lines: Iterable[Line]) -> None:
    """Replace the shop's tables by these lines; a product is described by its latest priced line."""
    sold = list(lines)
    countries = {name: crc32(name.encode()) for name in sorted({line.country for line in sold})}
    keys = {code: crc32(code.encode()) for code in sorted({line.stock_code for line in sold})}
    latest: dict[str, Line] = {}
    for line in sorted(sold, key=lambda one: one.sold_at):
        if line.stock_code not in latest or (Decimal(line.price) and line.description):
            latest[line.stock_code] = line
    facts = [
        {
            "product_key": keys[line.stock_code],
            "country_key": countries[line.country],
            "sold_at": line.sold_at.replace(tzinfo=UTC),
            "quantity": line.quantity,
            "unit_price": Decimal(line.price),
            "amount": Decimal(line.price) * line.quantity,
            "kind": line.kind,
            "batch_id": line.batch_id,
            "invoice_month": f"{line.sold_at:%Y-%m}",
        }
        for line in sold
    ]
    silver = [
        {
            "stock_code": line.stock_code,
            "description": line.description,
            "batch_id": line.batch_id,
            "invoice_month": f"{line.sold_at:%Y-%m}",
            "is_product": line.is_product,
            "unit_price": Decimal(line.price),
        }
        for line in sold
    ]
    products = [
        {
            "product_key": keys[code],
            "stock_code": code,
            "description": line.description,
            "is_product": line.is_product,
            "category": line.category,
            "subcategory": line.subcategory,
            "brand": line.brand,
        }
        for code, line in latest.items()
    ]
    regions = [
        {"country_key": countries[name], "country": name, "region": region}
        for name, region in {line.country: line.region for line in sold}.items()
    ]
    for layer, name, rows, schema in (
        ("gold", "fact_sales", facts, FACTS),
        ("silver", "invoice_lines", silver, LINES),
        ("gold", "dim_country", regions, COUNTRIES),
        ("gold", "dim_product", products, PRODUCTS),
    ):
        write_deltalake(settings.table(layer, name), pa.Table.from_pylist(rows, schema=schema), mode="overwrite")  # type: ignore[arg-type]


def read_products(settings: Settings) -> list[Product]:
    """Return every product as sold in every country; none if there is no Gold yet."""
    lake = open_lake(settings)
    return lake.products() if lake is not None else []


def catalogue() -> list[Line]:
    """Return some goods of a gift shop, made up, in three countries."""
    goods = (
        ("20001", "RED HEART T-LIGHT HOLDER", "2.95", "candles_and_lighting", "candle_holders"),
        ("20002", "GLASS TEA LIGHT HOLDER STARS", "1.25", "candles_and_lighting", "candle_holders"),
        ("20003", "SCENTED CANDLE VANILLA", "4.25", "candles_and_lighting", "candles"),
        ("20004", "CHRISTMAS TREE BAUBLE SILVER", "0.85", "christmas", "decorations"),
        ("20005", "WOODEN REINDEER STANDING", "6.75", "christmas", "decorations"),
        ("20006", "LUNCH BOX SPACE ROCKET", "1.95", "kitchen_and_baking", "lunch_boxes_and_bottles"),
        ("20007", "CHILDS LUNCHBOX WITH CUTLERY", "2.55", "kitchen_and_baking", "lunch_boxes_and_bottles"),
        ("20008", "ENAMEL TEAPOT CREAM", "12.50", "tableware", "tea_and_coffee"),
        ("20009", "SET OF 4 MUGS SPOTTY", "14.95", "tableware", "cups_and_mugs"),
        ("20010", "LACE UMBRELLA BLACK", "5.95", "jewellery_and_accessories", "clothing_and_umbrellas"),
        ("20011", "WALL CLOCK STATION", "29.95", "home_decor", "clocks"),
        ("20012", "PHOTO FRAME WHITE WOOD", "3.75", "home_decor", "frames"),
        ("20013", "CAKE STAND 3 TIER", "18.00", "kitchen_and_baking", "bakeware"),
        ("20014", "BIRD FEEDER GREEN", "4.95", "garden_and_outdoor", "birds"),
    )
    return [
        Line(
            code,
            description,
            price,
            quantity=5 * (place + 1),
            country=country,
            category=category,
            subcategory=subcategory,
            brand="Starlight" if "STAR" in description else None,
        )
        for place, (code, description, price, category, subcategory) in enumerate(goods)
        for country in ("United Kingdom", "France", "Channel Islands")
        if country == "United Kingdom" or place % 2 == 0
    ]
