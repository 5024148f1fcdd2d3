"""The drift statistics on the days of a generated file, as they are and with faults."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from deploy.sample import generate_lines, write_sample
from tests.drift_quality.__main__ import main


def test_faults_are_found_and_ordinary_days_rarely_unusual(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sample.csv"
    write_sample(generate_lines(20_000, 5, date(2011, 1, 3), 60), path, "csv")
    main(path)
    head, _, names, *table = capsys.readouterr().out.splitlines()
    assert head.startswith("60 invoice days, 32 compared")
    assert names.split() == [
        "any",
        "lines",
        "hours_without_lines",
        "lines_per_invoice",
        "customer_missing",
        "description_missing",
        "prices",
        "quantities",
    ]
    rates = {}
    for line in table:
        name, *shares = line.rsplit(maxsplit=8)
        rates[name.strip()] = [float(share) for share in shares]
    assert rates["ordinary days"][0] < 25
    assert rates["prices x 100 (in pence)"][6] == 100
    assert rates["quantities zero"][7] == 100
    assert rates["customer ids lost"][4] > 90
