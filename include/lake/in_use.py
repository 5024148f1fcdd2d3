"""Who uses the lake and the records of the runs: steps of runs share them, a restore needs them for itself.

The lock is the operating system's, so one whose holder dies is free. It holds among processes that see the same data
folder.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from include.settings import Settings

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")

WAIT_SECONDS = 1800.0
"""How long a step of a run waits for a restore."""

_RETRY_SECONDS = 0.2


class LakeNotFree(Exception):
    """A step of a run and a restore exclude each other; the message says what to wait for, or what to do."""


@contextmanager
def lake_in_use(settings: Settings, seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Share the lake and the records of the runs with other steps, and keep restores away.

    Args:
        settings: Where the data folder is.
        seconds: How long to wait for a restore that is under way.

    Raises:
        LakeNotFree: If a restore takes longer, or one was cut off.
    """
    with _lock(settings).open("a") as stream:
        end = time.monotonic() + seconds
        while not _taken(stream.fileno(), fcntl.LOCK_SH):
            if time.monotonic() > end:
                raise LakeNotFree(f"A backup is being restored, and was not done within {seconds:.0f} seconds.")
            time.sleep(_RETRY_SECONDS)
        require_whole_lake(settings)
        yield


@contextmanager
def lake_alone(settings: Settings) -> Iterator[None]:
    """Keep every step of a run away from the lake and the records of the runs.

    Raises:
        LakeNotFree: If a step of a run uses them.
    """
    with _lock(settings).open("a") as stream:
        if not _taken(stream.fileno(), fcntl.LOCK_EX):
            raise LakeNotFree("A step of a run is at work on the lake. Pause the DAGs and let it end first.")
        yield


def uses_lake(
    step: Callable[Concatenate[Settings, ParametersT], ResultT],
) -> Callable[Concatenate[Settings, ParametersT], ResultT]:
    """Return a step of a run, whose first argument is the settings, that shares the lake while it is at work."""

    @wraps(step)
    def at_work(settings: Settings, /, *arguments: ParametersT.args, **named: ParametersT.kwargs) -> ResultT:
        with lake_in_use(settings):
            return step(settings, *arguments, **named)

    return at_work


def restoring(settings: Settings) -> Path:
    """Return the file that names the backup that is being put in place; it stays if that is cut off."""
    return _lock(settings).with_name("restoring")


def require_whole_lake(settings: Settings) -> None:
    """Raise if the lake and the records of the runs are not of one state.

    Raises:
        LakeNotFree: If a restore is putting them in place, or was cut off while it did.
    """
    marker = restoring(settings)
    if marker.exists():
        name = marker.read_text(encoding="utf-8")
        raise LakeNotFree(
            f"The restore of backup {name} is under way or was cut off. If it was, run it again: "
            f"`python -m include.operate restore {name}`. Until then nothing is loaded, published or backed up."
        )


def _lock(settings: Settings) -> Path:
    folder = settings.data_dir / "services"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "lake.lock"


def _taken(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
