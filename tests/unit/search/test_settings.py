from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from include.settings import Settings

KEY = SecretStr("s3cr3t")


def make_settings(folder: Path, given: dict[str, Any]) -> Settings:
    values: dict[str, Any] = {"data_dir": folder, "typesense_api_key": KEY}
    return Settings(_env_file=None, **(values | given))


def test_nodes_have_the_port_of_their_protocol_unless_given(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, typesense_nodes="one, two:9000", typesense_api_key=KEY)
    assert settings.search_nodes == [("one", 8108), ("two", 9000)]
    secure = settings.model_copy(update={"typesense_protocol": "https"})
    assert secure.search_nodes == [("one", 443), ("two", 9000)]


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"typesense_nodes": "http://search:8108"}, "set TYPESENSE_NODES to hosts with their ports"),
        ({"typesense_nodes": "search:8108", "typesense_api_key": ""}, "set TYPESENSE_API_KEY too"),
        ({"typesense_protocol": "ftp"}, "set TYPESENSE_PROTOCOL to http or https"),
        ({"typesense_timeout_seconds": 0}, "set TYPESENSE_TIMEOUT"),
        ({"typesense_connect_timeout_seconds": 11}, "set TYPESENSE_CONNECT_TIMEOUT"),
        ({"typesense_index_timeout_seconds": 0}, "set TYPESENSE_INDEX_TIMEOUT"),
        ({"search_alias": "Products!"}, "set RETAIL_SEARCH_ALIAS"),
        ({"search_model": "gpt"}, "set RETAIL_SEARCH_MODEL to wordllama/256"),
    ],
)
def test_an_unusable_value_is_told_with_its_remedy(tmp_path: Path, given: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy) as raised:
        make_settings(tmp_path, given)
    assert "s3cr3t" not in str(raised.value)
