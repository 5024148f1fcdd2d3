"""Files in the landing folder and in quarantine."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from include.runs.landing import UNFINISHED_SUFFIXES
from include.sources.compression import Compression
from include.sources.content import Received
from retail_api.domain.operations import RunId
from retail_api.domain.paging import Entity, Paging, Parameters

MAX_NAME_BYTES = 200
"""Longest name of a file in bytes; the pipeline puts endings behind it, and file systems take 255."""

MAX_FILES = 50
"""Files of one request."""

Area = Literal["landing", "quarantine"]


def checked_name(name: str) -> str:
    r"""Return `name` if a file in the landing folder may have it and would be claimed under it.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    name = unicodedata.normalize("NFC", name)
    if not name or PurePath(name).name != name or "\\" in name or name in {".", ".."}:
        raise ValueError("use the plain name of a file, without folders")
    if not name.isprintable():
        raise ValueError("the name has characters that cannot be seen")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise ValueError(f"the name is longer than {MAX_NAME_BYTES} bytes")
    if name.startswith(".") or name.endswith("~") or PurePath(name).suffix.lower() in UNFINISHED_SUFFIXES:
        raise ValueError("the name is one of files that are hidden or being written, which are never loaded")
    return name


def checked_shown_name(name: str) -> str:
    """Return `name` if it is the plain name of a file that may be shown.

    Raises:
        ValueError: If it is not.
    """
    if not name or PurePath(name).name != name or name.startswith(".") or "\0" in name:
        raise ValueError("use the plain name of a file, without folders")
    return name


FileName = Annotated[str, Field(max_length=255, examples=["invoices.csv"]), AfterValidator(checked_name)]
ShownName = Annotated[str, Field(max_length=255, examples=["invoices.csv"]), AfterValidator(checked_shown_name)]


class FilesQuery(Paging):
    """Which files."""

    area: Area | None = Field(
        None,
        description="Landing folder, or what was kept out; the latter if a run is named, else the former.",
        examples=["landing"],
    )
    run_id: RunId | None = Field(None, description="Run that kept the files out.")


class UploadQuery(Parameters):
    """How to take files in."""

    replace: bool = Field(False, description="Replace files of the same names instead of refusing them.")


class Names(Parameters):
    """Which files of a folder."""

    name: list[ShownName] = Field(min_length=1, max_length=MAX_FILES, description="Name of a file; repeat it for more.")


class StoredFile(Entity):
    """A file that lies in a folder."""

    area: Area
    name: str = Field(examples=["invoices.csv"])
    run_id: str | None = Field(description="Run that kept it out; null in the landing folder.")
    bytes: int
    modified_at: datetime


class LandedFile(Entity):
    """A file that was taken in; it is claimed by a run once it has settled."""

    name: str
    bytes: int
    sha256: str = Field(description="Identity of the content: the same bytes are loaded once.")
    format: Received = Field(description="By content.")
    compression: Compression
    replaced: bool = Field(description="Whether a file of this name was there.")


class Landed(Entity):
    """Files that were taken in: all of a request, or none."""

    files: list[LandedFile]


class Deleted(Entity):
    """What was deleted."""

    deleted: list[str]
    not_found: list[str] = Field(description="Names that were not there, or not any more.")
