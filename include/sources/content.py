"""What kind of source a file is, by its beginning: for files that are received and not yet loaded."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal

from pydantic import ConfigDict

from include.domain.model import Model
from include.sources.compression import Compression, compression_of, head_of
from include.sources.detection import HEAD_BYTES, kind_of, text_format
from include.sources.model import Format
from include.sources.text import encoding_of

Received = Format | Literal["zip"]


class Content(Model):
    """What a file is by its content; what is beyond its beginning may still be damaged."""

    model_config = ConfigDict(frozen=True)

    format: Received
    compression: Compression


def content_of(path: Path, name: str) -> Content:
    """Return what a file is by its first bytes.

    Args:
        path: The file.
        name: Its name, which tells JSON from JSON lines where the content does not.

    Raises:
        SourceRejected: empty_file, unsupported_type, not_text, truncated_archive, corrupt_archive.
    """
    compression = compression_of(path)
    with NamedTemporaryFile(prefix="head-") as head:
        head.write(head_of(path, compression, HEAD_BYTES))
        head.flush()
        beginning = Path(head.name)
        kind = kind_of(path if compression == "none" else beginning)
        form: Received = text_format(beginning, encoding_of(beginning), name) if kind == "text" else kind
    return Content(format=form, compression=compression)
