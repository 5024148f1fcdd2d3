"""Raw data taken in, shown, replaced and deleted."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool

from include.settings import Settings
from include.sources.content import Content, content_of
from include.sources.model import SourceRejected
from include.sources.profiles.preview import Preview, preview_file
from retail_api.data.files import FilesRepository, Folder, Incoming
from retail_api.data.multipart import FormFiles, NotAForm
from retail_api.domain.errors import Conflict, Invalid, NotFound, StorageFull, TooBusy, TooLarge, UnsupportedFile
from retail_api.domain.files import (
    MAX_FILES,
    Deleted,
    FilesQuery,
    Landed,
    LandedFile,
    StoredFile,
    checked_name,
)
from retail_api.domain.paging import Page, page_of

Body = AsyncIterator[bytes]

LEFT_FREE_BYTES = 268_435_456
"""Room that uploads leave on the disk, which runs and databases need as well."""

_RETRY_SECONDS = 10


class FilesService:
    """Files of the landing folder, and of the quarantine of each run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = FilesRepository(settings)

    def page(self, query: FilesQuery) -> Page[StoredFile]:
        """Return a page of the files in an area, by run and name.

        Raises:
            Invalid: If a run is named for the landing folder.
        """
        if query.area == "landing" and query.run_id is not None:
            raise Invalid("run_id goes with area=quarantine.")
        kept_out = query.area == "quarantine" or query.run_id is not None
        found = list(self._files.quarantined(query.run_id) if kept_out else self._files.landed())
        return page_of(found[query.offset : query.offset + query.size], len(found), query)

    def one(self, name: str, run_id: str | None = None) -> StoredFile:
        """Return what is known of a file.

        Raises:
            NotFound: If it is not there, or not any more.
        """
        folder = self._folder(run_id)
        found = folder.stored(self._path(folder, name))
        if found is None:
            raise _not_there(name)
        return found

    def content(self, name: str, run_id: str | None = None) -> BinaryIO:
        """Return the content of a file, opened, so that it stays readable when a run claims the file meanwhile.

        Raises:
            NotFound: If it is not there, or not any more.
        """
        try:
            return self._path(self._folder(run_id), name).open("rb")
        except FileNotFoundError:
            raise _not_there(name) from None

    def contents(self, names: list[str], run_id: str | None = None) -> dict[str, BinaryIO]:
        """Return the contents of several files, opened as by `content`.

        Raises:
            NotFound: If one is not there, or not any more.
        """
        with ExitStack() as opened:
            contents = {name: opened.enter_context(self.content(name, run_id)) for name in dict.fromkeys(names)}
            opened.pop_all()
        return contents

    def delete(self, names: list[str], run_id: str | None = None) -> Deleted:
        """Delete files.

        Raises:
            NotFound: If the run has kept nothing out.
        """
        folder = self._folder(run_id)
        deleted = [name for name in dict.fromkeys(names) if folder.delete(name)]
        return Deleted(deleted=deleted, not_found=[name for name in dict.fromkeys(names) if name not in deleted])

    async def take_form(self, content_type: str, body: Body, replace: bool) -> Landed:
        """Take the files of a form into the landing folder: all, or none if one cannot be taken.

        Raises:
            Conflict: If a name is taken.
            TooLarge: If the files are too large or too many.
            UnsupportedFile: If one cannot be loaded.
            Invalid: If the form or a name cannot be used.
            StorageFull: If the disk is nearly full.
        """
        folder = self._folder(None)
        async with self._form(folder, content_type, body, MAX_FILES) as incoming:
            return Landed(files=await run_in_threadpool(self._put, folder, incoming, replace))

    async def preview(self, content_type: str, body: Body, places: threading.BoundedSemaphore) -> Preview:
        """Return what would become of the one file of a form; nothing is kept of it.

        Args:
            content_type: Header of the request.
            body: The form.
            places: Limits previews at a time, as each may take a core for a minute.

        Raises:
            TooBusy: If as many previews as may be made are being made.
            TooLarge: If the file is too large, or not the only one.
            UnsupportedFile: If it cannot be loaded.
            Invalid: If the form or the name cannot be used.
            StorageFull: If the disk is nearly full.
        """
        async with self._form(self._folder(None), content_type, body, 1) as [file]:
            return await run_in_threadpool(self._previewed, file, places)

    def _previewed(self, file: Incoming, places: threading.BoundedSemaphore) -> Preview:
        file.finish()
        _content(file)
        if not places.acquire(blocking=False):
            raise TooBusy(
                f"Another file is being looked at. Try again in {_RETRY_SECONDS} seconds.", retry_seconds=_RETRY_SECONDS
            )
        try:
            return preview_file(file.path, file.name, self._settings)
        finally:
            places.release()

    @asynccontextmanager
    async def _form(self, folder: Folder, content_type: str, body: Body, most: int) -> AsyncIterator[list[Incoming]]:
        """Receive the files of a form, hidden in a folder, and discard what got no name there."""
        incoming: list[Incoming] = []

        def begin(name: str) -> Incoming:
            if len(incoming) == most:
                files = "one file" if most == 1 else f"{most} files"
                raise TooLarge(f"A request takes {files} at most: send the others in another.")
            incoming.append(folder.incoming(self._named(name, [file.name for file in incoming])))
            return incoming[-1]

        try:
            form = FormFiles(content_type, begin)
            await self._receive(folder, body, form.feed)
            form.close()
            if not incoming:
                raise NotAForm("the form holds no file")
            yield incoming
        except NotAForm as error:
            raise Invalid(f"The body cannot be used: {error}.") from error
        finally:
            for file in incoming:
                file.discard()

    async def take(self, name: str, body: Body, run_id: str | None = None) -> LandedFile:
        """Take a file, in place of the one that has its name if there is one.

        Raises:
            NotFound: If it is to replace a file in quarantine that is not there.
            Conflict: If a folder has the name.
            TooLarge: If it is too large.
            UnsupportedFile: If it cannot be loaded.
            Invalid: If the name cannot be used.
            StorageFull: If the disk is nearly full.
        """
        folder = self._folder(run_id)
        if run_id is not None:
            self._path(folder, name)
        incoming = folder.incoming(self._named(name, []))
        try:
            await self._receive(folder, body, incoming.write)
            return (await run_in_threadpool(self._put, folder, [incoming], True))[0]
        finally:
            incoming.discard()

    async def _receive(self, folder: Folder, body: Body, write: Callable[[bytes], object]) -> None:
        received, limit = 0, self._settings.api_upload_bytes
        async for piece in body:
            received += len(piece)
            if received > limit:
                raise TooLarge(f"An upload may have {limit:,} bytes at most (RETAIL_API_UPLOAD_BYTES).")
            if folder.free_bytes() - len(piece) < LEFT_FREE_BYTES:
                raise StorageFull("The disk is nearly full: make room, then send the files again.")
            await run_in_threadpool(write, piece)

    def _put(self, folder: Folder, incoming: list[Incoming], replace: bool) -> list[LandedFile]:
        checked = []
        for file in incoming:
            file.finish()
            checked.append((file, _content(file)))
        if not replace and (taken := [file.name for file in incoming if folder.find(file.name) is not None]):
            raise _taken(taken[0])
        for file in incoming:
            if folder.is_taken_by_a_folder(file.name):
                raise Conflict(f"There is a folder named {file.name}: use another name.")
        landed: list[LandedFile] = []
        for file, content in checked:
            try:
                replaced = replace and folder.replace(file)
                if not replace:
                    folder.add(file)
            except OSError as error:
                for done in incoming[: len(landed)]:
                    folder.take_back(done)
                if isinstance(error, FileExistsError):
                    raise _taken(file.name) from None
                raise
            landed.append(
                LandedFile(
                    name=file.name,
                    bytes=file.bytes,
                    sha256=file.sha256,
                    format=content.format,
                    compression=content.compression,
                    replaced=replaced,
                )
            )
        folder.sync()
        return landed

    def _named(self, name: str, others: list[str]) -> str:
        try:
            checked = checked_name(name)
        except ValueError as error:
            raise Invalid(f"The name of the file cannot be used: {error}.") from error
        if checked in others:
            raise Invalid(f"{checked} is in the form twice: send it once.")
        return checked

    def _folder(self, run_id: str | None) -> Folder:
        folder = self._files.landing() if run_id is None else self._files.quarantine(run_id)
        if folder is None:
            raise NotFound("This run has kept no file out.")
        return folder

    def _path(self, folder: Folder, name: str) -> Path:
        path = folder.find(name)
        if path is None:
            raise _not_there(name)
        return path


def _content(file: Incoming) -> Content:
    try:
        return content_of(file.path, file.name)
    except SourceRejected as error:
        raise UnsupportedFile(f"{file.name}: {error.problem} {error.remedy}", code=error.code) from error


def _taken(name: str) -> Conflict:
    return Conflict(f"A file {name} is waiting already: use another name, or replace it (replace=true, or PUT).")


def _not_there(name: str) -> NotFound:
    return NotFound(f"There is no file {name} here, or not any more: a run may have claimed it.")
