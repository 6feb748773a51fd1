"""How many connections each web process keeps, for all of them to see, so that whoever has more leaves the next to the others.

The kernel gives a new connection to whichever process asks first. Of fifty kept connections one of two processes had 30 to 38,
and those waited twice as long as the rest. The counts lie in memory that was shared before the processes parted; they are a
hint and nothing depends on them: one that is not up to date for a moment, or of a process that has died, costs some balance.
"""

import mmap
import struct
import time

#: A process that has not said anything for so long is not waited for: it says it once a second, or is busy, stuck or dead.
FRESH_SECONDS = 2.5
#: So many more than another may be kept; evening out each one would hold up short connections for nothing.
TOLERATED = 1
_PLACES = 64
_PLACE = struct.Struct("qd")


class Balance:
    """Made before the processes part; each then has a place of its own, by a number that two living ones hardly share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _PLACES * _PLACE.size)

    def tell(self, number: int, connections: int) -> None:
        """Say how many connections a process keeps."""
        _PLACE.pack_into(self._memory, self._at(number), connections, time.monotonic())

    def leave(self, number: int) -> None:
        """Say that a process takes no more connections."""
        _PLACE.pack_into(self._memory, self._at(number), 0, 0.0)

    def has_more(self, number: int, connections: int) -> bool:
        """Whether a process keeps more connections than another one that takes some."""
        since = time.monotonic() - FRESH_SECONDS
        own = self._at(number)
        places = enumerate(_PLACE.iter_unpack(self._memory))
        others = [n for i, (n, at) in places if at > since and i * _PLACE.size != own]
        return bool(others) and connections > min(others) + TOLERATED

    def _at(self, number: int) -> int:
        return number % _PLACES * _PLACE.size
