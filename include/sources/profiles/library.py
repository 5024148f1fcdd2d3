"""The profiles at hand: those that are shipped, and the user's own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from include.sources.profiles.model import Profile
from include.sources.profiles.names import Layouts

SHIPPED = Path(__file__).with_name("vendors")


class ProfileError(Exception):
    """A profile that cannot be used; the text says which one, where and why."""


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text: NO is Norway. Refuses a name that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_profile(text: str, origin: str) -> Profile:
    """Return the profile that YAML text declares.

    Args:
        text: The YAML.
        origin: What to call it in messages, such as the path of its file.

    Raises:
        ProfileError: If it is no YAML or breaks the rules of `Profile`.
    """
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ProfileError(f"{origin}{where}: {getattr(error, 'problem', None) or 'this is no YAML'}") from error
    if not isinstance(content, dict):
        raise ProfileError(f"{origin}: a profile has names such as recognise: and columns:")
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        raise ProfileError("\n".join(f"{origin}: {_sentence(item)}" for item in error.errors())) from error


def _sentence(item: Any) -> str:
    steps = [str(step) for step in item["loc"] if step not in _TAGS]
    where = ".".join(steps) or "the profile"
    match item["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is no part of a profile"
        case _:
            return f"{where}: {item['msg'].removeprefix('Value error, ')}"


_TAGS = frozenset({"column", "first", "text", "map", "join", "split", "sum", "json_sum", "abs"})
"""Steps that pydantic adds to say which kind of value it took one for."""


def load_profile(path: Path) -> Profile:
    """Return the profile in a file.

    Raises:
        ProfileError: As `parse_profile`, or if its name is not that of the file.
        OSError: If the file cannot be read.
    """
    profile = parse_profile(path.read_text("utf-8"), str(path))
    if profile.name != path.stem:
        raise ProfileError(f"{path}: name: {profile.name!r} is not the name of the file")
    return profile


@lru_cache(maxsize=1)
def shipped_profiles() -> dict[str, Profile]:
    """Return the shipped profiles by name."""
    return {path.stem: load_profile(path) for path in sorted(SHIPPED.glob("*.yaml"))}


def layouts(folder: Path) -> Layouts:
    """Return the layouts that a file may have.

    Args:
        folder: The user's profiles; one of them hides a shipped one of the same name. It need not exist.
    """
    own: dict[str, Profile] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            own[path.stem] = load_profile(path)
        except (ProfileError, OSError, UnicodeDecodeError) as error:
            problems.append(str(error).rstrip("."))
    return Layouts(shipped_profiles() | own, own=frozenset(own), problem="; ".join(problems))
