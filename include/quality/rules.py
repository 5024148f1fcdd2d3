"""The rule set of the quality score, declared once: evaluated by `scoring`, printed in the report and in the docs.

The score of a rule is the share of rows that meet it. What a rule costs is its weight x the share of rows that fail it,
and the overall score is what all costs leave of 1:

    score(rule)      = 1 - failing rows / rows looked at
    score(dimension) = mean of its rules' scores, weighted by their weights
    overall          = max(0, 1 - sum over rules of weight x (1 - score))

So the weight of a rule says what a batch loses if every row fails it. A weight of 0 makes a rule informative: it is
counted and shown, because another rule already carries its rows or because what it counts is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from include.domain.classify import UNSPECIFIED_COUNTRY
from include.domain.line import LineText
from include.sources.defects import DEFECTS

DimensionName = Literal["completeness", "validity", "uniqueness", "consistency", "timeliness", "reconciliation"]

Relation = Literal["lines", "broken", "legible", "repeats", "files", "totals"]
"""Where a rule's rows are. Columns have their names in the source file.

* `lines`: what Silver loaded of the batch; typed.
* `broken`: what it quarantined; text, with `codes`, the reason codes.
* `legible`: `lines` and those of `broken` whose values could be told apart; text.
* `repeats`: Bronze rows that are in neither, since an equal line is; `twin_line` is where in the batch that one is.
* `files`: the new files of a drop.
* `totals`: rows and money of `lines` and `broken`, by currency, as Silver recorded them and as counted from the tables.
"""

DIMENSIONS: dict[DimensionName, str] = {
    "completeness": "Values that should be there are there.",
    "validity": "Values can be read and are possible.",
    "uniqueness": "Every line comes once.",
    "consistency": "Lines do not contradict each other.",
    "timeliness": "Lines are of a time that has been.",
    "reconciliation": "All that came in is accounted for, to the row and the penny.",
}
"""Dimension -> what it asks for."""

COLUMNS = tuple(LineText.model_fields)
REQUIRED = tuple(name for name, field in LineText.model_fields.items() if field.is_required())
STRUCTURAL = tuple(code for code, defect in DEFECTS.items() if defect.scope == "record")
"""Reason codes of records whose values cannot be told apart."""

FUTURE_TOLERANCE_DAYS = 1
"""How far a line may be dated after the claim: shop time is up to 14 hours ahead of UTC, in which claims are timed."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the score.

    Attributes:
        name: Says what holds for a row that meets the rule.
        dimension: What kind of quality it measures.
        columns: Columns of the source file it looks at; empty if it looks at none.
        weight: What the overall score loses if every row fails; 0 if the rule is informative.
        formula: How the score is made, in words.
        relation: Where failing rows are found.
        fails: SQL condition, true for a failing row of `relation`.
    """

    name: str
    dimension: DimensionName
    columns: tuple[str, ...]
    weight: float
    formula: str
    relation: Relation
    fails: str

    @property
    def of(self) -> str:
        """Rows looked at: every row that came in for what was quarantined or repeated, else those of `relation`."""
        return "rows_in" if self.relation in {"broken", "repeats"} else self.relation


def has_code(*codes: str) -> str:
    """Return the SQL condition that a row of `broken` has one of these reason codes."""
    return f"list_has_any(codes, [{', '.join(repr(code) for code in codes)}])"


def several(column: str, of: str) -> str:
    """Return the SQL condition that lines with this line's value of column `of` have several values of `column`."""
    value = f"coalesce(CAST({column} AS VARCHAR), '')"
    return f"{of} IN (SELECT {of} FROM lines GROUP BY {of} HAVING min({value}) <> max({value}))"


def _completeness() -> list[Rule]:
    required = [
        Rule(
            f"{name}_present",
            "completeness",
            (name,),
            0.03,
            f"1 - rows without {name} / all rows in. The row is quarantined, so it fails row_valid too.",
            "broken",
            has_code(f"missing_{name}"),
        )
        for name in REQUIRED
    ]
    optional = {
        "description": ("description IS NULL", "without description"),
        "customer_id": ("customer_id IS NULL", "without customer_id (sales to unknown customers, so it weighs little)"),
        "country": (
            f"country IS NULL OR country = '{UNSPECIFIED_COUNTRY}'",
            f"without country, or with country {UNSPECIFIED_COUNTRY}",
        ),
    }
    return required + [
        Rule(
            f"{name}_present",
            "completeness",
            (name,),
            0.02,
            f"1 - rows {words} / (loaded rows + quarantined rows whose values can be told apart). "
            "Repeats count with the line they repeat.",
            "legible",
            condition,
        )
        for name, (condition, words) in optional.items()
    ]


def _validity() -> list[Rule]:
    carried = "Informative: row_valid carries these rows."
    return [
        Rule(
            "row_valid",
            "validity",
            COLUMNS,
            0.35,
            "1 - quarantined rows / all rows in. A row is quarantined if it breaks any rule of docs/sources.md.",
            "broken",
            "true",
        ),
        Rule(
            "record_readable",
            "validity",
            COLUMNS,
            0.0,
            f"1 - rows whose values cannot be told apart / all rows in. {carried}",
            "broken",
            has_code(*STRUCTURAL),
        ),
        *[
            Rule(
                f"{name}_valid",
                "validity",
                (name,),
                0.0,
                f"1 - rows whose {name} is malformed or out of range / all rows in. {carried}",
                "broken",
                has_code(f"malformed_{name}", f"{name}_out_of_range"),
            )
            for name in COLUMNS
        ],
    ]


def _uniqueness() -> list[Rule]:
    return [
        Rule(
            "line_not_repeated",
            "uniqueness",
            COLUMNS,
            0.20,
            "1 - rows that repeat another row of the batch in full / all rows in. "
            "Not for a rebuild, which reads a day from every batch that holds it.",
            "repeats",
            "twin_line IS NOT NULL",
        ),
        Rule(
            "line_new",
            "uniqueness",
            COLUMNS,
            0.0,
            "1 - rows that an earlier batch has loaded / all rows in. "
            "Informative: sending a file that overlaps with an earlier one is no fault.",
            "repeats",
            "twin_line IS NULL",
        ),
        Rule(
            "line_once_in_silver",
            "uniqueness",
            COLUMNS,
            0.35,
            "1 - lines whose sale_id is in Silver more than once / loaded lines. A failure is a fault of the pipeline.",
            "lines",
            "sale_id IN (SELECT sale_id FROM lines GROUP BY sale_id HAVING count(*) > 1)",
        ),
    ]


def _consistency() -> list[Rule]:
    return [
        Rule(
            "invoice_has_one_customer",
            "consistency",
            ("invoice", "customer_id"),
            0.10,
            "1 - lines of invoices with several customers, or with and without one / loaded lines.",
            "lines",
            several("customer_id", of="invoice"),
        ),
        Rule(
            "invoice_has_one_country",
            "consistency",
            ("invoice", "country"),
            0.10,
            "1 - lines of invoices with several countries / loaded lines.",
            "lines",
            several("country", of="invoice"),
        ),
        Rule(
            "invoice_has_one_day",
            "consistency",
            ("invoice", "invoice_date"),
            0.05,
            "1 - lines of invoices with several days / loaded lines. Several times of one day are ordinary.",
            "lines",
            several("invoice_day", of="invoice"),
        ),
        Rule(
            "cancellation_takes_back",
            "consistency",
            ("invoice", "quantity"),
            0.05,
            "1 - lines of cancellations (invoice C...) whose quantity is not negative / loaded lines.",
            "lines",
            "kind = 'cancellation' AND quantity >= 0",
        ),
        Rule(
            "customer_has_one_country",
            "consistency",
            ("customer_id", "country"),
            0.02,
            "1 - lines of customers with several countries in this batch / loaded lines. "
            "People do move, so it weighs little.",
            "lines",
            several("country", of="customer_id"),
        ),
        Rule(
            "amount_is_quantity_times_price",
            "consistency",
            ("quantity", "price"),
            0.35,
            "1 - lines whose amount is not quantity x price, but for those that state their amount / loaded lines. "
            "A failure is a fault of the pipeline.",
            "lines",
            "NOT amount_declared AND amount <> quantity * price",
        ),
    ]


def _timeliness() -> list[Rule]:
    return [
        Rule(
            "date_not_in_future",
            "timeliness",
            ("invoice_date",),
            0.35,
            f"1 - lines dated more than {FUTURE_TOLERANCE_DAYS} day after the claim of the batch / loaded lines. "
            "How old lines are is shown as lag, not scored: loading history is no fault.",
            "lines",
            f"invoice_date > getvariable('claimed_at') + INTERVAL {FUTURE_TOLERANCE_DAYS} DAY",
        )
    ]


def _reconciliation() -> list[Rule]:
    return [
        Rule(
            "file_read",
            "reconciliation",
            (),
            0.10,
            "1 - files of which nothing could be read / new files of the drop but those put back to be read later. "
            "The rows in them are not known, so they are in no other formula.",
            "files",
            "NOT readable",
        ),
        Rule(
            "rows_recounted",
            "reconciliation",
            (),
            0.35,
            "1 - tables (Silver, quarantine) whose rows of the batch differ from what Silver recorded / 2.",
            "totals",
            "rows_recorded <> rows_found",
        ),
        Rule(
            "money_recounted",
            "reconciliation",
            ("quantity", "price"),
            0.35,
            "1 - tables (Silver, quarantine) whose money of the batch differs from what Silver recorded / 2, "
            "each currency by itself.",
            "totals",
            "amount_recorded <> amount_found",
        ),
    ]


RULES: tuple[Rule, ...] = (
    *_completeness(),
    *_validity(),
    *_uniqueness(),
    *_consistency(),
    *_timeliness(),
    *_reconciliation(),
)

WEIGHTS: dict[DimensionName, float] = {
    name: sum(rule.weight for rule in RULES if rule.dimension == name) for name in DIMENSIONS
}
"""Dimension -> what the overall score loses if every row fails every rule of it."""
