"""Count false alarms and found faults of the drift statistics: python -m tests.drift_quality online_retail_II.csv."""

from __future__ import annotations

import sys
from pathlib import Path

from include.quality.drift import STATISTICS
from tests.drift_quality.replay import replay


def main(file: Path) -> None:
    """Print them, day by day over a source file that spans many days."""
    outcome = replay(file)
    print(f"{outcome.days} invoice days, {outcome.compared} compared; percent of them beyond the bound:\n")
    names = ["any", *STATISTICS]
    widths = [max(len(name) + 2, 7) for name in names]
    width = max(len(rates.of) for rates in outcome.faults)
    print(" " * width + "".join(f"{name:>{size}}" for name, size in zip(names, widths, strict=True)))
    for rates in (outcome.false_alarms, *outcome.faults):
        shares = [rates.any, *(rates.by_statistic[name] for name in STATISTICS)]
        cells = (f"{100 * share:{size}.1f}" for share, size in zip(shares, widths, strict=True))
        print(f"{rates.of:<{width}}" + "".join(cells))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
