"""The picture in docs/architecture.md shows the package order that `lint-imports` enforces."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

from include.settings import PROJECT_ROOT


def test_the_picture_shows_the_contract() -> None:
    configuration = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    programs, library, *_ = (
        contract["layers"]
        for contract in configuration["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    assert programs[-1] == "include"
    levels = [re.findall(r"\w+", level) for level in [*programs[:-1], *library]]
    page = (PROJECT_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    arrows = re.findall(r"^ *(.+) --> (.+)$", page, re.MULTILINE)
    assert [tuple(end.split(" & ") for end in arrow) for arrow in arrows] == list(pairwise(levels))
