from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_server import Server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running API server with users `admin`, `operator` and one for each of the other roles."""
    made = Server(tmp_path_factory.mktemp("api"))
    try:
        made.start()
        for name, roles in {"viewer": ["Viewer"], "user": ["User"], "nobody": [], "public": ["Public"]}.items():
            made.add_user(name, *roles)
        yield made
    finally:
        made.stop()
