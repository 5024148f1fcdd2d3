"""The report: whole in one file, and nothing in it runs."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from xml.etree.ElementTree import Element, fromstring

import pytest

from include.quality.findings import (
    Drift,
    DriftAlert,
    Example,
    FileSummary,
    Problem,
    QualityRecord,
    Release,
    RuleScore,
    Score,
    Status,
)
from include.quality.history import Verdict
from include.quality.report import STATUS_COLOURS, percent, render
from include.quality.rules import DIMENSIONS, RULES

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVIL = "<script>alert('x')</script>"


def record(status: Status = "held", **changes: object) -> QualityRecord:
    rules = [
        RuleScore(
            name=rule.name,
            dimension=rule.dimension,
            columns=list(rule.columns),
            weight=rule.weight,
            failing=1,
            rows=4,
            score=0.75,
            cost=rule.weight / 4,
            examples=[Example(file=EVIL, line=3, value=EVIL)],
        )
        for rule in RULES
    ]
    summary = FileSummary(
        name=EVIL,
        sha256="s",
        rows=4,
        quarantined=1,
        problems=[
            Problem(
                code="c",
                rows=1,
                problem="It is wrong.",
                remedy="Correct it.",
                first_line=3,
                first_value=EVIL,
                first_cell=EVIL,
                first_cause=EVIL,
            )
        ],
        report=f"quarantine/r/{EVIL}.rows.csv",
    )
    content: dict[str, object] = {
        "run_id": "r",
        "batch_id": "b",
        "kind": "drop",
        "scored_at": NOW,
        "status": status,
        "overall": 0.4,
        "bar": 0.85,
        "rows_in": 4,
        "rows_loaded": 3,
        "rows_duplicate": 0,
        "rows_quarantined": 1,
        "rows_already_seen": 0,
        "lag_days": (1, 2),
        "dimensions": [Score(name=name, score=None if name == "timeliness" else 0.75) for name in DIMENSIONS],
        "columns": [Score(name="price", score=0.75)],
        "rules": rules,
        "files": [summary],
    }
    return QualityRecord.model_validate(content | changes)


def history(count: int = 3) -> list[Verdict]:
    return [
        Verdict(
            batch_id=f"b{number}",
            run_id=f"r{number}",
            kind="drop",
            scored_at=NOW + timedelta(hours=number),
            status="nothing_to_score" if number == 1 else "passed",
            rows=number,
            overall=None if number == 1 else 0.9,
            bar=0.85,
        )
        for number in range(count)
    ]


def plots(html: str) -> list[Element]:
    return [fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_what_files_hold_is_shown_and_not_run() -> None:
    html = render(record(), history())
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > len(RULES)


def test_nothing_is_fetched_from_elsewhere() -> None:
    html = render(record(), history(40))
    assert not re.search(r"https?:|//[a-z]|url\((?!#)|@import|<(link|script|img|iframe|object)", html)
    assert html.count("<svg") == 2


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (record("held"), "python -m include.quality release r --reason"),
        (
            record("released", release=Release(by="ada", at=NOW, reason="tested & right", score=0.4)),
            "tested &amp; right",
        ),
        (record("nothing_to_score", overall=None, lag_days=None, files=[]), "nothing to publish"),
        (record(drift=Drift(days=2, compared=0)), "None of the 2 days has enough earlier days"),
        (record(drift=Drift(days=2, compared=1)), "1 of 2 days were compared"),
        (record(drift=Drift(days=40, compared=36, summary="3 of 36 days.")), "3 of 36 days."),
        (
            record(
                drift=Drift(
                    days=1,
                    compared=1,
                    alerts=[
                        DriftAlert(
                            day=date(2011, 3, 1),
                            statistic="prices",
                            distance=1,
                            bound=0.2,
                            words="all in pence",
                            compared=8,
                        )
                    ],
                )
            ),
            "all in pence",
        ),
        (record(files=[FileSummary(name="a", sha256="s", rows=0, rejection="It is empty.")]), "Nothing of this file"),
        (record(files=[FileSummary(name="a", sha256="s", rows=1)]), "All 1 rows are in order."),
        (record(files=[FileSummary(name="a", sha256="s", rows=0)]), "The file has no rows."),
        (record(files=[FileSummary(name="a", sha256="s", rows=None, quarantined=2)]), "2 rows of that day"),
    ],
)
def test_each_case_has_its_sentence(found: QualityRecord, sentence: str) -> None:
    assert sentence in render(found, history())


def test_a_first_batch_has_no_history_yet() -> None:
    assert "batches</h2>" not in render(record(), [])


@pytest.mark.parametrize(
    ("score", "text"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.85, "85.0 %"), (0.0, "0.0 %"), (None, "\N{EN DASH}")]
)
def test_percentages(score: float | None, text: str) -> None:
    assert percent(score) == text


def test_the_bars_are_as_long_as_the_scores_and_red_below_the_bar() -> None:
    scores = {"completeness": 1.0, "validity": 0.85, "uniqueness": 0.5, "timeliness": None}
    found = record(dimensions=[Score(name=name, score=score) for name, score in scores.items()])
    (plot,) = plots(render(found, []))
    assert [text.text for text in plot.iter("text")][: len(scores)] == [*scores]
    bars = [bar for bar in plot.iter("rect") if "fill" in bar.attrib]
    assert [float(bar.attrib["width"]) for bar in bars] == pytest.approx([490, 416.5, 245, 0])
    good, bad = STATUS_COLOURS["passed"], STATUS_COLOURS["held"]
    assert [bar.attrib["fill"] for bar in bars] == [good, good, bad, bad]


@pytest.mark.parametrize("count", [1, 2, 12, 13, 40])
def test_every_scored_batch_is_a_point_and_at_most_twelve_are_dated(count: int) -> None:
    _, plot = plots(render(record(), history(count)))
    points = list(plot.iter("circle"))
    assert len(points) == count - (count > 1)
    places = [float(point.attrib["cx"]) for point in points]
    assert places == sorted(set(places))
    assert all(60 < place < 990 for place in places)
    assert {point.attrib["cy"] for point in points} == {"30.0"}
    scores, bars = (line.attrib["points"].split() for line in plot.iter("polyline"))
    assert scores == [f"{point.attrib['cx']},{point.attrib['cy']}" for point in points]
    assert (len(bars), {bar.split(",")[1] for bar in bars}) == (count + 2, {"40.0"})
    dates = [text.text for text in plot.iter("text") if text.text and text.text.endswith("Nov")]
    assert 0 < len(dates) <= 12
    last = list(plot.iter("text"))[-2:]
    assert [text.text for text in last] == [f"{history(count)[-1].scored_at:{form}}" for form in ("%d %b", "%H:%M")]
