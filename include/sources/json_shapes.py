"""Where in a JSON document the lines are: nested in invoices, or written as columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from include.sources.columns import REQUIRED_COLUMNS, USUAL, ColumnNames, canonical, is_general, is_header
from include.sources.defects import reject
from include.sources.json_values import Fields, plain_json
from include.sources.model import FileDecisions
from include.sources.profiles.names import Layouts

Path = tuple[str, ...]
"""Names of fields, from the outside in."""

_MAX_DEPTH = 5


class Lines:
    """Finds the lines of a document.

    Attributes:
        meaning: What the names of their fields mean.
    """

    def __init__(self, layouts: Layouts, decisions: FileDecisions) -> None:
        """Begin with the usual names.

        Args:
            layouts: Those the document may have.
            decisions: Says the format; gets the profile.
        """
        self.layouts = layouts
        self.decisions = decisions
        self.meaning: ColumnNames = USUAL

    def declared(self, values: Iterable[object]) -> Path | None:
        """Return the path of the lines below `values` that their declared layout says, None if they have none.

        Raises:
            SourceRejected: ambiguous_profile.
        """
        found = self.layouts.of_objects(values, self.decisions.format)
        if found is None:
            return None
        self.meaning, self.decisions.profile = found, found.profile
        return tuple(found.lines.split(".")) if found.lines else ()

    def paths(self, values: Iterable[object]) -> list[Path]:
        """Return the paths of the lines below `values`, as `line_paths`; of a declared layout the one it says.

        Raises:
            SourceRejected: ambiguous_profile.
        """
        values = list(values)
        path = self.declared(values)
        return line_paths(values) if path is None else [path]

    def below(self, value: object, path: Path) -> Iterator[object]:
        """Yield the lines at a path below `value`, as `lines_at`; of a declared layout with paths as names."""
        return lines_at(value, path) if self.meaning.profile is None else _with_paths(value, path)

    def of_document(self, document: Fields) -> Iterator[object]:
        """Yield the lines of a whole document, as `records_in`; of a declared layout with paths as names.

        It may be rows as pandas writes them, one invoice, or an object with one or with several by name.

        Raises:
            SourceRejected: ambiguous_json, ambiguous_profile.
        """
        for rows in (by_columns(document), [document]):
            if (path := self.declared(rows)) is not None:
                return self._below_each(rows, path)
        for _, value in document:
            if (path := self.declared([value])) is not None:
                return self._below_each(_alike(document, value), path)
        return records_in(document)

    def _below_each(self, values: Iterable[object], path: Path) -> Iterator[object]:
        for value in values:
            yield from self.below(value, path)


def _alike(document: Fields, row: object) -> list[object]:
    """Return the members of a document that have at least half the names of one of them, `row`."""
    names = {key for key, _ in row} if isinstance(row, Fields) else set()
    objects = [value for _, value in document if isinstance(value, Fields)]
    return [value for value in objects if 2 * len(names & {key for key, _ in value}) >= len(names)]


def by_columns(document: Fields) -> list[object]:
    """Return the rows of a document that may be written by columns, `orient="split"` or `"columns"` of pandas."""
    if (rows := _split(document)) is not None:
        return rows
    return list(_rows(document)) if _holds_columns(document) else []


def _split(document: Fields) -> list[object] | None:
    """Return the rows of `orient="split"`, None if it is not that."""
    members = dict(document)
    columns, data = members.get("columns"), members.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return [named(columns, row) for row in data]
    return None


def _holds_columns(document: Fields) -> bool:
    """Return whether each member may be a column."""
    return all(isinstance(value, Fields | list) for _, value in document)


def _with_paths(value: object, path: Path, before: str = "") -> Iterator[object]:
    """Yield the objects at a path below `value` with the fields of those around them, named by their paths."""
    if not isinstance(value, Fields):
        yield value
        return
    own = [(before + key, item) for key, item in value if not path or key != path[0]]
    if not path:
        yield Fields(own)
        return
    outer = [(key, _text(key, item)) for key, item in own]
    for item in (item for key, item in value if key == path[0] and item is not None):
        for inner in item if isinstance(item, list) else [item]:
            for line in _with_paths(inner, path[1:], f"{before}{path[0]}."):
                yield Fields((*outer, *line)) if isinstance(line, Fields) else line


def line_paths(values: Iterable[object], around: frozenset[str] = frozenset(), path: Path = ()) -> list[Path]:
    """Return the paths below `values` of the objects that are lines.

    Lines have, with the objects around them, all required columns; what is inside a line is not looked at.

    Args:
        values: Values of one kind, such as the elements of a list.
        around: Canonical columns of the objects around them.
        path: Where they stand.
    """
    objects = [value for value in values if isinstance(value, Fields)]
    names = {canonical(key) for fields in objects for key, value in fields if not isinstance(value, list | Fields)}
    known = around.union(name for name in names if name is not None)
    if objects and known.issuperset(REQUIRED_COLUMNS):
        return [path]
    below: dict[str, list[object]] = {}
    for key, value in (member for fields in objects for member in fields):
        if isinstance(value, list | Fields) and len(path) < _MAX_DEPTH:
            below.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    return [found for key, inner in below.items() for found in line_paths(inner, known, (*path, key))]


def the_path(paths: Sequence[Path]) -> Path | None:
    """Return the one path of the lines, None if there is none.

    Raises:
        SourceRejected: ambiguous_json.
    """
    if len(paths) > 1:
        raise reject("ambiguous_json", paths=", ".join(".".join(path) for path in paths))
    return paths[0] if paths else None


def lines_at(value: object, path: Path) -> Iterator[object]:
    """Yield the lines at a path below `value`, each with the fields of the objects around it.

    Of two fields that mean one column the inner one counts; the other is kept under a name of its own. What is no
    object where a line should be is yielded as it is.
    """
    if not path or not isinstance(value, Fields):
        yield value
        return
    outer = [(key, _text(key, item)) for key, item in value if key != path[0]]
    for item in (item for key, item in value if key == path[0] and item is not None):
        for inner in item if isinstance(item, list) else [item]:
            for line in lines_at(inner, path[1:]):
                yield Fields((*line, *_beside(line, outer))) if isinstance(line, Fields) else line


def _text(key: str, value: object) -> object:
    """Return a nested value of the sender's own as text, which is written only once for all lines."""
    nested = isinstance(value, list | Fields) and canonical(key) is None
    return json.dumps(plain_json(value), ensure_ascii=False) if nested else value


def _beside(line: Fields, outer: Sequence[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    general = {canonical(key): is_general(key) for key, value in line if value is not None}
    for key, value in outer:
        column = canonical(key)
        beaten = column is not None and column in general and (is_general(key) or not general[column])
        yield (f"outer {key}" if beaten else key), value


def records_in(document: Fields) -> Iterator[object]:
    """Yield the records of a whole document that is not simply a list of them.

    It may hold columns (`orient="columns"`, `"split"` or `"index"` of pandas), or lines at any depth. An object without
    any is a record itself, or has one list of what are to be records; with an empty list it has none.

    Raises:
        SourceRejected: ambiguous_json.
    """
    members = dict(document)
    if (rows := _split(document)) is not None:
        yield from rows
    elif is_header(members) and _holds_columns(document):
        yield from _rows(document)
    elif line_paths(members.values()) == [()] and all(isinstance(value, Fields) for value in members.values()):
        yield from members.values()
    else:
        path = the_path(line_paths([document]))
        lists = [value for _, value in document if isinstance(value, list)]
        holding = [values for values in lists if any(isinstance(value, Fields) for value in values)]
        if path is not None:
            yield from _innermost(document, path)
        elif len(holding) == 1:
            yield from holding[0]
        elif holding or [] not in lists:
            yield document


def named(columns: Sequence[object], row: object) -> object:
    """Return a row of values as an object; a row of another width stays what it is."""
    if isinstance(row, list) and len(row) == len(columns):
        return Fields(zip(map(str, columns), row, strict=True))
    return row


def _rows(columns: Fields) -> Iterator[object]:
    rows: dict[object, list[tuple[str, object]]] = {}
    for name, values in columns:
        for index, value in enumerate(values) if not isinstance(values, Fields) else values:
            rows.setdefault(index, []).append((name, value))
    yield from map(Fields, rows.values())


def _innermost(document: Fields, path: Path) -> Iterator[object]:
    """Yield the lines at a path without the fields of outer objects that they do not need, such as a page's number."""
    depth = next(depth for depth in range(len(path), -1, -1) if _suffices(document, path, depth))
    for value in _values_at(document, path[:depth]):
        yield from lines_at(value, path[depth:])


def _suffices(document: Fields, path: Path, depth: int) -> bool:
    return path[depth:] in line_paths(_values_at(document, path[:depth]))


def _values_at(value: object, path: Path) -> Iterator[object]:
    if not path:
        yield value
    elif isinstance(value, Fields):
        for item in (item for key, item in value if key == path[0]):
            for inner in item if isinstance(item, list) else [item]:
                yield from _values_at(inner, path[1:])
