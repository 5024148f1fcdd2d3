from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from include.settings import Settings


def test_outside_services_are_off_unless_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENABLE_EXTERNAL_ENRICHMENT", "ENRICHMENT_BATCH_SIZE", "CURRENCY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(_env_file=None)
    assert settings.enable_external_enrichment is False
    assert settings.enrichment_batch_size == 100
    assert settings.currency_api_key.get_secret_value() == ""
    urls = (settings.exchange_rate_url, settings.exchange_rate_open_url, settings.rest_countries_url)
    assert all(url.startswith("https://") for url in (*urls, settings.datamuse_url))


def test_the_environment_names_are_those_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENABLE_EXTERNAL_ENRICHMENT", "true")
    monkeypatch.setenv("ENRICHMENT_BATCH_SIZE", "7")
    monkeypatch.setenv("CURRENCY_API_KEY", " abc ")
    monkeypatch.setenv("RETAIL_DATAMUSE_URL", "http://127.0.0.1:1/x")
    settings = Settings(_env_file=None)
    assert (settings.enable_external_enrichment, settings.enrichment_batch_size) == (True, 7)
    assert settings.currency_api_key.get_secret_value() == "abc"
    assert settings.datamuse_url == "http://127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"enable_external_enrichment": "perhaps"}, "set ENABLE_EXTERNAL_ENRICHMENT to true or false"),
        ({"enrichment_batch_size": 0}, "set ENRICHMENT_BATCH_SIZE to a whole number from 1 to 1000"),
        ({"enrichment_batch_size": 1001}, "set ENRICHMENT_BATCH_SIZE to a whole number from 1 to 1000"),
        ({"enrichment_batch_size": "many"}, "set ENRICHMENT_BATCH_SIZE to a whole number from 1 to 1000"),
        ({"datamuse_url": "ftp://example.org"}, "such as https://api.datamuse.com"),
        ({"rest_countries_url": "https://user:pass@example.org"}, "such as https://restcountries.com"),
        ({"exchange_rate_url": "https://example.org?key=1"}, "such as https://v6.exchangerate-api.com"),
        ({"fx_monthly_budget": 0}, "set RETAIL_FX_MONTHLY_BUDGET"),
        ({"breaker_threshold": 0}, "set RETAIL_BREAKER_THRESHOLD"),
        ({"breaker_reset_seconds": 0}, "set RETAIL_BREAKER_RESET_SECONDS"),
        ({"http_timeout_seconds": 61}, "set RETAIL_HTTP_TIMEOUT_SECONDS"),
    ],
)
def test_a_value_that_cannot_be_used_is_answered_with_the_remedy(values: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None, **values)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("url", ["http://example.org", "http://127.0.0.1.example.org"])
def test_a_key_is_not_sent_unencrypted_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"CURRENCY_API_KEY": "s3cr3t", "exchange_rate_url": url})
    assert "let RETAIL_EXCHANGE_RATE_URL begin with https://" in str(caught.value)
    assert "s3cr3t" not in str(caught.value) + repr(caught.value)


def test_a_key_may_be_sent_to_this_machine() -> None:
    settings = Settings.model_validate({"CURRENCY_API_KEY": "k", "exchange_rate_url": "http://127.0.0.1:8000"})
    assert "k" not in repr(settings.currency_api_key)
