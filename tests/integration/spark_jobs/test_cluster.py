"""The stages on a real standalone cluster, whose executors and one of whose workers are killed while they compute."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from deploy.sample import SampleStyle, generate_lines, write_sample
from include.failover import check_integrity, compare_sides
from include.settings import Settings, get_settings
from include.warehouse import open_engine, transaction, upgrade
from tests.benchmarks import duckdb_pipeline
from tests.end_to_end.stages import load
from tests.support.cluster import Cluster, cluster

ROWS = 3_000

pytestmark = [pytest.mark.integration, pytest.mark.thorough, pytest.mark.timeout(1800)]


def kill(spark: Cluster) -> None:
    """Kill all executors while Silver computes, and a worker with its executor while Gold does."""
    spark.kill_executors("silver")
    spark.kill_worker("gold")


def test_killed_executors_and_a_killed_worker_cost_no_row(postgres_url: str, tmp_path: Path) -> None:
    source = tmp_path / "sales.csv"
    lines = list(generate_lines(ROWS, 21, date(2011, 1, 4), 3, defects=False))
    write_sample(lines, source, "csv", SampleStyle(defects=False))
    with cluster(tmp_path / "cluster") as spark:
        settings = Settings(
            _env_file=None,
            data_dir=tmp_path / "data",
            database_url=SecretStr(postgres_url),
            spark_jars_dir=get_settings().jars,
            settle_seconds=0,
            spark_conf=spark.conf,
        )
        upgrade(settings)
        killer = threading.Thread(target=kill, args=(spark,), daemon=True)
        killer.start()
        receipt = load(settings, "killed", source, master=spark.url)
        killer.join(1)
        assert not killer.is_alive()
        assert len(spark.alive()) == 1
    assert (receipt.rows_in, receipt.rows_quarantined) == (ROWS, {})
    oracle = duckdb_pipeline.run(source, tmp_path)
    query = "SELECT count(*), sum(quantity), sum(amount) FROM {}"
    expected = oracle.execute(query.format("fact_sales")).fetchall()
    with open_engine(settings) as engine, transaction(engine) as connection:
        assert connection.execute(text(query.format("retail_dwh.fact_sales"))).fetchall() == expected
    assert compare_sides(settings).whole
    assert check_integrity(settings, "primary").whole
