"""A multipart body, read as a stream: fields are small and kept, files are handed on while they arrive.

Werkzeug's own form parser pushes a file into something it can rewind; here the reader pulls, so a file goes straight
to where it is kept, and whoever keeps it can say "enough" at any byte. A body that ends early is an error, never a
shorter file.
"""

from collections.abc import Callable, Iterator
from typing import IO

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

_READ_BYTES = 256 * 1024
#: Read on in such steps until a boundary's line is whole.
_LINE_BYTES = 64
MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 64

Fields = MultiDict[str, str]
#: Gets the part's name, the file's name, its bytes, and the fields that came before it.
TakeFile = Callable[[str, str, "PartStream", Fields], None]


class PartStream:
    """The bytes of one part; at its end `read` gives nothing."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._ended = False

    def read(self, _size: int = -1, /) -> bytes:
        """Return the next piece, of whatever size it came in. Raises `BadRequest` when the body is cut off."""
        while not self._ended:
            event = next(self._events, None)
            if not isinstance(event, Data):
                raise BadRequest("The body is not a well-formed multipart/form-data body.")
            self._ended = not event.more_data
            if event.data:
                return bytes(event.data)
        return b""

    def drain(self) -> None:
        """Read what nobody wanted, so that the next part can be read."""
        while self.read():
            pass


def read_form(stream: IO[bytes], boundary: str, take_file: TakeFile) -> Fields:
    """Read a body to its end; return its fields. Raises `BadRequest` for one that is cut off or malformed.

    A field is at most 64 KB, a body at most 64 parts (413 otherwise, from Werkzeug).
    """
    mark = boundary.encode("ascii", "replace")
    # The decoder's limit is on what it buffers: a piece, and headers that don't end.
    decoder = MultipartDecoder(mark, max_form_memory_size=4 * _READ_BYTES, max_parts=MAX_PARTS)
    events = _events(_Pieces(stream, b"--" + mark), decoder)
    fields: Fields = MultiDict()
    for event in events:
        if isinstance(event, Field):
            fields.add(event.name, _text(PartStream(events)))
        elif isinstance(event, File):
            part = PartStream(events)
            take_file(event.name, event.filename, part, fields)
            part.drain()
    return fields


def _text(part: PartStream) -> str:
    pieces: list[bytes] = []
    size = 0
    while piece := part.read():
        size += len(piece)
        if size > MAX_FIELD_BYTES:
            raise BadRequest("A field of the form is too long.")
        pieces.append(piece)
    return b"".join(pieces).decode("utf-8", "replace")


class _Pieces:
    """The body in pieces, none of which ends in the middle of a boundary's line.

    Werkzeug 3.1's decoder would take the line break in front of such a boundary for content.
    """

    def __init__(self, stream: IO[bytes], mark: bytes) -> None:
        self._stream = stream
        self._mark = mark
        self._tail = b""

    def read(self) -> bytes:
        """Return the next piece, nothing at the end."""
        piece = self._stream.read(_READ_BYTES)
        while piece and self._mark in self._last(piece):
            more = self._stream.read(_LINE_BYTES)
            if not more:
                break
            piece += more
        self._tail = self._last(piece)
        return piece

    def _last(self, piece: bytes) -> bytes:
        """Return the end of what was read: just too short for the boundary, the two dashes and the line break."""
        n = len(self._mark) + 3
        return piece[-n:] if len(piece) >= n else (self._tail + piece)[-n:]


def _events(pieces: _Pieces, decoder: MultipartDecoder) -> Iterator[Event]:
    while True:
        try:
            event = decoder.next_event()
            if isinstance(event, NeedData):
                # None tells the decoder that the body is over; it raises ValueError if that is too early.
                decoder.receive_data(pieces.read() or None)
                continue
        except ValueError as error:
            raise BadRequest("The body is not a whole multipart/form-data body.") from error
        if isinstance(event, Epilogue):
            return
        yield event
