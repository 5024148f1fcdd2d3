from __future__ import annotations

import pytest
from pydantic import SecretStr

from include.settings import Settings
from include.warehouse.staging import (
    batch_key,
    jdbc_options,
    qualified_staging_table,
    staging_table,
)

BATCH = "20101201T082600-0a1b2c3d"


def settings(url: str) -> Settings:
    return Settings(_env_file=None, database_url=SecretStr(url))


def test_staging_tables_are_named_after_table_and_batch() -> None:
    assert staging_table("fact_sales", BATCH) == "fact_sales__20101201t082600_0a1b2c3d"
    assert qualified_staging_table(settings(""), "dim_date", BATCH) == (
        "retail_staging.dim_date__20101201t082600_0a1b2c3d"
    )


@pytest.mark.parametrize(
    "batch_id", ["", "x", BATCH.upper(), f"{BATCH}\n", f'{BATCH}"; DROP TABLE x', "20101201T082600_0a1b2c3d"]
)
def test_what_is_no_batch_id_never_reaches_sql(batch_id: str) -> None:
    with pytest.raises(ValueError, match="is not a batch id"):
        batch_key(batch_id)


def test_only_tables_of_the_star_are_staged() -> None:
    with pytest.raises(ValueError, match="etl_batch"):
        staging_table("etl_batch", BATCH)


def test_jdbc_keeps_the_credentials_out_of_the_url() -> None:
    url, properties = jdbc_options(
        settings(
            "postgresql+psycopg://shop:p%40ss%2Fword@db.example:6543/ware%20house?sslmode=require&sslrootcert=/ca.pem"
        )
    )
    assert url == "jdbc:postgresql://db.example:6543/ware%20house"
    assert (properties["user"], properties["password"]) == ("shop", "p@ss/word")
    assert properties["sslmode"] == "require"
    assert properties["sslrootcert"] == "/ca.pem"
    assert properties["reWriteBatchedInserts"] == "true"
    assert properties["stringtype"] == "unspecified"


def test_jdbc_defaults_and_ipv6() -> None:
    assert jdbc_options(settings("postgresql://u:p@[::1]/w"))[0] == "jdbc:postgresql://[::1]:5432/w"
    assert jdbc_options(settings("postgres://u:p@/w"))[0] == "jdbc:postgresql://localhost:5432/w"
