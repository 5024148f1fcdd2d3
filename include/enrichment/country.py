"""Facts about the countries that invoices name: codes, region, continent, population, coordinates.

What a name stands for is told by `country_names`. Nothing is guessed: a fuzzy search takes Korea for the North. A name
that is not known there is unknown, unless REST Countries knows exactly that name.

The facts are those of REST Countries, if outside services are allowed and it answers, else those of the package
countryinfo. The two differ: countryinfo has UN M49 sub-regions and populations of about 2014, REST Countries has
sub-regions of its own (Central Europe, Southeast Europe, North America) and populations of today. `source` tells.

"Channel Islands" has no ISO code: it is Guernsey (GG) and Jersey (JE) together. Its population is the sum, its
coordinates are the mean of theirs, and it has no `iso2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote

from countryinfo import CountryInfo, CountryNotFoundError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from include.domain.model import Model
from include.enrichment.client import ServiceClient
from include.enrichment.country_names import meaning, normalised
from include.enrichment.service import Service, ServiceUnavailable
from include.settings import Settings

MISSING_REASONS = {
    "several_countries": "the name stands for more than one country",
    "ambiguous": "the name has more than one meaning",
    "not_stated": "the name says that no country is stated",
    "unknown_country": "no source knows the name; data/country_names.csv is where spellings are declared",
    "no_facts": "the country is known and no source has facts about it",
}
"""Why a name has no facts."""

CONTINENTS = {
    "Northern Africa": "Africa",
    "Western Africa": "Africa",
    "Middle Africa": "Africa",
    "Eastern Africa": "Africa",
    "Southern Africa": "Africa",
    "Northern America": "North America",
    "Central America": "North America",
    "Caribbean": "North America",
    "South America": "South America",
    "Central Asia": "Asia",
    "Eastern Asia": "Asia",
    "South-eastern Asia": "Asia",
    "Southern Asia": "Asia",
    "Western Asia": "Asia",
    "Northern Europe": "Europe",
    "Western Europe": "Europe",
    "Southern Europe": "Europe",
    "Eastern Europe": "Europe",
    "Australia and New Zealand": "Oceania",
    "Melanesia": "Oceania",
    "Micronesia": "Oceania",
    "Polynesia": "Oceania",
}
"""UN M49 sub-region -> continent, of seven."""

CONTINENT_EXCEPTIONS = {
    "AQ": "Antarctica",
    "BV": "Antarctica",
    "GS": "Antarctica",
    "HM": "Antarctica",
    "TF": "Antarctica",
    "CY": "Europe",
}
"""ISO code -> continent where the sub-region does not tell it: the far south, and Cyprus, which M49 puts into Asia."""

_WIDE_SUBREGIONS = {"Latin America and the Caribbean", "Sub-Saharan Africa"}


class CountryFacts(Model):
    """What is known about a country name.

    Attributes:
        name: The name as asked for.
        iso2: ISO 3166-1 alpha-2 code.
        iso3: ISO 3166-1 alpha-3 code.
        region: Africa, Americas, Asia, Europe or Oceania; Antarctic at REST Countries only.
        subregion: See the module's description.
        continent: One of seven.
        population: People.
        latitude: Degrees north of about its centre.
        longitude: Degrees east of about its centre.
        source: Where the facts are from.
        is_country: Whether the name is known to mean a country or territory.
        missing_reason: Why there are no facts, a key of `MISSING_REASONS`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    iso2: str | None = None
    iso3: str | None = None
    region: str | None = None
    subregion: str | None = None
    continent: str | None = None
    population: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    source: Literal["restcountries", "countryinfo"] | None = None
    is_country: bool = False
    missing_reason: str | None = None


class _Names(BaseModel):
    common: str
    official: str


class _RestCountry(BaseModel):
    """A country in an answer of REST Countries v3.1."""

    name: _Names
    cca2: str = Field(pattern="^[A-Z]{2}$")
    cca3: str = Field(pattern="^[A-Z]{3}$")
    region: str
    subregion: str = ""
    continents: list[str] = Field(min_length=1)
    population: int = Field(ge=0)
    latlng: tuple[float, float]


_COUNTRIES = TypeAdapter(list[_RestCountry])


def rest_countries_service(settings: Settings) -> Service:
    """Return REST Countries as configured."""
    return Service(name="restcountries", base_url=settings.rest_countries_url, per_second=10, cache_seconds=30 * 86_400)


def facts(names: Iterable[str], client: ServiceClient | None = None) -> list[CountryFacts]:
    """Return the facts of each distinct name, in the order of their first mention.

    Args:
        names: Country names as in the invoices.
        client: Client of `rest_countries_service`; without one, only offline facts are used.
    """
    return [_facts(name, client) for name in dict.fromkeys(names)]


def _facts(name: str, client: ServiceClient | None) -> CountryFacts:
    known = meaning(name)
    if known is None:
        return _by_name(name, client) or CountryFacts(name=name, missing_reason="unknown_country")
    if not known.codes:
        return CountryFacts(name=name, missing_reason=known.reason)
    found = _online(name, known.codes, client) or _offline(name, known.codes)
    if found is not None:
        return found
    return CountryFacts(name=name, iso2=known.codes[0], is_country=True, missing_reason="no_facts")


def _offline(name: str, codes: tuple[str, ...]) -> CountryFacts | None:
    parts = [part for part in map(_offline_facts, codes) if part is not None]
    return _together(name, parts) if len(parts) == len(codes) else None


@lru_cache(maxsize=512)
def _offline_facts(code: str) -> CountryFacts | None:
    """Return the facts that the package countryinfo has about a country, None if it has none."""
    try:
        info: dict[str, Any] = dict(CountryInfo(code).info())
    except CountryNotFoundError:
        return None
    if info["ISO"]["alpha2"] != code:
        return None
    subregion = info["subregion"]
    if subregion in _WIDE_SUBREGIONS:
        subregion = info["intermediateregion"]
    latitude, longitude = info.get("latlng") or (None, None)
    return CountryFacts(
        name=info["name"],
        iso2=code,
        iso3=info["ISO"]["alpha3"],
        region=info["region"] or None,
        subregion=subregion or None,
        continent=CONTINENT_EXCEPTIONS.get(code) or CONTINENTS[subregion],
        population=info.get("population"),
        latitude=latitude,
        longitude=longitude,
        source="countryinfo",
        is_country=True,
    )


def _online(name: str, codes: tuple[str, ...], client: ServiceClient | None) -> CountryFacts | None:
    """Return the facts that REST Countries has about ISO codes, None if it does not answer."""
    if client is None:
        return None
    parts = []
    for code in codes:
        try:
            answer = client.get(f"v3.1/alpha/{code}", _COUNTRIES)
        except ServiceUnavailable:
            return None
        exact = [country for country in answer if country.cca2 == code]
        if len(exact) != 1:
            return None
        parts.append(_of_rest_country(exact[0]))
    return _together(name, parts)


def _by_name(name: str, client: ServiceClient | None) -> CountryFacts | None:
    """Return the facts of the one country that has exactly this name at REST Countries, None if there is none."""
    if client is None:
        return None
    spelling = normalised(name)
    try:
        answer = client.get(f"v3.1/name/{quote(spelling, safe='')}", _COUNTRIES, {"fullText": "true"})
    except ServiceUnavailable:
        return None
    exact = [c for c in answer if spelling in {normalised(c.name.common), normalised(c.name.official)}]
    return _together(name, [_of_rest_country(exact[0])]) if len(exact) == 1 else None


def _of_rest_country(country: _RestCountry) -> CountryFacts:
    offline = _offline_facts(country.cca2)
    continent = country.continents[0]
    if offline is not None and offline.continent in country.continents:
        continent = offline.continent
    return CountryFacts(
        name=country.name.common,
        iso2=country.cca2,
        iso3=country.cca3,
        region=country.region or None,
        subregion=country.subregion or None,
        continent=continent,
        population=country.population,
        latitude=country.latlng[0],
        longitude=country.latlng[1],
        source="restcountries",
        is_country=True,
    )


def _together(name: str, parts: list[CountryFacts]) -> CountryFacts:
    """Return the facts of a name that stands for one country or for several parts."""
    if len(parts) == 1:
        return parts[0].model_copy(update={"name": name})
    same = {
        field: getattr(parts[0], field) if len({getattr(part, field) for part in parts}) == 1 else None
        for field in ("region", "subregion", "continent", "source", "is_country")
    }
    populations = [part.population for part in parts if part.population is not None]
    latitudes = [part.latitude for part in parts if part.latitude is not None]
    longitudes = [part.longitude for part in parts if part.longitude is not None]
    complete = len(populations) == len(latitudes) == len(longitudes) == len(parts)
    return CountryFacts(
        name=name,
        population=sum(populations) if complete else None,
        latitude=sum(latitudes) / len(parts) if complete else None,
        longitude=sum(longitudes) / len(parts) if complete else None,
        **same,
    )
