"""Several files as one ZIP archive, written as it is sent."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import BinaryIO

from retail_api.data.sink import Sink

PIECE_BYTES = 262_144

_FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest that a ZIP archive can hold."""


def zipped(contents: Mapping[str, BinaryIO]) -> Iterator[bytes]:
    """Yield a ZIP archive piece by piece; it is never held whole.

    Args:
        contents: Name -> content, opened at its begin; closed when the archive ends, however it does.
    """
    outgoing = Sink()
    with ExitStack() as opened:
        for content in contents.values():
            opened.enter_context(content)
        with zipfile.ZipFile(outgoing, "w") as archive:
            for name, content in contents.items():
                moment = time.localtime(os.fstat(content.fileno()).st_mtime)[:6]
                entry = zipfile.ZipInfo(name, max(moment, _FIRST_MOMENT))
                entry.compress_type = zipfile.ZIP_DEFLATED
                # How large it gets is not known yet, and may be more than 4 GiB.
                with archive.open(entry, "w", force_zip64=True) as packed:
                    while piece := content.read(PIECE_BYTES):
                        packed.write(piece)
                        yield outgoing.take()
    yield outgoing.take()
