"""Compressed sources: unpacked to a plain file within declared bounds."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Literal

from include.sources.defects import reject

Compression = Literal["none", "gzip", "xz"]

_MAGIC: tuple[tuple[bytes, Compression], ...] = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\x00", "xz"))
_READ_BYTES = 1 << 18
_WRITE_BYTES = 1 << 20
_XZ_MEMORY = 256 << 20


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How much a compressed file may unpack to.

    Attributes:
        max_bytes: Largest unpacked size.
        max_ratio: Largest unpacked size for each compressed byte.
        harmless_bytes: Up to this unpacked size any ratio is fine.
        max_members: Most files in an archive.
    """

    max_bytes: int = 8 << 30
    max_ratio: int = 250
    harmless_bytes: int = 64 << 20
    max_members: int = 1_000

    def allowed(self, packed_bytes: int) -> int:
        """Return the bytes that a file of `packed_bytes` may unpack to."""
        return min(self.max_bytes, max(self.harmless_bytes, packed_bytes * self.max_ratio))


def compression_of(path: Path) -> Compression:
    """Return how `path` is compressed, by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(8)
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "none")


@contextmanager
def unpacked(path: Path, folder: Path, limits: UnpackLimits) -> Iterator[tuple[Path, Compression]]:
    """Provide the plain content of `path`: itself, or a temporary file in `folder`, and the compression removed.

    Raises:
        SourceRejected: truncated_archive, corrupt_archive, archive_too_large.
    """
    compression = compression_of(path)
    if compression == "none":
        yield path, compression
        return
    folder.mkdir(parents=True, exist_ok=True)
    allowed = limits.allowed(path.stat().st_size)
    with NamedTemporaryFile(dir=folder, prefix=".unpacked-") as target:
        with path.open("rb") as source:
            pieces = _gzip_pieces(source) if compression == "gzip" else _xz_pieces(source)
            size = 0
            for piece in pieces:
                size += len(piece)
                if size > allowed:
                    raise reject("archive_too_large", limit=f"{allowed:,} bytes")
                target.write(piece)
        target.flush()
        yield Path(target.name), compression


def head_of(path: Path, compression: Compression, size: int) -> bytes:
    """Return the first bytes of the plain content of `path`, at most `size`.

    Raises:
        SourceRejected: truncated_archive, corrupt_archive.
    """
    with path.open("rb") as source:
        if compression == "none":
            return source.read(size)
        head = bytearray()
        for piece in _gzip_pieces(source) if compression == "gzip" else _xz_pieces(source):
            head += piece
            if len(head) >= size:
                break
    return bytes(head[:size])


def _gzip_pieces(source: BinaryIO) -> Iterator[bytes]:
    """Yield the content of all members of a gzip file."""
    pending = source.read(_READ_BYTES)
    while pending:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not member.eof:
            if not pending:
                raise reject("truncated_archive")
            try:
                piece = member.decompress(pending, _WRITE_BYTES)
            except zlib.error as error:
                raise reject("corrupt_archive", detail=str(error)) from error
            if piece:
                yield piece
            pending = member.unconsumed_tail or (b"" if member.eof else source.read(_READ_BYTES))
        pending = _next_member(member.unused_data, source)


def _xz_pieces(source: BinaryIO) -> Iterator[bytes]:
    """Yield the content of all streams of an xz file."""
    pending = source.read(_READ_BYTES)
    while pending:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not stream.eof:
            if stream.needs_input and not pending:
                raise reject("truncated_archive")
            try:
                piece = stream.decompress(pending, _WRITE_BYTES)
            except lzma.LZMAError as error:
                raise reject("corrupt_archive", detail=str(error)) from error
            if piece:
                yield piece
            pending = source.read(_READ_BYTES) if stream.needs_input and not stream.eof else b""
        pending = _next_member(stream.unused_data, source)


def _next_member(unused: bytes, source: BinaryIO) -> bytes:
    """Return what follows a finished member, without the zero bytes that pad archives; empty at the end."""
    rest = unused.lstrip(b"\0")
    while not rest and (chunk := source.read(_READ_BYTES)):
        rest = chunk.lstrip(b"\0")
    return rest
