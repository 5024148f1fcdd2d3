"""What a person is told while something goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(emoji=False)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Say what takes a while: on a terminal as long as it lasts, elsewhere once."""
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        say(text)
        yield


def say(text: str, style: str | None = None) -> None:
    """Print a line as it is: nothing in it is markup, and it is not broken."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
