"""Processes at work on a warehouse, forked from one that has imported the library, as each import takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from include.settings import Settings, get_settings

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["include.operate", "include.pipeline", "pytest", __name__])


def environment(settings: Settings) -> dict[str, str]:
    """Return the variables by which a process has `settings`."""
    return {
        "RETAIL_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "RETAIL_PRIMARY_PATIENCE_SECONDS": str(settings.primary_patience_seconds),
    }


def _act(act: Callable[..., object], arguments: Sequence[Any], variables: dict[str, str], output: Path) -> None:
    with output.open("wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    os.environ.update(variables)
    get_settings.cache_clear()
    act(*arguments)


def started(act: Callable[..., object], *arguments: Any, settings: Settings, output: Path) -> ForkServerProcess:
    """Start a process that calls `act`, a function of a module that it can import, and writes to `output`."""
    process = _context.Process(target=_act, args=(act, arguments, environment(settings), output))
    process.start()
    return process


def command(module: str, *words: str) -> None:
    """Do what `python -m module words` does."""
    sys.argv = [module, *words]
    sys.exit(import_module(module).main())


def commands(
    lines: Sequence[Sequence[str]], settings: Settings, kill_after: float | None = None
) -> tuple[list[int | None], list[str]]:
    """Run command lines (module, words) side by side; return exit codes and what each has said."""
    outputs = [settings.data_dir / f"process-{number}.log" for number in range(len(lines))]
    running = [
        started(command, *line, settings=settings, output=output) for line, output in zip(lines, outputs, strict=True)
    ]
    if kill_after is not None:
        time.sleep(kill_after)
        for process in running:
            process.kill()
    for process in running:
        process.join(120)
    return [process.exitcode for process in running], [output.read_text() for output in outputs]
