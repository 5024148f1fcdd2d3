"""Raw data: files that wait in the landing folder, and files that were kept out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from include.sources.profiles.preview import Preview
from retail_api.access.audit_trail import note
from retail_api.access.security import Editor, Reader
from retail_api.data.archive import PIECE_BYTES, zipped
from retail_api.domain.files import (
    Deleted,
    FilesQuery,
    Landed,
    LandedFile,
    Names,
    ShownName,
    StoredFile,
    UploadQuery,
)
from retail_api.domain.operations import RunId
from retail_api.domain.paging import Page
from retail_api.resources import Shared, SharedSettings
from retail_api.routes.answers import document, problem_responses
from retail_api.services.files import FilesService

router = APIRouter(prefix="/files", tags=["files"])

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def _form(file: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a form with one member."""
    schema = {"type": "object", "required": ["file"], "properties": {"file": file}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_FORM = _form({"type": "array", "minItems": 1, "items": _BINARY["schema"]})
_ONE_FILE = _form(_BINARY["schema"])
_RAW = {"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}}
_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes as they came", "content": {"application/octet-stream": _BINARY}}
}
_ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The files, packed", "content": {"application/zip": _BINARY}}
}
_REFUSED = problem_responses(409, 413, 415, 507)


@router.get("", response_model=Page[StoredFile], summary="Files that wait, or were kept out")
def list_files(
    request: Request, caller: Reader, settings: SharedSettings, query: Annotated[FilesQuery, Query()]
) -> Response:
    """Return the files of the landing folder that no run has claimed yet, or those in quarantine, by run and name."""
    return document(request, FilesService(settings).page(query))


@router.post(
    "",
    status_code=201,
    summary="Upload files into the landing folder",
    responses=_REFUSED,
    openapi_extra=_FORM,
)
async def upload(
    request: Request, caller: Editor, settings: SharedSettings, query: Annotated[UploadQuery, Query()]
) -> Landed:
    """Take files in, all of the form or none: `curl -F file=@jan.csv -F file=@feb.csv`.

    CSV, JSON, JSON lines, PDF, Parquet, workbooks and ZIP archives of these, plain or packed by gzip or xz, recognised
    by content. Each file appears whole and is loaded like any file that is dropped into the folder: by itself within
    seconds.
    """
    content_type = request.headers.get("Content-Type", "")
    landed = await FilesService(settings).take_form(content_type, request.stream(), query.replace)
    note(
        request, files=[{"name": file.name, "sha256": file.sha256, "replaced": file.replaced} for file in landed.files]
    )
    return landed


@router.post(
    "/preview",
    summary="Show what would become of a file",
    responses=problem_responses(413, 415, 429, 507),
    openapi_extra=_ONE_FILE,
)
async def preview(request: Request, caller: Editor, shared: Shared) -> Preview:
    """Look at a file without loading it: `curl -F file=@jan.csv`.

    Tells by which profile or names it is read, its first ten lines, sums by currency, and what is left out or kept out.
    For a file whose layout is not declared, proposes a profile. Nothing is kept.
    """
    content_type = request.headers.get("Content-Type", "")
    found = await FilesService(shared.settings).preview(content_type, request.stream(), shared.previews)
    note(request, file=found.file, layout=found.layout)
    return found


@router.get(
    "/landing",
    response_class=StreamingResponse,
    summary="Download several waiting files",
    responses=_ARCHIVE | problem_responses(404),
)
def download_several_landed(
    caller: Reader, settings: SharedSettings, query: Annotated[Names, Query()]
) -> StreamingResponse:
    """Return files of the landing folder as one ZIP archive: `?name=jan.csv&name=feb.csv`."""
    return _download_several(FilesService(settings), query.name)


@router.delete("/landing", summary="Delete several waiting files")
def delete_landed(caller: Editor, settings: SharedSettings, query: Annotated[Names, Query()]) -> Deleted:
    """Delete files of the landing folder that no run has claimed yet: `?name=jan.csv&name=feb.csv`."""
    return FilesService(settings).delete(query.name)


@router.get("/landing/{name}", response_model=StoredFile, summary="A waiting file", responses=problem_responses(404))
def landed(request: Request, caller: Reader, settings: SharedSettings, name: ShownName) -> Response:
    """Return what is known of a file in the landing folder."""
    return document(request, FilesService(settings).one(name))


@router.get(
    "/landing/{name}/content",
    response_class=StreamingResponse,
    summary="Download a waiting file",
    responses=_DOWNLOAD | problem_responses(404),
)
def download_landed(caller: Reader, settings: SharedSettings, name: ShownName) -> StreamingResponse:
    """Return the bytes of a file in the landing folder."""
    return _download(FilesService(settings), name)


@router.put(
    "/landing/{name}",
    summary="Create or replace a waiting file",
    responses=_REFUSED | {201: {"model": LandedFile, "description": "There was no file of this name"}},
    openapi_extra=_RAW,
)
async def replace_landed(
    request: Request, response: Response, caller: Editor, settings: SharedSettings, name: ShownName
) -> LandedFile:
    """Take the body as a file of the landing folder, in place of one of this name: `curl -T jan.csv`."""
    landed = await FilesService(settings).take(name, request.stream())
    note(request, sha256=landed.sha256, replaced=landed.replaced)
    if not landed.replaced:
        response.status_code = 201
    return landed


@router.delete("/landing/{name}", status_code=204, summary="Delete a waiting file", responses=problem_responses(404))
def delete_one_landed(caller: Editor, settings: SharedSettings, name: ShownName) -> Response:
    """Delete a file of the landing folder that no run has claimed yet."""
    return _delete(FilesService(settings), name)


@router.get(
    "/quarantine/{run_id}",
    response_class=StreamingResponse,
    summary="Download several files in quarantine",
    responses=_ARCHIVE | problem_responses(404),
)
def download_several_quarantined(
    caller: Reader, settings: SharedSettings, run_id: RunId, query: Annotated[Names, Query()]
) -> StreamingResponse:
    """Return files that a run has kept out, and reports on them, as one ZIP archive."""
    return _download_several(FilesService(settings), query.name, run_id)


@router.delete("/quarantine/{run_id}", summary="Delete several files in quarantine", responses=problem_responses(404))
def delete_quarantined(
    caller: Editor, settings: SharedSettings, run_id: RunId, query: Annotated[Names, Query()]
) -> Deleted:
    """Delete files that a run has kept out, and reports on them. What the run claimed stays in its archive."""
    return FilesService(settings).delete(query.name, run_id)


@router.get(
    "/quarantine/{run_id}/{name}",
    response_model=StoredFile,
    summary="A file in quarantine",
    responses=problem_responses(404),
)
def quarantined(request: Request, caller: Reader, settings: SharedSettings, run_id: RunId, name: ShownName) -> Response:
    """Return what is known of a file that a run has kept out, or of a report on one."""
    return document(request, FilesService(settings).one(name, run_id))


@router.get(
    "/quarantine/{run_id}/{name}/content",
    response_class=StreamingResponse,
    summary="Download a file in quarantine",
    responses=_DOWNLOAD | problem_responses(404),
)
def download_quarantined(caller: Reader, settings: SharedSettings, run_id: RunId, name: ShownName) -> StreamingResponse:
    """Return the bytes of a file that a run has kept out, or of the report for the sender."""
    return _download(FilesService(settings), name, run_id)


@router.put(
    "/quarantine/{run_id}/{name}",
    summary="Replace a file in quarantine",
    responses=_REFUSED | problem_responses(404),
    openapi_extra=_RAW,
)
async def replace_quarantined(
    request: Request, caller: Editor, settings: SharedSettings, run_id: RunId, name: ShownName
) -> LandedFile:
    """Take the body in place of a file that a run has kept out; to load it, put it into the landing folder."""
    return await FilesService(settings).take(name, request.stream(), run_id)


@router.delete(
    "/quarantine/{run_id}/{name}",
    status_code=204,
    summary="Delete a file in quarantine",
    responses=problem_responses(404),
)
def delete_one_quarantined(caller: Editor, settings: SharedSettings, run_id: RunId, name: ShownName) -> Response:
    """Delete a file that a run has kept out, or a report on one. What the run claimed stays in its archive."""
    return _delete(FilesService(settings), name, run_id)


def _download(files: FilesService, name: str, run_id: str | None = None) -> StreamingResponse:
    content = files.content(name, run_id)
    quoted = quote(name)
    headers = {
        "Content-Disposition": f"attachment; filename*=utf-8''{quoted}"
        if quoted != name
        else f'attachment; filename="{name}"',
        "Content-Length": str(os.fstat(content.fileno()).st_size),
    }
    return StreamingResponse(_pieces(content), media_type="application/octet-stream", headers=headers)


def _download_several(files: FilesService, names: list[str], run_id: str | None = None) -> StreamingResponse:
    headers = {"Content-Disposition": 'attachment; filename="files.zip"'}
    return StreamingResponse(zipped(files.contents(names, run_id)), media_type="application/zip", headers=headers)


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    with content:
        while piece := content.read(PIECE_BYTES):
            yield piece


def _delete(files: FilesService, name: str, run_id: str | None = None) -> Response:
    if not files.delete([name], run_id).deleted:
        files.one(name, run_id)  # says that it is not there
    return Response(status_code=204)
