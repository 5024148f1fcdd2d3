"""A proposed profile as YAML, with the reasons as comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from include.sources.charges import one_of

UNDECIDED = "?"
"""Stands in a profile for what a person has to decide. No column has this name, so till then it reads no file."""

_PLAIN = re.compile(r"[^\W\d_](?:[\w ./()+-]*[\w.)])?")
_WORDS_OF_YAML = one_of("true false yes no on off null")
_WIDTH = 110


def scalar(text: str) -> str:
    """Return a text as it stands in YAML."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS_OF_YAML:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def listed(texts: Iterable[str]) -> str:
    """Return texts as a list on one line."""
    return f"[{', '.join(map(scalar, texts))}]"


def said(text: str) -> str:
    """Return a text fit for a comment."""
    return "".join(character if character.isprintable() else "?" for character in text)


class Draft:
    """Lines of YAML.

    Attributes:
        lines: So far.
        reasons: What was decided and why.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.reasons: list[str] = []

    def put(self, line: str, reason: str = "") -> None:
        """Add a line, with the reason beside it."""
        self.lines.append(f"{line}  # {said(reason)}" if reason else line)
        if reason:
            self.reasons.append(f"{said(line.strip().removeprefix('- '))}: {said(reason)}")

    def remark(self, text: str) -> None:
        """Add a comment."""
        self.lines.append(f"# {said(text)}")

    def put_list(self, name: str, texts: Sequence[str], reason: str = "") -> None:
        """Add a list, over several lines if it is long."""
        if not texts:
            return
        whole = f"{name}: {listed(texts)}"
        if len(whole) <= _WIDTH:
            self.put(whole, reason)
            return
        self.put(f"{name}:", reason)
        indent = " " * (len(name) - len(name.lstrip()) + 2)
        self.lines += [f"{indent}- {scalar(text)}" for text in texts]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"
