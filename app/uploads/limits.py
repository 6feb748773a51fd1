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
    #: CPU seconds one workbook may cost its reader; its size does not tell, 28 kB may hold millions of
    #: cells. A million rows of 40 texts need 240.
    max_cpu_seconds: float = 300.0
    #: Bytes of one list as it goes into the database: a workbook may name one long text a million times.
    max_list_bytes: int = 2 * 1024**3

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the limits that the environment sets."""
        return cls(max_rows=settings.upload_max_rows, max_cpu_seconds=settings.upload_parse_seconds)
