"""Ports for servers under test."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a TCP port on the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
