"""Drift: whether the profile of a day is unlike those of earlier days of its weekday.

A day is compared with up to `COMPARED` earlier days of its weekday, at least `NEEDED`. Each statistic is a distance
with a bound; a day beyond the bound raises an alert, which is a warning and never stops a run. The bounds were chosen
by `python -m tests.drift_quality` on two years of a real shop's days, so that each statistic is beyond its
bound on fewer than 2 % of ordinary days; docs/quality.md has the rates, and those at which injected faults are found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import reduce
from itertools import accumulate
from statistics import median

from include.quality.findings import Drift, DriftAlert
from include.quality.profiles import HOURS, LINES_CAP, DayProfile, added_up

COMPARED = 8
"""Two months of one weekday: longer, and the season has changed; shorter, and one odd day weighs too much."""

NEEDED = 4
"""With fewer earlier days, it is not known what is ordinary."""

MAX_DAYS = 31
"""A batch of more days is history that is being loaded; warnings for single days would be noise."""

UNUSUAL_SHARE = 0.2
"""A batch of more than `MAX_DAYS` days gets a warning if more than this share of its days is unusual. Fewer
than a tenth of ordinary days is beyond the bound of any statistic."""

MIN_LINES = 50
"""A day of fewer lines is not compared: shares and distributions of so few say nothing."""

VOLUME_BOUND = 3.0
VOLUME_SCALE_FLOOR = 0.25
"""Standard deviations of the log of a day's lines, and the least of these: a shop's days differ by a quarter even when
the last few happened to be alike."""

LEVEL_DAYS = 10
LEVEL_WEIGHT = 0.5
"""How the last two weeks of days, of any weekday, move what is expected of the next: by half of their own surprise."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Value of one statistic for one day."""

    distance: float
    bound: float
    words: str


@dataclass(frozen=True, slots=True)
class Reference:
    """What a day is compared with.

    Attributes:
        same_weekday: Earlier days of its weekday, newest first, at most `COMPARED`.
        recent: Up to `COMPARED` earlier days of each weekday, newest first.
        total: Sum of `same_weekday`.
    """

    same_weekday: Sequence[DayProfile]
    recent: Sequence[DayProfile]
    total: DayProfile


def reference_for(day: date, days: Mapping[date, DayProfile]) -> Reference | None:
    """Return what `day` is compared with, None if there are too few earlier days of its weekday."""
    weekdays: dict[int, list[DayProfile]] = {}
    for earlier in sorted((known for known in days if known < day), reverse=True):
        of_weekday = weekdays.setdefault(earlier.weekday(), [])
        if len(of_weekday) < COMPARED and days[earlier].lines >= MIN_LINES:
            of_weekday.append(days[earlier])
    same = weekdays.get(day.weekday(), [])
    if len(same) < NEEDED:
        return None
    recent = sorted((item for found in weekdays.values() for item in found), key=lambda item: item.invoice_day)[::-1]
    return Reference(same, recent, reduce(lambda one, other: one + other, same))


def volume(day: DayProfile, reference: Reference) -> Deviation:
    """Compare the number of lines.

    The distance is |log lines - expected| in robust standard deviations. Expected is the median of the log lines of the
    weekday, moved by half the median surprise of the last `LEVEL_DAYS` days; a surprise is how far a day's log lines
    are from the median of its own weekday, and the standard deviation is 1.4826 times the median absolute surprise. Of
    an invoice at most `profiles.LINES_CAP` lines count.
    """
    logs: dict[int, list[float]] = {}
    for item in reference.recent:
        logs.setdefault(item.invoice_day.weekday(), []).append(math.log(item.capped_lines))
    medians = {weekday: median(values) for weekday, values in logs.items()}
    surprises = [math.log(item.capped_lines) - medians[item.invoice_day.weekday()] for item in reference.recent]
    scale = max(MAD_TO_SIGMA * median(map(abs, surprises)), VOLUME_SCALE_FLOOR)
    expected = medians[day.invoice_day.weekday()] + LEVEL_WEIGHT * median(surprises[:LEVEL_DAYS])
    return Deviation(
        abs(math.log(day.capped_lines) - expected) / scale,
        VOLUME_BOUND,
        f"{day.capped_lines:,} lines (at most {LINES_CAP} counted an invoice) where about {math.exp(expected):,.0f} "
        "are ordinary",
    )


def hours_without_lines(day: DayProfile, reference: Reference) -> Deviation:
    """Compare the hours of the day that have lines: a file that was cut off lacks some.

    The distance is the share of the lines of earlier days in hours in which this day has none. Shops differ in how
    often an hour has no customer, so the bound is at least 5 % more than what nineteen in twenty of the recent days
    have, each beside the others of its weekday.
    """
    totals: dict[int, DayProfile] = {}
    for item in reference.recent:
        weekday = item.invoice_day.weekday()
        totals[weekday] = totals[weekday] + item if weekday in totals else item
    before = []
    for item in reference.recent:
        total = totals[item.invoice_day.weekday()]
        if total.lines > item.lines:
            before.append(_lines_in_empty_hours(item, total) / (total.lines - item.lines))
    ordinary = sorted(before)[int(0.95 * (len(before) - 1))]
    share = _lines_in_empty_hours(day, reference.total) / reference.total.lines
    spans = ", ".join(
        f"{hour}-{hour + 1}" for hour in range(HOURS) if reference.total.hours[hour] and not day.hours[hour]
    )
    return Deviation(
        share,
        max(0.15 + 0.4 / math.sqrt(max(1, day.sales)), ordinary + 0.05),
        f"no lines at {spans} h, when {share:.0%} of the lines are ordinarily written",
    )


def _lines_in_empty_hours(day: DayProfile, total: DayProfile) -> int:
    return sum(there for here, there in zip(day.hours, total.hours, strict=True) if not here)


def lines_per_invoice(day: DayProfile, reference: Reference) -> Deviation | None:
    """Compare the lines of an invoice: rows lost here and there, or repeated with a difference, change them.

    The distance is |log of the ratio of the mean lines| of invoices with two sales or more, at most
    `profiles.LINES_CAP` counted of each.
    """
    if not day.sales or not reference.total.sales:
        return None
    mean, ordinary = day.sale_lines / day.sales, reference.total.sale_lines / reference.total.sales
    return Deviation(
        abs(math.log(mean / ordinary)),
        0.2 + 0.8 / math.sqrt(day.sales),
        f"{mean:.1f} lines an invoice where {ordinary:.1f} are ordinary",
    )


def _share(
    what: str, missing: int, day: DayProfile, missing_before: int, before: DayProfile, base: float, cluster: float
) -> Deviation:
    share, ordinary = missing / day.lines, missing_before / before.lines
    # Not 0: a share that never was above zero may still be 1 in as many lines as were seen.
    likely = min(max(ordinary, 1 / before.lines), 0.5)
    deviation = math.sqrt(likely * (1 - likely) * cluster / day.lines)
    return Deviation(
        abs(share - ordinary),
        base + 3 * deviation,
        f"{share:.1%} of the lines without {what}, ordinarily {ordinary:.1%}",
    )


def customer_missing(day: DayProfile, reference: Reference) -> Deviation:
    """Compare the share of lines without customer id.

    The bound is 5 % and three binomial standard deviations. Lines come in invoices, and those of one invoice have one
    customer or none: as many lines as (sum of squared invoice sizes / lines), of this day or of the earlier ones,
    whichever is more, count as one observation.
    """
    total = reference.total
    cluster = max(total.squared_lines / total.lines, day.squared_lines / day.lines)
    return _share("customer id", day.customer_missing, day, total.customer_missing, total, 0.05, cluster)


def description_missing(day: DayProfile, reference: Reference) -> Deviation:
    """Compare the share of lines without description; the bound is 4 % and three binomial standard deviations."""
    total = reference.total
    return _share("description", day.description_missing, day, total.description_missing, total, 0.04, 1.0)


def _farthest(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the Kolmogorov-Smirnov distance of two histograms: the largest difference of their cumulative shares."""
    sums, others = list(accumulate(one)), list(accumulate(other))
    return max(abs(a / sums[-1] - b / others[-1]) for a, b in zip(sums, others, strict=True))


def prices(day: DayProfile, reference: Reference) -> Deviation:
    """Compare the distribution of prices: Kolmogorov-Smirnov distance of the histograms."""
    distance = _farthest(day.prices, reference.total.prices)
    return Deviation(
        distance, 0.15 + 1 / math.sqrt(day.lines), f"prices are distributed differently (distance {distance:.2f})"
    )


def quantities(day: DayProfile, reference: Reference) -> Deviation:
    """Compare the distribution of quantities: Kolmogorov-Smirnov distance of the histograms."""
    distance = _farthest(day.quantities, reference.total.quantities)
    return Deviation(
        distance, 0.24 + 1 / math.sqrt(day.lines), f"quantities are distributed differently (distance {distance:.2f})"
    )


STATISTICS: dict[str, Callable[[DayProfile, Reference], Deviation | None]] = {
    "lines": volume,
    "hours_without_lines": hours_without_lines,
    "lines_per_invoice": lines_per_invoice,
    "customer_missing": customer_missing,
    "description_missing": description_missing,
    "prices": prices,
    "quantities": quantities,
}

WHOLE_DAYS_ONLY = {"lines", "hours_without_lines"}
"""Statistics that say nothing of a day that is not over yet."""


def compare(day: DayProfile, days: Mapping[date, DayProfile], *, over: bool = True) -> list[DriftAlert] | None:
    """Return in what `day` is unlike earlier days of its weekday; None if it cannot be compared.

    Args:
        day: The whole of the day as known by now.
        days: Profiles of other days; later ones do not count.
        over: Whether the day was over when its lines were sent.
    """
    reference = reference_for(day.invoice_day, days)
    if reference is None or day.lines < MIN_LINES:
        return None
    alerts = []
    for name, statistic in STATISTICS.items():
        found = statistic(day, reference) if over or name not in WHOLE_DAYS_ONLY else None
        if found is not None and found.distance > found.bound:
            alerts.append(
                DriftAlert(
                    day=day.invoice_day,
                    statistic=name,
                    distance=round(found.distance, 4),
                    bound=round(found.bound, 4),
                    words=found.words,
                    compared=len(reference.same_weekday),
                )
            )
    return alerts


def drift_of(batch: Iterable[DayProfile], others: Iterable[DayProfile], claimed_at: datetime) -> Drift:
    """Compare the days of a batch with earlier days.

    A day counts whole, with what other batches brought of it. The days of a batch of at most `MAX_DAYS` are compared
    with days that other batches brought, so that a fault in all of them does not hide itself; those of a larger batch
    as if each had come by itself.

    Args:
        batch: Profiles of the run's lines.
        others: Profiles kept of other batches.
        claimed_at: When the batch was claimed (UTC).
    """
    ours, theirs = added_up(batch), added_up(others)
    whole = {day: profile + theirs[day] if day in theirs else profile for day, profile in ours.items()}
    many = len(ours) > MAX_DAYS
    known = theirs | whole if many else theirs
    found: dict[date, list[DriftAlert]] = {}
    for day, profile in sorted(whole.items()):
        over = claimed_at.replace(tzinfo=None) >= datetime.combine(day + timedelta(days=1), time())
        alerts = compare(profile, known, over=over)
        if alerts is not None:
            found[day] = alerts
    alerts = [alert for of_day in found.values() for alert in of_day]
    if not many:
        return Drift(days=len(ours), compared=len(found), alerts=alerts)
    unusual = sum(1 for of_day in found.values() if of_day)
    counts = {name: sum(alert.statistic == name for alert in alerts) for name in STATISTICS}
    by_statistic = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return Drift(
        days=len(ours),
        compared=len(found),
        summary=f"{unusual} of {len(found)} compared days are unlike earlier days of their weekday"
        + (f" ({by_statistic})." if by_statistic else "."),
        unusual=unusual > UNUSUAL_SHARE * len(found),
    )
