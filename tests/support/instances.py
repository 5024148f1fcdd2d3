"""Embedded systems that do not run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.embedded.addresses import control_socket
from deploy.embedded.state import Instance


@contextmanager
def pretending_to_run(instance: Instance) -> Iterator[None]:
    """Have `instance` look as if its supervisor ran."""
    path = control_socket(instance.services)
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(path))
        control.listen()
        yield
    path.unlink()
