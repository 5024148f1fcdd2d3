"""Which layout a file has: that of a profile, or the one with the usual names."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from include.sources.columns import USUAL, ColumnNames, canonical
from include.sources.defects import reject
from include.sources.json_values import Fields
from include.sources.model import Format
from include.sources.profiles.model import Profile
from include.sources.profiles.values import folded


class OwnNames(ColumnNames):
    """Column names that have nothing to do with the usual ones."""

    def is_general(self, name: str) -> bool:
        """Return False: no name gives way to another."""
        return False

    def names_time(self, name: str) -> bool:
        """Return False: date and time are joined where the profile says so."""
        return False

    def check(self, present: Container[str], names: Sequence[str], *, line: int | None = None) -> None:
        """Check nothing: what is missing is told when the lines are made."""

    def warnings(self, present: Iterable[str]) -> list[str]:
        """Return nothing: the profile says what there is."""
        return []


class ProfileNames(OwnNames):
    """The column names of a declared layout."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile.name
        self.lines = profile.lines
        self._direct = profile.direct()
        self.columns = frozenset(self._direct.values())
        self._wanted = {folded(name) for name in profile.recognise.columns}

    def canonical(self, name: str) -> str | None:
        """Return the canonical column that a column simply is."""
        return self._direct.get(folded(name))

    def is_header(self, names: Iterable[str]) -> bool:
        """Return whether `names` have all that the layout is recognised by."""
        return self._wanted <= {folded(name) for name in names}


@dataclass(frozen=True)
class Layouts:
    """The layouts that a file may have.

    Attributes:
        profiles: By name; those of the user and those that are shipped.
        file: Name of the file.
        own: Names of the user's; they come before the shipped ones.
        problem: What is wrong with a profile of the user's; no file is read until that is mended.
    """

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    file: str = ""
    own: frozenset[str] = frozenset()
    problem: str = ""

    def of_header(self, names: Sequence[str], form: Format) -> ColumnNames | None:
        """Return the layout whose column names these are, None if they are those of no layout.

        Raises:
            SourceRejected: ambiguous_profile.
        """
        known = {folded(name) for name in names}
        found = self._chosen([one for one in self._candidates(form) if _wanted(one) <= known])
        if found is not None:
            return ProfileNames(found)
        return USUAL if USUAL.is_header(names) else None

    def of_objects(self, values: Iterable[object], form: Format) -> ColumnNames | None:
        """Return the declared layout of which JSON values are the invoices or lines, None if they are of none.

        Raises:
            SourceRejected: ambiguous_profile.
        """
        objects = [value for value in values if isinstance(value, Fields)]
        known = {folded(path) for fields in objects for path in _paths(fields)}
        found = self._chosen([one for one in self._candidates(form) if _wanted(one) <= known])
        return None if found is None else ProfileNames(found)

    def known(self, names: Sequence[str], form: Format) -> int:
        """Return how many of `names` mean something in the layout that knows most of them."""
        present = {folded(name) for name in names}
        declared = [len(_wanted(one) & present) for one in self._candidates(form) if _wanted(one) <= present]
        return max([len({column for name in names if (column := canonical(name)) is not None}), *declared])

    def _candidates(self, form: Format) -> Iterable[Profile]:
        for profile in self.profiles.values():
            wanted = profile.recognise
            if wanted.formats and form not in wanted.formats:
                continue
            if wanted.files and not any(fnmatch(self.file.casefold(), pattern.casefold()) for pattern in wanted.files):
                continue
            yield profile

    def _chosen(self, fitting: Sequence[Profile]) -> Profile | None:
        """Return the one that asks for most; the user's own first."""

        def rank(profile: Profile) -> tuple[bool, bool, int]:
            return profile.name in self.own, bool(profile.recognise.files), len(_wanted(profile))

        if not fitting:
            return None
        best = max(map(rank, fitting))
        chosen = [profile for profile in fitting if rank(profile) == best]
        if len(chosen) > 1:
            raise reject("ambiguous_profile", names=" and ".join(profile.name for profile in chosen))
        return chosen[0]


def _wanted(profile: Profile) -> set[str]:
    return {folded(name) for name in profile.recognise.columns}


def _paths(fields: Fields, before: str = "", depth: int = 4) -> Iterable[str]:
    """Yield the dotted paths of all members, through lists too."""
    for key, value in fields:
        yield before + key
        if depth and isinstance(value, Fields | list):
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, Fields):
                    yield from _paths(inner, f"{before}{key}.", depth - 1)
