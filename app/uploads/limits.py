"""How much of an uploaded list is read before it counts as too large or as an attack.

Every loop over a file's content is bounded by one of these numbers.
"""

from dataclasses import dataclass
from typing import Self

from app.settings import Settings


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds of one reading; `max_rows` counts rows with content, good and bad, without the header."""

    max_rows: int = 1_000_000
    max_columns: int = 1_000
    #: A row longer than this is a bad row. Under the csv module's own limit for one cell (131,072).
    max_row_chars: int = 65_536
    #: A quoted cell that runs over more lines counts as a quotation mark that was never closed.
    max_row_lines: int = 1_000
    #: So many unclosed quotation marks are looked into; after them a quotation mark is plain text.
    max_unclosed: int = 1_000
    #: Bytes an XLSX part may unpack to. A million rows of 40 columns need about 1.4 GB.
    max_inflated_bytes: int = 2 * 1024**3
    #: Deflate reaches 1,032 : 1; real sheets stay under 50 : 1.
    max_inflation_ratio: int = 200
    #: Different texts in one workbook; each costs eight bytes of memory.
    max_shared_strings: int = 10_000_000

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits that the environment sets."""
        return cls(max_rows=settings.upload_max_rows)
