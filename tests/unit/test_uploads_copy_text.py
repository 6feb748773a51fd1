"""COPY text: what goes in comes out, also when a server reads it (tests/integration)."""

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from app.uploads.copy_text import CopyStream, encode_copy
from app.uploads.rows import BadRow, LeadBlock

#: What a cell can hold after reading: everything but NUL; what needs an escape often.
CELLS = st.text(
    st.sampled_from('\\"\n\r\t,]N.\x01\x1f\x7f\u00a0\u2028é😀')
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=8,
)
LEADS = st.lists(
    st.tuples(
        st.integers(1, 2**31 - 1),
        st.sampled_from(["a@b.com", '"a\\"b"@c.com', "é@x.org"]),
        st.lists(CELLS, min_size=1, max_size=4),
    ),
    max_size=8,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def make_block(leads: list[tuple[int, str, list[str]]]) -> LeadBlock:
    return LeadBlock(*(list(part) for part in zip(*leads, strict=True))) if leads else LeadBlock()


def decode(data: bytes) -> list[list[str]]:
    """Read COPY text as the manual describes it: split first, then undo the escapes."""
    lines = data.decode().split("\n")
    assert lines.pop() == ""
    return [[_unescape(value) for value in line.split("\t")] for line in lines]


def _unescape(value: str) -> str:
    chars = iter(value)
    return "".join(ESCAPES[next(chars)] if char == "\\" else char for char in chars)


@settings(deadline=None)
@given(st.lists(LEADS, max_size=3))
def test_what_goes_in_comes_out(blocks: list[list[tuple[int, str, list[str]]]]) -> None:
    data = b"".join(encode_copy(map(make_block, blocks), before="job\t", first_item_no=7))
    wanted = [lead for block in blocks for lead in block]
    found = decode(data)
    assert [row[:2] for row in found] == [["job", str(i + 7)] for i in range(len(wanted))]
    assert [(int(row[2]), row[3], json.loads(row[4])) for row in found] == wanted


def test_ordinary_rows_are_compact_json() -> None:
    block = make_block([(2, "a@b.com", ["Ann", "", "é"])])
    assert b"".join(encode_copy([block])) == '1\t2\ta@b.com\t["Ann","","é"]\n'.encode()


def test_bad_rows_are_handed_over() -> None:
    seen: list[BadRow] = []
    bad = BadRow(3, "why", "what")
    assert list(encode_copy([LeadBlock(bad=[bad]), LeadBlock()], on_bad=seen.extend)) == []
    assert seen == [bad]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 9))
def test_a_stream_gives_all_bytes(pieces: list[bytes], size: int) -> None:
    stream = CopyStream(iter(pieces))
    assert b"".join(iter(lambda: stream.read(size), b"")) == b"".join(pieces)
    assert CopyStream(iter(pieces)).readall() == b"".join(pieces)
    assert isinstance(stream, io.RawIOBase)
