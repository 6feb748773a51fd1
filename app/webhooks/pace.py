"""How many attempts at one endpoint are under way at once, and when to leave it alone for a while.

One that answers gets more, up to the setting; one that fails gets one after the other, and after five failures in a row
none for a while, so that a dead receiver costs few connections and no one's place. Every success starts afresh.
"""

#: Failures in a row after which the endpoint rests.
PATIENCE = 5
FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 300.0


class Pace:
    """The pace of one run. `failures` in a row were counted before it."""

    def __init__(self, most: int, failures: int) -> None:
        self._most = most
        self._before = failures
        self._failures = 0
        #: How many may be under way now.
        self.limit = most if failures == 0 else 1
        self._asked: float | None = None

    def note(self, *, is_good: bool, pause: float | None = None) -> None:
        """Take in what an attempt came to; `pause` is what the receiver asked for, in seconds."""
        if pause:
            self._asked = max(pause, self._asked or 0.0)
        if is_good:
            self._before = self._failures = 0
            self.limit = min(self._most, self.limit * 2)
        else:
            self._failures += 1
            self.limit = max(1, self.limit // 2)

    @property
    def pause(self) -> float | None:
        """Return for how many seconds nothing more should be sent; None: go on."""
        if self._failures < PATIENCE:
            return self._asked
        rounds = min((self._before + self._failures) // PATIENCE - 1, 10)
        return max(min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0**rounds), self._asked or 0.0)
