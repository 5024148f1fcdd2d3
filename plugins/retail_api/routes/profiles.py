"""Source profiles: layouts of files that are declared."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from retail_api.access.security import Reader
from retail_api.domain.paging import Page, Paging
from retail_api.domain.profiles import ProfileName, ProfileSummary
from retail_api.resources import SharedSettings
from retail_api.routes.answers import document, problem_responses
from retail_api.services.profiles import ProfilesService

router = APIRouter(prefix="/profiles", tags=["files"])

_YAML: dict[int | str, dict[str, Any]] = {
    200: {"description": "The profile", "content": {"application/yaml": {"schema": {"type": "object"}}}}
}


@router.get("", response_model=Page[ProfileSummary], summary="Profiles by which files are read")
def profiles(request: Request, caller: Reader, settings: SharedSettings, query: Annotated[Paging, Query()]) -> Response:
    """Return the declared layouts, shipped ones and the shop's own, by name."""
    return document(request, ProfilesService(settings).page(query))


@router.get("/{name}", response_class=Response, summary="One profile as YAML", responses=_YAML | problem_responses(404))
def profile(caller: Reader, settings: SharedSettings, name: ProfileName) -> Response:
    """Return the text of a profile; one of the shop's own hides a shipped one of its name."""
    return Response(ProfilesService(settings).text(name), media_type="application/yaml")
