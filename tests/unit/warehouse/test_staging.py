from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from include.settings import Settings
from include.warehouse.connection.engine import WarehouseMisconfigured
from include.warehouse.publishing.staging import batch_key, jdbc_options, qualified_staging_table, staging_table

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


def test_jdbc_keeps_the_credentials_out_of_the_url(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    query = f"sslmode=verify-full&sslrootcert={authority}&connect_timeout=9"
    url, properties = jdbc_options(
        settings(f"postgresql+psycopg://shop:p%40ss%2Fword@db.example:5433/ware%20house?{query}")
    )
    assert url == "jdbc:postgresql://db.example:5433/ware%20house"
    assert (properties["user"], properties["password"]) == ("shop", "p@ss/word")
    assert (properties["sslmode"], properties["sslrootcert"]) == ("verify-full", str(authority))
    assert properties["connectTimeout"] == "9"
    assert properties["reWriteBatchedInserts"] == "true"
    assert properties["stringtype"] == "unspecified"


def test_jdbc_defaults_and_ipv6() -> None:
    assert jdbc_options(settings("postgresql://u:p@[::1]/w"))[0] == "jdbc:postgresql://[::1]:5432/w"
    url, properties = jdbc_options(settings("postgres://u:p@/w?options=-c%20geqo%3Doff"))
    assert url == "jdbc:postgresql://localhost:5432/w"
    assert "sslmode" not in properties
    assert properties["options"] == "-c geqo=off -c statement_timeout=30000ms -c lock_timeout=10000ms"
    assert (properties["connectTimeout"], properties["socketTimeout"]) == ("5", "60")


def test_jdbc_speaks_tls_to_another_machine() -> None:
    assert jdbc_options(settings("postgresql://u:p@db.example/w"))[1]["sslmode"] == "require"
    trusting_the_system = settings("postgresql://u:p@db.example/w?sslmode=verify-full&sslrootcert=system")
    properties = jdbc_options(trusting_the_system)[1]
    assert properties["sslmode"] == "verify-full"
    assert properties["sslfactory"] == "org.postgresql.ssl.DefaultJavaSSLFactory"
    assert "sslrootcert" not in properties


def test_jdbc_prepares_and_sets_nothing_behind_a_transaction_pooler() -> None:
    properties = jdbc_options(settings("postgresql://u:p@db.example:6543/w"))[1]
    assert properties["prepareThreshold"] == "0"
    assert properties["queryTimeout"] == "30"
    assert "options" not in properties
    assert "prepareThreshold" not in jdbc_options(settings("postgresql://u:p@db.example:5432/w"))[1]


def test_jdbc_cannot_use_a_socket() -> None:
    with pytest.raises(WarehouseMisconfigured, match=r"DATABASE_URL leads to a Unix socket.*write 127\.0\.0\.1"):
        jdbc_options(settings("postgresql:///w?host=/run/postgresql"))
