"""How a file writes its invoice dates: decided once for the file, then every date is read in that style."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal
from zoneinfo import ZoneInfo

from include.sources.defects import reject
from include.sources.model import DateBasis, DateKind, DateOrder, FileDecisions
from include.sources.text import without_accents

DateSetting = Literal["auto", "day_first", "month_first"]

ORDERS: dict[str, DateOrder] = {"day_first": "dmy", "month_first": "mdy"}

SERIAL_ORIGIN = datetime(1899, 12, 30)
"""Day 0 of spreadsheets' serial numbers from 1900-03-01 on (ECMA-376 part 1, 18.17.4.1)."""

SERIAL_DAYS = (20_000, 80_000)
"""Serial numbers that are taken for dates: from 1954 to 2119."""

_CLOCK = re.compile(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"\s*(?P<half>[AP]\.?M\.?)?\s*(?P<zone>Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.IGNORECASE,
)
_AFTER_DAY = re.compile(r"T|,?\s+", re.IGNORECASE)
_NUMERIC = re.compile(r"([0-9]{1,4})([-/.])([0-9]{1,2})\2([0-9]{4}|[0-9]{1,2})(?![0-9])")
_ORDINAL = r"(?:st|nd|rd|th|er|\.|º|ª)?"
_NAMED = tuple(
    re.compile(rf"(?:(?!\d)\w{{2,12}}\.?,?\s+)?{pattern}(?![0-9])", re.IGNORECASE)
    for pattern in (
        rf"(?P<d>[0-9]{{1,2}}){_ORDINAL}[-\s/]+(?:de\s+)?(?P<name>[^\W\d_]{{3,10}})\.?,?[-\s/]+(?:de\s+)?"
        r"(?P<y>[0-9]{4}|[0-9]{2})",
        rf"(?P<name>[^\W\d_]{{3,10}})\.?\s+(?P<d>[0-9]{{1,2}}){_ORDINAL},?\s+(?P<y>[0-9]{{4}})",
        r"(?P<name>[^\W\d_]{3,10})[-/](?P<d>[0-9]{1,2})[-/](?P<y>[0-9]{4}|[0-9]{2})",
        r"(?P<y>[0-9]{4})[-\s/](?P<name>[^\W\d_]{3,10})\.?[-\s/](?P<d>[0-9]{1,2})",
    )
)
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T?([0-9]{2})([0-9]{2})([0-9]{2})?(Z)?)?")
_SERIAL = re.compile(r"[0-9]{5}(\.[0-9]+)?")
_EPOCH_SECONDS = re.compile(r"[0-9]{9,10}(\.[0-9]+)?")
_EPOCH_MILLISECONDS = re.compile(r"[0-9]{12,13}")

_MONTHS = (
    "january jan janvier janv januar janner jaenner enero ene gennaio gen januari janeiro",
    "february feb fevrier fevr fev februar febrero febbraio februari fevereiro",
    "march mar mars marz maerz mrz marzo maart mrt marco",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag mei maio",
    "june jun juin juni junio giugno giu junho",
    "july jul juillet juil juli julio luglio lug julho",
    "august aug aout agosto ago augustus",
    "september sep sept septembre septiembre settembre set setembro",
    "october oct octobre oktober okt octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec decembre dezember dez diciembre dic dicembre dezembro",
)
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
"""Names and abbreviations of the months in English, German, French, Spanish, Italian, Dutch and Portuguese, in lower
case without accents."""


@dataclass(frozen=True, slots=True)
class DateStyle:
    """How the dates of a file are read.

    Attributes:
        zone: The shop's zone, to which moments with an offset are brought.
        kind: Form of the dates.
        order: Order of the parts of numeric dates.
        separator: Character between them.
    """

    zone: ZoneInfo
    kind: DateKind = "numeric"
    order: DateOrder = "ymd"
    separator: str = "-"

    def read(self, text: str) -> datetime | None:
        """Return the moment that trimmed `text` names, by the shop's clock; None if it names none in this style."""
        try:
            match self.kind:
                case "numeric":
                    return self._numeric(text)
                case "named":
                    return self._named(text)
                case "compact":
                    return self._compact(text)
                case "serial":
                    return _serial(text)
                case "epoch_seconds":
                    return self._epoch(text, _EPOCH_SECONDS, 1)
                case "epoch_milliseconds":
                    return self._epoch(text, _EPOCH_MILLISECONDS, 1000)
        except (ValueError, OverflowError):
            return None  # such as 30 February

    def _numeric(self, text: str) -> datetime | None:
        found = _NUMERIC.match(text)
        if not found or found[2] != self.separator:
            return None
        parts = dict(zip(self.order, (found[1], found[3], found[4]), strict=True))
        if len(parts["m"]) > 2 or len(parts["d"]) > 2 or len(parts["y"]) not in {2, 4}:
            return None
        if self.order == "ymd" and len(parts["y"]) != 4:
            return None
        return self._at_clock(text[found.end() :], _year(parts["y"]), int(parts["m"]), int(parts["d"]))

    def _named(self, text: str) -> datetime | None:
        for pattern in _NAMED:
            found = pattern.match(text)
            month = MONTHS.get(without_accents(found["name"])) if found else None
            if found and month:
                return self._at_clock(text[found.end() :], _year(found["y"]), month, int(found["d"]))
        return None

    def _compact(self, text: str) -> datetime | None:
        found = _COMPACT.fullmatch(text)
        if not found:
            return None
        moment = datetime(*(int(part or 0) for part in found.groups()[:6]))  # type: ignore[arg-type]
        return self._of_shop(moment.replace(tzinfo=UTC)) if found[7] else moment

    def _epoch(self, text: str, pattern: re.Pattern[str], units: int) -> datetime | None:
        if not pattern.fullmatch(text):
            return None
        return self._of_shop(datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(float(text) * 1e6 / units)))

    def _at_clock(self, rest: str, year: int, month: int, day: int) -> datetime | None:
        if not rest:
            return datetime(year, month, day)
        between = _AFTER_DAY.match(rest)
        clock = _CLOCK.fullmatch(rest, between.end()) if between else None
        if not clock:
            return None
        hour, half = int(clock["hour"]), clock["half"]
        if half:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if half[0] in "Pp" else 0)
        microsecond = int((clock["fraction"] or "0").ljust(6, "0")[:6])
        minute, second = int(clock["minute"]), int(clock["second"] or 0)
        end_of_day = (hour, minute, second, microsecond) == (24, 0, 0, 0) and not half
        moment = datetime(year, month, day, 0 if end_of_day else hour, minute, second, microsecond)
        moment += timedelta(days=end_of_day)
        return self._of_shop(moment.replace(tzinfo=_offset(clock["zone"]))) if clock["zone"] else moment

    def _of_shop(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)


def _year(text: str) -> int:
    """Return a year; one of two digits is of 1969 to 2068, as POSIX has it for strptime's %y."""
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= 69 else 2000)


def _offset(zone: str) -> timezone:
    if zone[0] not in "+-":
        return UTC
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if zone[0] == "-" else offset)


def _serial(text: str) -> datetime | None:
    if not _SERIAL.fullmatch(text) or not SERIAL_DAYS[0] <= float(text) <= SERIAL_DAYS[1]:
        return None
    # Spreadsheets keep some 15 digits of a day, which are a few microseconds: their times are meant in milliseconds.
    return SERIAL_ORIGIN + timedelta(milliseconds=round(float(text) * 86_400_000))


def decide_dates(dates: Mapping[str, int], decisions: FileDecisions, setting: DateSetting, zone: ZoneInfo) -> DateStyle:
    """Return the style that reads most dates of a file; note it in `decisions`, with a warning where doubt is left.

    Args:
        dates: Trimmed texts of the invoice dates and how often each occurs, in the order of the file.
        decisions: Gets kind, order, separator, basis and warnings.
        setting: What to do where nothing in the file tells day from month.
        zone: The shop's.

    Raises:
        SourceRejected: ambiguous_dates, if nothing tells day from month and no setting does.
    """
    total = sum(dates.values())
    counts: dict[DateStyle, int] = {}
    for candidate in _styles(dates, zone):
        counts[candidate] = sum(count for text, count in dates.items() if candidate.read(text))
        if counts[candidate] == total and candidate.order == "ymd":
            break  # no other style can be meant
    best = max(counts.values())
    if not best:
        decisions.date_basis = "convention"
        if total:
            decisions.warnings.append(
                f"None of the {total} invoice dates has a form that can be read, such as 2010-12-01 08:26:00."
            )
        return DateStyle(zone)
    fitting = [style for style, count in counts.items() if count == best]
    contradictory = len(fitting) > 1 and _one_order_only(dates, fitting)
    style, basis = _chosen(fitting, setting, contradictory)
    if style is None:
        example = next(text for text in dates if fitting[0].read(text))
        raise reject("ambiguous_dates", value=example, readings=_readings(example, fitting))
    _note(decisions, style, basis)
    if basis != "evidence" and contradictory:
        decisions.warnings.append(_contradiction(dates, fitting, style))
    if best < total:
        example = next(text for text in dates if not style.read(text))
        decisions.warnings.append(
            f"{total - best} of {total} invoice dates, such as {example!r}, do not fit {_described(style)}, the style "
            "of the rest; those lines are kept out."
        )
        decisions.warnings += _doubtful(dates, style)
    return style


def _styles(dates: Iterable[str], zone: ZoneInfo) -> list[DateStyle]:
    """Return the styles that may fit, likelier ones first."""
    separators = dict.fromkeys(found[2] for text in dates if (found := _NUMERIC.match(text)))
    orders: tuple[DateOrder, ...] = ("ymd", "mdy", "dmy")
    numeric = [DateStyle(zone, "numeric", order, separator) for order in orders for separator in separators]
    kinds: tuple[DateKind, ...] = ("named", "compact", "serial", "epoch_seconds", "epoch_milliseconds")
    return numeric + [DateStyle(zone, kind) for kind in kinds]


def styles_reading(text: str, zone: ZoneInfo) -> list[DateStyle]:
    """Return the styles in which trimmed `text` names a moment.

    Args:
        text: A value of the invoice date.
        zone: The shop's.
    """
    return [style for style in _styles([text], zone) if style.read(text)]


def _chosen(fitting: list[DateStyle], setting: DateSetting, contradictory: bool) -> tuple[DateStyle | None, DateBasis]:
    """Return the style among those that fit equally many dates, None if day and month cannot be told apart."""
    by_order = {style.order: style for style in fitting if style.kind == "numeric"}
    if not {"mdy", "dmy"} <= by_order.keys() or "ymd" in by_order:
        return fitting[0], "evidence"
    if setting != "auto":
        return by_order[ORDERS[setting]], "setting"
    if contradictory or fitting[0].separator == ".":  # no country writes m.d.y
        return by_order["dmy"], "convention"
    return None, "convention"


def _note(decisions: FileDecisions, style: DateStyle, basis: DateBasis) -> None:
    decisions.date_kind, decisions.date_basis = style.kind, basis
    if style.kind == "numeric":
        decisions.date_order, decisions.date_separator = style.order, style.separator


def _described(style: DateStyle) -> str:
    if style.kind == "numeric":
        return style.separator.join({"y": "year", "m": "month", "d": "day"}[letter] for letter in style.order)
    return {
        "named": "day, name of the month and year",
        "compact": "yyyymmdd",
        "serial": "a spreadsheet's serial number",
        "epoch_seconds": "seconds since 1970",
        "epoch_milliseconds": "milliseconds since 1970",
    }[style.kind]


def _readings(text: str, styles: list[DateStyle]) -> str:
    days = [moment for style in styles if (moment := style.read(text))]
    return " or ".join(dict.fromkeys(f"{day.day} {day:%B} {day.year}" for day in days))


def _one_order_only(dates: Iterable[str], fitting: list[DateStyle]) -> bool:
    return any(sum(style.read(text) is not None for style in fitting) == 1 for text in dates)


def _contradiction(dates: Iterable[str], fitting: list[DateStyle], style: DateStyle) -> str:
    only = {
        order: next((text for text in dates if [s.order for s in fitting if s.read(text)] == [order]), None)
        for order in ("dmy", "mdy")
    }
    read = "month" if style.order == "mdy" else "day"
    return (
        f"The invoice dates contradict each other: {only['dmy']} can only be day first and {only['mdy']} only month "
        f"first, and as many fit one as the other. All were read {read} first; RETAIL_DATE_ORDER decides."
    )


def _doubtful(dates: Mapping[str, int], style: DateStyle) -> list[str]:
    """Return a warning on dates that were perhaps swapped where others can only be read the other way round."""
    if style.kind != "numeric" or style.order == "ymd":
        return []
    other = DateStyle(style.zone, "numeric", "mdy" if style.order == "dmy" else "dmy", style.separator)
    if not any(other.read(text) and not style.read(text) for text in dates):
        return []
    either = [text for text in dates if style.read(text) and other.read(text)]
    if not either:
        return []
    rows = sum(dates[text] for text in either)
    shown = ", ".join(either[:3]) + (", ..." if len(either) > 3 else "")
    return [
        f"Some dates have day and month the other way round, so {rows} dates that can be read both ways are in doubt: "
        f"{shown}. Check how the file was made; a spreadsheet that was opened with another language swaps them."
    ]
