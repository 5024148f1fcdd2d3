from __future__ import annotations

from sqlalchemy import Engine, text

from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.publishing.staging import staging_table
from include.warehouse.schema.tables import FACT
from tests.support.batches import Line, batch, stage
from tests.support.waiting import eventually

HISTORY = 200_000
INCREMENT = 400

MANY_FACTS = """
INSERT INTO {staging}
SELECT md5(CAST(:first + n AS text))::uuid, date_key, product_key, customer_key, country_key, invoice_key,
       sold_at, 1, unit_price, unit_price, kind, batch_id, fx_date, fx_source, fx_missing, rate_usd, rate_eur, rate_cad,
       rate_aud, rate_jpy, amount_declared, currency, original_unit_price, original_unit_price, base_rate
FROM {staging}, generate_series(2, :rows) n
"""


def stage_many(engine: Engine, settings: Settings, batch_id: str, first: int, rows: int) -> None:
    stage(engine, settings, batch_id, [Line(quantity=1, invoice=f"I{first}")])
    staging = f"{settings.staging_schema}.{staging_table(FACT, batch_id)}"
    with transaction(engine) as connection:
        connection.execute(text(MANY_FACTS.format(staging=staging)), {"first": first, "rows": rows})


def sequential_scans(engine: Engine, settings: Settings) -> int:
    """Return how often the facts were read from end to end, as every connection has reported."""
    engine.dispose()  # a connection reports when it closes
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        eventually(lambda: not connection.execute(text(others)).scalar_one())
    query = "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = :schema AND relname = :table"
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        found: int = connection.execute(text(query), {"schema": settings.warehouse_schema, "table": FACT}).scalar_one()
    return found


def test_a_small_batch_never_scans_the_facts(engine: Engine, settings: Settings) -> None:
    stage_many(engine, settings, batch(1), 0, HISTORY)
    publish(engine, settings, batch(1), "run", "drop", "t")
    before = sequential_scans(engine, settings)
    stage_many(engine, settings, batch(2), HISTORY, INCREMENT)
    report = publish(engine, settings, batch(2), "run", "drop", "t")
    assert report.rows_written[FACT] == INCREMENT
    assert sequential_scans(engine, settings) == before
