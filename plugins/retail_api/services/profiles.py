"""Source profiles shown."""

from __future__ import annotations

from include.settings import Settings
from retail_api.data.profiles import ProfilesRepository
from retail_api.domain.errors import NotFound
from retail_api.domain.paging import Page, Paging, page_of
from retail_api.domain.profiles import ProfileSummary


class ProfilesService:
    """The profiles by which files are read."""

    def __init__(self, settings: Settings) -> None:
        self._profiles = ProfilesRepository(settings)

    def page(self, paging: Paging) -> Page[ProfileSummary]:
        """Return a page of the profiles that can be used, by name."""
        found = self._profiles.all()
        summaries = [
            ProfileSummary(name=name, title=profile.title, source=profile.source, own=name in found.own)
            for name, profile in sorted(found.profiles.items())
        ]
        return page_of(summaries[paging.offset : paging.offset + paging.size], len(summaries), paging)

    def text(self, name: str) -> str:
        """Return the YAML of a profile.

        Raises:
            NotFound: If there is none of this name.
        """
        text = self._profiles.text(name)
        if text is None:
            raise NotFound(f"There is no profile {name}.")
        return text
