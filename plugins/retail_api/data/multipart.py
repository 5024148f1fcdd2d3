"""Files of a multipart form, written where they belong as they arrive, so that neither memory nor a copy is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header


class Writer(Protocol):
    """What takes the content of a file."""

    def write(self, data: bytes) -> Any:
        """Take more of it."""


class NotAForm(ValueError):
    """The body is no multipart form with files; the message says what to send."""


class FormFiles:
    """Hands the files of a form, piece by piece, to the writers that `begin` opens for their names."""

    def __init__(self, content_type: str, begin: Callable[[str], Writer]) -> None:
        """Read the form's header.

        Args:
            content_type: Header of the request.
            begin: Opens the writer of a file by its name; what it raises ends the reading.

        Raises:
            NotAForm: If the header is not a form's.
        """
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise NotAForm("send the files as multipart/form-data, as curl -F file=@invoices.csv does")
        self._begin = begin
        self._writer: Writer | None = None
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise NotAForm("the boundary of the form cannot be used") from error

    def feed(self, data: bytes) -> None:
        """Read more of the body.

        Raises:
            NotAForm: If it is damaged.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise NotAForm("the form cannot be read") from error

    def close(self) -> None:
        """Note the end of the body.

        Raises:
            NotAForm: If the form is not at its end.
        """
        if not self._ended:
            raise NotAForm("the form is cut off")

    def _part_begins(self) -> None:
        self._writer, self._disposition = None, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            raise NotAForm("every part of the form has to be a file with a name")
        try:
            name = options[b"filename"].decode()
        except UnicodeDecodeError as error:
            raise NotAForm("the names of files have to be UTF-8") from error
        self._writer = self._begin(name)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._writer is not None:
            self._writer.write(data[start:end])

    def _end(self) -> None:
        self._ended = True
