"""One sentence says which setting keeps a run from Spark or from the object store of the lake, and what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from pydantic import ValidationError

from include.lake.connect_server import free_port
from include.lake.reachable import LakeUnusable, SparkUnreachable, require_lake, require_spark
from include.lake.staging import seen_by_executors
from include.lake.submitting import connect_url, driver_host, is_local
from include.settings import Settings, get_settings
from include.store import open_store
from tests.support.bucket import bucket


def settings(**values: object) -> Settings:
    return Settings.model_validate({"lake_uri": "s3://retail/lake"} | values)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stand-in for an object store, as the environment names it."""
    with bucket() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.usefixtures("store")
def test_a_store_that_can_be_used_is_left_as_it_was() -> None:
    require_lake(settings())
    assert [*obstore.list(open_store(settings(), settings().lake))] == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("lake", "said"),
    [
        ("s3://no-bucket/lake", "has no bucket 'no-bucket': make it, or correct RETAIL_LAKE_URI"),
        (
            "s3://no-key/lake",
            "does not take the key for bucket 'no-key' (InvalidAccessKeyId): correct AWS_ACC",
        ),
        ("s3://elsewhere/lake", "has bucket 'elsewhere' in another region (expecting eu-west-2): correct AWS_REGION"),
        ("s3://replaces/lake", "(`If-None-Match: *`), so commits of two writers could be lost"),
    ],
)
def test_a_store_that_refuses(lake: str, said: str) -> None:
    with pytest.raises(LakeUnusable) as refused:
        require_lake(settings(lake_uri=lake))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("store")
def test_what_bronze_has_read_lies_beside_the_lake_until_it_is_appended(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"rows")
    remote, files = settings(), [tmp_path / "a.parquet"]
    with seen_by_executors(remote, "batch", files) as places:
        assert places == ["s3://retail/lake/_staged/batch/a.parquet"]
        assert bytes(obstore.get(open_store(remote, remote.lake), "_staged/batch/a.parquet").bytes()) == b"rows"
    assert [*obstore.list(open_store(remote, remote.lake))] == []
    with seen_by_executors(settings(lake_uri=""), "batch", files) as places:
        assert places == [str(files[0])]


def test_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with pytest.raises(LakeUnusable, match=r"does not answer .*: see that it runs, or correct AWS_ENDPOINT_URL"):
        require_lake(settings())


@pytest.mark.parametrize("lake", ["s3:/retail/lake", "s3://Retail/lake", "gs://retail/lake", "s3://retail/lake?x"])
def test_an_address_that_is_none_is_refused_with_the_setting(lake: str) -> None:
    with pytest.raises(ValidationError, match="set RETAIL_LAKE_URI to a folder or to s3://bucket/prefix"):
        settings(lake_uri=lake)


def test_nothing_is_sent_unencrypted_unless_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:7070")
    with pytest.raises(ValidationError, match="set AWS_ALLOW_HTTP to true"):
        settings()
    assert settings(lake_uri="/lake").object_store_environment() == {}


def test_the_settings_of_the_process_reach_what_looks_in_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RETAIL_LAKE_URI", "s3a://retail/lake/")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.delenv("AWS_REGION", raising=False)
    get_settings.cache_clear()
    try:
        assert get_settings().lake == "s3://retail/lake"
        assert get_settings().object_store_environment() == {"AWS_REGION": "eu-west-1"}
    finally:
        get_settings.cache_clear()


def test_a_master_that_is_not_there_and_one_of_two_that_is() -> None:
    here = settings(lake_uri="")
    away = f"127.0.0.1:{free_port()}"
    with pytest.raises(SparkUnreachable, match=rf"No Spark answers at spark://{away} .*AIRFLOW_CONN_SPARK_DEFAULT"):
        require_spark(here, f"spark://{away}")
    with pytest.raises(SparkUnreachable, match=f"No Spark answers at sc://{away} "):
        require_spark(settings(lake_uri="", spark_remote=f"sc://{away}/;token=secret"), "local[*]")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        require_spark(here, f"spark://{away},127.0.0.1:{listening.getsockname()[1]}")
    for master in ("local[*]", "yarn", "k8s://https://127.0.0.1:1"):
        require_spark(here, master)


def test_what_a_master_says() -> None:
    assert [is_local(master) for master in ("local", "local[2]", "spark://localhost:7077", "yarn")] == [
        *(True, True),
        *(False, False),
    ]
    assert driver_host("spark://127.0.0.1:7077,other:7077") == "127.0.0.1"
    assert driver_host("k8s://https://127.0.0.1:6443") == "127.0.0.1"
    assert connect_url("sc://spark:15002", "t") == "sc://spark:15002/;token=t"
    assert connect_url("spark://spark:7077", "t") == ""
