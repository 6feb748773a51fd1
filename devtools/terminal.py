"""What the demo prints: steps, one progress line, tables. Plain lines where nobody watches a terminal."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

BAR_CELLS = 24
#: Without a terminal a line is printed this often, so that a log shows life and stays short.
PLAIN_SECONDS = 5.0


class Terminal:
    """Writes to standard output; `is_live` tells whether lines may be drawn over."""

    def __init__(self) -> None:
        self.is_live = sys.stdout.isatty()
        self._drawn = ""
        self._printed_at = 0.0

    def say(self, text: str = "") -> None:
        """Print a line of its own."""
        self._clear()
        print(text, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Name a step that may take a while, and how long it took when it is done."""
        started = time.monotonic()
        if self.is_live:
            self._draw(f"  … {text}")
        yield
        self._clear()
        self.say(f"  {self._mark('✓', 'done:')} {text} ({time.monotonic() - started:.1f} s)")

    def progress(self, done: int, total: int, note: str) -> None:
        """Draw the progress bar again, or print a line now and then."""
        share = done / total if total else 0.0
        if self.is_live:
            filled = round(share * BAR_CELLS)
            bar = self._mark("█", "#") * filled + self._mark("░", "-") * (BAR_CELLS - filled)
            self._draw(f"  {bar} {share:4.0%}  {note}")
        elif time.monotonic() - self._printed_at >= PLAIN_SECONDS:
            self._printed_at = time.monotonic()
            self.say(f"  {share:4.0%}  {note}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns, the first row as the heading; numbers stand to the right."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        right = [all(row[i].isdigit() for row in rows[1:]) for i in range(len(widths))]
        for row in rows:
            cells = [
                cell.rjust(width) if is_number else cell.ljust(width)
                for cell, width, is_number in zip(row, widths, right, strict=True)
            ]
            self.say("  " + "  ".join(cells).rstrip())

    def _draw(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._drawn = line[:width]
        print(f"\r\x1b[K{self._drawn}", end="", flush=True)

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="")
            self._drawn = ""

    @staticmethod
    def _mark(sign: str, plain: str) -> str:
        """Return the sign where the output can show it."""
        try:
            sign.encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            return plain
        return sign
