from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from include.quality.findings import ScoreRow
from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.quality import save_scores
from include.warehouse.schema.tables import star_table
from tests.support.batches import batch
from tests.support.records import score


def test_scores_of_a_batch_replace_those_of_an_earlier_attempt(engine: Engine, settings: Settings) -> None:
    overall = score(level="overall", name="overall", weight=None, cost=None)
    save_scores(engine, [overall, score(), score(name="price_valid", score=None, cost=None, failing=0, rows=0)])
    save_scores(engine, [score(2)])
    save_scores(engine, [overall.model_copy(update={"status": "released"}), score(failing=2, score=0.8)])
    with transaction(engine) as connection:
        table = star_table("etl_quality")
        rows = connection.execute(table.select().order_by(table.c.batch_id, table.c.level)).mappings().all()
    assert [(row["batch_id"], row["level"], row["status"], row["failing"], row["score"]) for row in rows] == [
        (batch(1), "overall", "released", 1, 0.9),
        (batch(1), "rule", "passed", 2, 0.8),
        (batch(2), "rule", "passed", 1, 0.9),
    ]
    assert ScoreRow.model_validate(dict(rows[1])) == score(failing=2, score=0.8)


@pytest.mark.parametrize("changes", [{"score": 1.1}, {"score": -0.1}, {"failing": 11}, {"failing": -1}])
def test_impossible_scores_are_refused_whole(engine: Engine, settings: Settings, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        save_scores(engine, [score(level="overall", name="overall"), score(**changes)])
    with transaction(engine) as connection:
        assert connection.execute(star_table("etl_quality").select()).all() == []
