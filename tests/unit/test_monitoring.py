"""What Prometheus and Grafana are given: every query names metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from include.settings import PROJECT_ROOT

MONITORING = PROJECT_ROOT / "deploy" / "monitoring"
PANELS = json.loads((MONITORING / "grafana" / "retail.json").read_text())["panels"]
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
SUFFIX = re.compile(r"_(total|bucket|count|sum)$")


def existing() -> set[str]:
    """Return the names of metrics as the code spells them."""
    sources = (PROJECT_ROOT / "plugins" / "retail_api").rglob("*.py")
    return {name for path in sources for name in re.findall(r'"(retail_[a-z_]+)"', Path(path).read_text())}


def test_every_query_names_metrics_that_exist() -> None:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]
    named = {SUFFIX.sub("", name) for query in queries for name in re.findall(r"\bretail_[a-z_]+", query)}
    assert named
    assert named <= existing()


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["annotations"].keys() == {"summary", "remedy"}, rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
