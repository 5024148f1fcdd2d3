"""CSV properties: what a writer wrote is read back, and one stray quote costs one record."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from include.sources.model import CANONICAL_COLUMNS
from tests.support.source_files import read_rows

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
LATIN = st.characters(codec="cp1252", exclude_characters="\0\x1a")
ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1a")
LOOKS_LIKE_A_RECORD = re.compile(r"[\r\n][^,;|\t\r\n]+[,;|\t][^,;|\t\r\n]+[,;|\t]")
DESCRIPTIONS = st.one_of(
    st.text(st.sampled_from(' ",;|\t\n\ra7'), max_size=12), st.text(LATIN, max_size=12), st.text(ANY, max_size=12)
).filter(lambda text: not LOOKS_LIKE_A_RECORD.search(text))


def rows_of(texts: list[str]) -> list[tuple[str, ...]]:
    return [
        (str(536365 + index), "85123A", text, "6", "2010-12-01 08:26:00", "2.55", "17850", "France")
        for index, text in enumerate(texts)
    ]


def is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_mostly_accented(content: bytes) -> bool:
    """Whether the lines that are not ASCII have more accented letters than plain ones: their encoding is a guess."""
    letters = b"".join(line for line in content.splitlines() if not line.isascii()).replace(b"\xa0", b"")
    return sum(byte >= 0x80 for byte in letters) > sum(chr(byte).isalpha() for byte in letters if byte < 0x80)


def written(rows: list[tuple[str, ...]], delimiter: str, end: str, quoting: int) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([CANONICAL_COLUMNS, *rows])
    return stream.getvalue()


def quoting_for(texts: list[str], quoting: int) -> int:
    """Quote all if need be: before Python 3.13 the writer leaves a CR or LF that is not its line end unquoted."""
    return csv.QUOTE_ALL if set("\r\n") & set("".join(texts)) else quoting


QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])


@settings(max_examples=250, deadline=None)
@example(texts=["\xa0" * 8], delimiter=",", end="\n", quoting=csv.QUOTE_MINIMAL, encoding="cp1252")
@given(
    texts=st.lists(DESCRIPTIONS, min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=QUOTING,
    encoding=st.sampled_from(ENCODINGS),
)
def test_any_table_is_read_back_exactly(
    texts: list[str], delimiter: str, end: str, quoting: int, encoding: str
) -> None:
    rows = rows_of(texts)
    content = written(rows, delimiter, end, quoting_for(texts, quoting)).encode(encoding, "replace")
    # The same bytes can mean one text in cp1252 and another in UTF-8; a file valid as UTF-8 throughout is read as that.
    assume(encoding != "cp1252" or content.isascii() or not (is_utf8(content) or is_mostly_accented(content)))
    expected = rows_of([text.encode(encoding, "replace").decode(encoding) for text in texts])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sales.csv"
        path.write_bytes(content)
        found = read_rows(path)
    assert [row[1] for row in found] == [None] * len(rows)
    assert [row[2] for row in found] == expected


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(DESCRIPTIONS.map(lambda text: text.replace("\r", " ")), min_size=2, max_size=6),
    quoting=QUOTING,
    data=st.data(),
)
def test_one_stray_quote_costs_at_most_the_record_it_is_in(texts: list[str], quoting: int, data: st.DataObject) -> None:
    rows, quoting = rows_of(texts), quoting_for(texts, quoting)
    content = written(rows, ",", "\n", quoting)
    body = content.index("\n") + 1
    place = data.draw(st.integers(body, len(content)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sales.csv"
        path.write_text(content[:place] + '"' + content[place:], encoding="utf-8", newline="")
        found = read_rows(path)
    sound = [row[2] for row in found if row[1] is None]
    ends = [len(written(rows[:count], ",", "\n", quoting)) for count in range(len(rows) + 1)]
    for index, row in enumerate(rows):
        struck = ends[index] <= place <= ends[index + 1]
        assert struck or row in sound
