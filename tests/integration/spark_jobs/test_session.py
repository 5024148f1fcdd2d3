from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from include.lake.connect_server import ConnectServer
from include.lake.submitting import LARGE_INPUT_BYTES, session_conf
from spark_jobs.session import shared


@pytest.mark.integration
def test_stages_share_a_session_that_outlives_them_and_see_what_was_written_meanwhile(
    server: ConnectServer, tmp_path: Path
) -> None:
    uri = str(tmp_path / "table")
    seen, sessions = [], set()
    for number in range(3):
        write_deltalake(uri, pa.table({"number": [number]}), mode="append")
        session = shared(server.address().url, session_conf(0))
        seen.append(session.read.format("delta").load(uri).count())
        sessions.add(session.client._session_id)
        session.stop()
    assert (seen, len(sessions)) == ([1, 2, 3], 1)


@pytest.mark.integration
def test_small_and_large_runs_have_sessions_of_their_own(server: ConnectServer) -> None:
    small, large = (shared(server.address().url, session_conf(size)) for size in (0, LARGE_INPUT_BYTES))
    assert small.client._session_id != large.client._session_id
    small.stop()
    large.stop()
