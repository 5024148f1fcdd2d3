from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from babel import Locale

from include.enrichment import country
from include.enrichment.country import facts
from include.enrichment.country_names import LANGUAGES, NAMES, member, normalised, renamed

SAMPLES = os.environ.get("RETAIL_API_SAMPLES", "")

INVOICE_COUNTRIES = {
    "Australia": "AU",
    "Austria": "AT",
    "Bahrain": "BH",
    "Belgium": "BE",
    "Bermuda": "BM",
    "Brazil": "BR",
    "Canada": "CA",
    "Cyprus": "CY",
    "Czech Republic": "CZ",
    "Denmark": "DK",
    "EIRE": "IE",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Greece": "GR",
    "Hong Kong": "HK",
    "Iceland": "IS",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Korea": "KR",
    "Lebanon": "LB",
    "Lithuania": "LT",
    "Malta": "MT",
    "Netherlands": "NL",
    "Nigeria": "NG",
    "Norway": "NO",
    "Poland": "PL",
    "Portugal": "PT",
    "RSA": "ZA",
    "Saudi Arabia": "SA",
    "Singapore": "SG",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "Thailand": "TH",
    "USA": "US",
    "United Arab Emirates": "AE",
    "United Kingdom": "GB",
}


def test_the_countries_of_a_uk_shop_are_known_offline() -> None:
    found = facts(INVOICE_COUNTRIES)
    assert {known.name: known.iso2 for known in found} == INVOICE_COUNTRIES
    for known in found:
        assert known.is_country
        assert known.missing_reason is None
        assert known.source == "countryinfo"
        assert None not in (known.iso3, known.region, known.subregion, known.continent)
        assert None not in (known.population, known.latitude, known.longitude)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("European Community", "several_countries"),
        ("West Indies", "several_countries"),
        ("Unspecified", "not_stated"),
        ("", "not_stated"),
        ("   ", "not_stated"),
        ("Congo", "ambiguous"),
        ("CI", "ambiguous"),
        ("Atlantis", "unknown_country"),
        ("Koreaa", "unknown_country"),
        ("United Kingdon", "unknown_country"),
        ("-5", "unknown_country"),
    ],
)
def test_names_that_are_no_country_say_why_and_get_no_facts(name: str, reason: str) -> None:
    assert facts([name]) == [country.CountryFacts(name=name, missing_reason=reason)]
    assert reason in country.MISSING_REASONS


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("eire", "IE"),
        ("  united   KINGDOM ", "GB"),
        ("UK", "GB"),
        ("U.K.", "GB"),
        ("Great Britain", "GB"),
        ("England", "GB"),
        ("Northern Ireland", "GB"),
        ("Holland", "NL"),
        ("the netherlands", "NL"),
        ("South Korea", "KR"),
        ("North Korea", "KP"),
        ("Republic of Ireland", "IE"),
        ("UAE", "AE"),
        ("Côte d’Ivoire", "CI"),
        ("St. Lucia", "LC"),
        ("Burma", "MM"),
        ("Jersey", "JE"),
        ("Isle of Man", "IM"),
        ("DE", "DE"),
        ("deu", "DE"),
        ("osterreich", "AT"),
        ("Deutschland", "DE"),
        ("pays-bas", "NL"),
        ("Reino Unido", "GB"),
        ("Grã-Bretanha", "GB"),
        ("EE.UU.", "US"),
        ("Südkorea", "KR"),
        ("\uff35\uff33\uff21", "US"),
    ],
)
def test_spellings(name: str, code: str) -> None:
    (known,) = facts([name])
    assert (known.name, known.iso2) == (name, code)


@pytest.mark.parametrize(
    ("name", "one"),
    [
        *[(name, "United Kingdom") for name in ("GB", "UK", "GBR", "united kingdom", "Royaume-Uni", "England")],
        *[(name, "Ireland") for name in ("EIRE", "Éire", "IE", "IRL", "Irlande")],
        *[("RSA", "South Africa"), ("USA", "United States"), ("ZAF", "South Africa"), ("Tschechien", "Czech Republic")],
        *[("South Korea", "Korea"), ("KR", "Korea"), ("North Korea", "North Korea"), ("KP", "North Korea")],
        *[("channel isles", "Channel Islands"), ("JE", "Jersey"), ("EUROPEAN COMMUNITY", "European Community")],
        *[("", "Unspecified"), ("Atlantis", "Atlantis"), ("CI", "CI"), ("NA", "NA"), ("Congo", "Congo")],
    ],
)
def test_names_and_codes_of_one_country_have_one_name(name: str, one: str) -> None:
    assert member(name) == one


def test_a_name_of_one_language_is_no_other_countrys_in_another() -> None:
    claimed: dict[str, set[str]] = {}
    for language in LANGUAGES:
        for code, name in Locale(language).territories.items():
            if len(code) == 2:
                claimed.setdefault(normalised(name), set()).add(code)
    assert {name for name, codes in claimed.items() if len(codes) > 1} == set()


def test_the_usual_names_of_a_uk_shop_stay() -> None:
    kept = [*INVOICE_COUNTRIES, "Channel Islands", "European Community", "West Indies", "Unspecified"]
    assert renamed(kept) == {"EIRE": "Ireland", "RSA": "South Africa", "USA": "United States"}


def test_korea_is_the_republic() -> None:
    (korea,) = facts(["Korea"])
    assert (korea.iso3, korea.continent, korea.subregion) == ("KOR", "Asia", "Eastern Asia")
    assert korea.population is not None
    assert korea.population > 45_000_000


def test_the_channel_islands_are_guernsey_and_jersey() -> None:
    islands, guernsey, jersey = facts(["Channel Islands", "Guernsey", "Jersey"])
    assert islands.is_country
    assert (islands.iso2, islands.iso3, islands.missing_reason) == (None, None, None)
    assert (islands.region, islands.subregion, islands.continent) == ("Europe", "Northern Europe", "Europe")
    assert islands.population == (guernsey.population or 0) + (jersey.population or 0)
    assert islands.latitude == pytest.approx(49.36, abs=0.01)
    assert islands.longitude == pytest.approx(-2.37, abs=0.01)


def test_a_country_without_offline_facts_keeps_its_code() -> None:
    assert facts(["Kosovo"]) == [
        country.CountryFacts(name="Kosovo", iso2="XK", is_country=True, missing_reason="no_facts")
    ]


def test_names_are_answered_once_in_order_of_mention() -> None:
    assert [known.name for known in facts(["Spain", "EIRE", "Spain"])] == ["Spain", "EIRE"]


def test_the_table_of_names_is_consistent() -> None:
    with NAMES.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    spellings = [normalised(row["name"]) for row in rows]
    assert len(spellings) == len(set(spellings))
    for row in rows:
        assert bool(row["iso2"]) != bool(row["no_country_because"]), row
        assert row["no_country_because"] in {"", *country.MISSING_REASONS}
    assert len({row["iso2"] for row in rows}) > 245


def test_every_known_country_has_a_continent() -> None:
    with NAMES.open(encoding="utf-8", newline="") as stream:
        names = [row["name"] for row in csv.DictReader(stream) if row["iso2"]]
    missing = {known.iso2 for known in facts(names) if known.continent is None}
    assert missing == {"XK"}


@pytest.mark.skipif(not SAMPLES, reason="RETAIL_API_SAMPLES does not name a folder of recorded answers")
def test_offline_facts_agree_with_rest_countries() -> None:
    recorded: list[dict[str, Any]] = json.loads(
        (Path(SAMPLES) / "restcountries" / "countriesV3.1.json").read_text(encoding="utf-8")
    )
    continents = {known["cca2"]: known["continents"] for known in recorded}
    names = {known["name"]["common"]: known["cca2"] for known in recorded}
    found = facts(names)
    assert {known.name: known.iso2 for known in found} == names
    other_continent = {
        known.iso2: known.continent
        for known in found
        if known.iso2 and known.continent and known.continent not in continents[known.iso2]
    }
    assert other_continent == {"CC": "Oceania", "CX": "Oceania", "IO": "Africa", "TL": "Asia"}
    iso3 = {known["cca2"]: known["cca3"] for known in recorded}
    assert all(known.iso3 == iso3[known.iso2] for known in found if known.iso2 and known.iso3)
