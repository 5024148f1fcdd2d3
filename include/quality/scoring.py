"""Scores of a batch: evaluates the rule set and finds failing examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb

from include.domain.money import number, printed
from include.quality.findings import Example, FileSummary, Problem, RuleScore, Score
from include.quality.reasons import explain, field_of
from include.quality.rules import COLUMNS, DIMENSIONS, RULES, Rule
from include.runs.folder import Manifest
from include.runs.records import SilverRecord, StagedFile
from include.sources.defects import shortened

EXAMPLES = 3
"""Failing rows shown for each rule."""

DIGITS = 6
"""Decimals that scores are kept to."""


def score_rules(connection: duckdb.DuckDBPyConnection, manifest: Manifest, silver: SilverRecord) -> list[RuleScore]:
    """Return the score of every rule, in the order of `RULES`.

    Args:
        connection: From `open_batch`.
        manifest: The run.
        silver: Counts of the batch.
    """
    failing, rows = _counts(connection, silver)
    scores = []
    for rule in RULES:
        looked_at = 0 if rule.relation == "repeats" and manifest.kind == "rebuild" else rows[rule.of]
        failed = failing[rule.name] if looked_at else 0
        share = failed / looked_at if looked_at else None
        scores.append(
            RuleScore(
                name=rule.name,
                dimension=rule.dimension,
                columns=list(rule.columns),
                weight=rule.weight,
                failing=failed,
                rows=looked_at,
                score=None if share is None else round(max(0.0, 1 - share), DIGITS),
                cost=None if share is None else round(min(1.0, share) * rule.weight, DIGITS),
                examples=_examples(connection, rule) if failed else [],
            )
        )
    return scores


def _counts(connection: duckdb.DuckDBPyConnection, silver: SilverRecord) -> tuple[dict[str, int], dict[str, int]]:
    """Return failing rows by rule, and the rows that shares are taken of; one look at each relation."""
    failing = {"line_not_repeated": silver.rows_duplicate, "line_new": max(0, silver.rows_already_seen)}
    rows = {"rows_in": silver.rows_in}
    for relation in ("lines", "broken", "legible", "files", "totals"):
        rules = [rule for rule in RULES if rule.relation == relation]
        counts = ", ".join(["count(*)", *(f"count(*) FILTER (WHERE {rule.fails})" for rule in rules)])
        total, *found = connection.execute(f"SELECT {counts} FROM {relation}").fetchall()[0]
        rows[relation] = total
        failing |= {rule.name: count for rule, count in zip(rules, found, strict=True)}
    return failing, rows


def _examples(connection: duckdb.DuckDBPyConnection, rule: Rule) -> list[Example]:
    query = f"SELECT * FROM {rule.relation} WHERE {rule.fails} ORDER BY source_file, source_line LIMIT {EXAMPLES}"
    return [
        Example(file=row["source_file"], line=row["source_line"], value=shortened(_value(rule, row)))
        for row in _dictionaries(connection.execute(query))
    ]


def _dictionaries(found: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in found.description or []]
    return [{name: _plain(name, value) for name, value in zip(names, row, strict=True)} for row in found.fetchall()]


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    return number(value) if name == "quantity" else printed(value)


def _value(rule: Rule, row: Mapping[str, Any]) -> str:
    """Describe a failing row by what it has in the columns of the rule."""
    match rule.relation:
        case "files":
            return str(row["problem"])
        case "totals":
            what = "amount" if rule.name == "money_recounted" else "rows"
            return f"recorded {row[f'{what}_recorded']}, found {row[f'{what}_found']}"
        case "repeats":
            same = f", the same as line {row['twin_line']} of {row['twin_file']}" if row["twin_line"] else ""
            return f"invoice {row['invoice']}, stock_code {row['stock_code']}{same}"
        case "broken":
            return _broken_value(row, rule.columns[0] if len(rule.columns) == 1 else None)
    columns = rule.columns if len(rule.columns) < len(COLUMNS) else ("invoice", "stock_code")
    shown = [f"{name} {'(none)' if row[name] is None else row[name]}" for name in columns]
    if len(columns) == 1 and columns[0] != "invoice":
        shown.append(f"on invoice {row['invoice'] or '(none)'}")
    return ", ".join(shown)


def _broken_value(row: Mapping[str, Any], column: str | None) -> str:
    name = column or field_of(row["codes"][0])
    if name is None:
        return row["raw"] or "(nothing)"
    return f"{name} {'(none)' if row[name] is None else row[name]}"


def dimension_scores(rules: Sequence[RuleScore]) -> list[Score]:
    """Return the score of each dimension: the mean of its rules' scores, weighted by their weights."""
    scores = []
    for name in DIMENSIONS:
        scored = [(rule.weight, rule.score) for rule in rules if rule.dimension == name and rule.score is not None]
        total = sum(weight for weight, _ in scored)
        mean = sum(weight * score for weight, score in scored) / total if total else None
        scores.append(Score(name=name, score=None if mean is None else round(mean, DIGITS)))
    return scores


def column_scores(rules: Sequence[RuleScore]) -> list[Score]:
    """Return the score of each column: that of the rule it does worst by, of those that name some columns only."""
    scores = []
    for name in COLUMNS:
        of = [
            rule.score
            for rule in rules
            if name in rule.columns and len(rule.columns) < len(COLUMNS) and rule.score is not None
        ]
        scores.append(Score(name=name, score=min(of, default=None)))
    return scores


def overall_score(rules: Sequence[RuleScore]) -> float:
    """Return 1 minus the costs of all rules, at least 0."""
    return round(max(0.0, 1 - sum(rule.cost for rule in rules if rule.cost is not None)), DIGITS)


def file_summaries(
    connection: duckdb.DuckDBPyConnection, files: Sequence[StagedFile], reports: Mapping[str, str]
) -> list[FileSummary]:
    """Return what became of each file: those of the drop, or of a rebuild those with quarantined rows.

    Args:
        connection: From `open_batch`.
        files: The new files of a drop, as `files_of` gives them; none for a rebuild.
        reports: Content hash -> path of the report on the file's quarantined rows.
    """
    problems = _problems(connection)
    quarantined = connection.execute(
        "SELECT source_sha256, any_value(source_file), count(*) FROM broken GROUP BY source_sha256 ORDER BY 2"
    ).fetchall()
    rows = {sha256: count for sha256, _, count in quarantined}
    if files:
        return [
            FileSummary(
                name=file.name,
                sha256=file.sha256,
                rows=file.reading.rows if file.reading else 0,
                quarantined=rows.get(file.sha256, 0),
                problems=problems.get(file.sha256, []),
                report=reports.get(file.sha256),
                rejection=None if file.reading else f"{file.problem} {file.remedy}",
            )
            for file in files
        ]
    return [
        FileSummary(name=name, sha256=sha256, rows=None, quarantined=count, problems=problems[sha256])
        for sha256, name, count in quarantined
    ]


def _problems(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Problem]]:
    """Return why rows of each file were quarantined, most frequent reason first."""
    values = ", ".join(f"{name}: {name}" for name in (*COLUMNS, "raw"))
    query = f"""
        SELECT source_sha256, code, count(*), min(source_line), arg_min(kept, source_line)
        FROM (SELECT source_sha256, source_line, unnest(codes) AS code, {{{values}}} AS kept FROM broken)
        GROUP BY source_sha256, code ORDER BY 3 DESC, code"""
    found: dict[str, list[Problem]] = {}
    for sha256, code, rows, line, kept in connection.execute(query).fetchall():
        problem, remedy = explain(code)
        value = kept[field_of(code) or "raw"]
        found.setdefault(sha256, []).append(
            Problem(
                code=code,
                rows=rows,
                problem=problem,
                remedy=remedy,
                first_line=line,
                first_value=shortened(value) if value is not None else "",
            )
        )
    return found


def lag_days(connection: duckdb.DuckDBPyConnection) -> tuple[int, int] | None:
    """Return the days from the newest and from the oldest invoice day to the claim; None without lines."""
    claimed = "CAST(getvariable('claimed_at') AS DATE)"
    newest, oldest = connection.execute(
        f"SELECT {claimed} - max(invoice_day), {claimed} - min(invoice_day) FROM lines"
    ).fetchall()[0]
    return None if newest is None else (newest, oldest)
