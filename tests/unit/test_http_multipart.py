"""The multipart reader, against any cutting of the body into reads."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from app.http.multipart import MAX_FIELD_BYTES, MAX_PARTS, Fields, PartStream, read_form

BOUNDARY = "b0undary"
Part = tuple[str, str | None, bytes]


class Drip(io.RawIOBase):
    """A stream that gives few bytes at a time, as networks do."""

    def __init__(self, body: bytes, sizes: list[int]) -> None:
        self._body = body
        self._sizes = sizes or [1]
        self._at = 0
        self._turn = 0

    def read(self, _size: int = -1) -> bytes:
        n = self._sizes[self._turn % len(self._sizes)]
        self._turn += 1
        piece = self._body[self._at : self._at + n]
        self._at += n
        return piece


def encode(parts: list[Part]) -> bytes:
    body = b""
    for name, filename, content in parts:
        extra = f'; filename="{filename}"' if filename is not None else ""
        body += (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        )
        body += content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def read(stream: Any) -> tuple[list[tuple[str, str, bytes]], Fields]:
    files: list[tuple[str, str, bytes]] = []

    def take(name: str, filename: str, part: PartStream, _fields: Fields) -> None:
        pieces = []
        while piece := part.read(100):
            pieces.append(piece)
        files.append((name, filename, b"".join(pieces)))

    return files, read_form(stream, BOUNDARY, take)


names = st.text("abcxyz", min_size=1, max_size=5)
contents = st.one_of(
    # A sender chooses a boundary that the content doesn't hold.
    st.binary(max_size=300).filter(lambda content: b"--b0undary" not in content),
    # What looks like the end but is not.
    st.sampled_from([b"\r\n", b"\r\n--", b"\r\n--b0undar", b"--b0undar", b"\r", b"\n--b0undar\n"]),
)
bodies = st.lists(
    st.one_of(
        st.tuples(names, names, contents),
        st.tuples(names, st.none(), st.text("abc ,;", max_size=30).map(str.encode)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(bodies, st.lists(st.integers(1, 400), max_size=5))
def test_parts_come_out_as_they_went_in(parts: list[Part], sizes: list[int]) -> None:
    files, fields = read(Drip(encode(parts), sizes))
    assert files == [(n, f, c) for n, f, c in parts if f is not None]
    assert list(fields.items(multi=True)) == [
        (name, value)
        for name in dict.fromkeys(n for n, f, _ in parts if f is None)
        for value in [c.decode() for n, f, c in parts if f is None and n == name]
    ]


@settings(max_examples=100, deadline=None)
@given(bodies, st.data())
def test_a_body_cut_off_is_an_error(parts: list[Part], data: st.DataObject) -> None:
    body = encode(parts)
    # The last two bytes end the line after the closing boundary; everything needed was said.
    cut = data.draw(st.integers(0, len(body) - 5))
    with pytest.raises(BadRequest):
        read(io.BytesIO(body[:cut]))


def test_what_nobody_reads_is_passed_over() -> None:
    body = encode([("file", "a.csv", b"x" * 100_000), ("tags", None, b"after")])
    fields = read_form(io.BytesIO(body), BOUNDARY, lambda *_: None)
    assert fields["tags"] == "after"


def test_fields_are_bounded() -> None:
    with pytest.raises((BadRequest, RequestEntityTooLarge)):
        read(io.BytesIO(encode([("tags", None, b"x" * (MAX_FIELD_BYTES + 1))])))
    with pytest.raises(RequestEntityTooLarge):
        read(io.BytesIO(encode([("tags", None, b"x")] * (MAX_PARTS + 1))))
