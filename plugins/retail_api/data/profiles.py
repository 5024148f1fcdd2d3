"""The source profiles at hand: those that are shipped, and the shop's own."""

from __future__ import annotations

from include.settings import Settings
from include.sources.profiles.library import SHIPPED, layouts
from include.sources.profiles.names import Layouts


class ProfilesRepository:
    """Profiles by name."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.profiles

    def all(self) -> Layouts:
        """Return those that can be used."""
        return layouts(self._folder)

    def text(self, name: str) -> str | None:
        """Return the YAML of a profile, None if there is none; one of the shop's own hides a shipped one."""
        for folder in (self._folder, SHIPPED):
            try:
                return (folder / f"{name}.yaml").read_text("utf-8")
            except FileNotFoundError:
                continue
        return None
