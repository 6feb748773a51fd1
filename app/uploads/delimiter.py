"""Which character separates the cells of a text file.

Each candidate reads the first rows for real (quotes and all); the one that gives rows of equal width with
whole addresses in their cells wins. A list of one column has no delimiter and reads as commas.
"""

import csv
from collections import Counter

from app.uploads.addresses import looks_like_address

FORMATS = {",": "csv", ";": "semicolon", "\t": "tsv", "|": "pipe"}
_ROWS = 100
_CHARS = 65_536


def has_hint(text: str) -> bool:
    """Say whether a file starts with a line like `sep=;`, Excel's own way to name the delimiter."""
    return _hint(text) is not None


def _hint(text: str) -> str | None:
    line = text[:16].splitlines()[0].lower() if text else ""
    return line[4] if len(line) == 5 and line.startswith("sep=") and line[4] in FORMATS else None


def detect_delimiter(text: str) -> str:
    """Return one of `, ; tab |` for text that starts a file."""
    if hint := _hint(text):
        return hint
    lines = text[:_CHARS].splitlines(keepends=True)
    # The last line may be cut off in the middle.
    lines = lines[:-1] if len(lines) > 1 else lines
    scores = {delimiter: _score(lines, delimiter) for delimiter in FORMATS}
    return max(scores, key=lambda delimiter: scores[delimiter])


def _score(lines: list[str], delimiter: str) -> tuple[float, int]:
    """Return (evenness plus share of rows with a whole address, width): higher is better."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            if any(row):
                rows.append(row)
            if len(rows) == _ROWS:
                break
    except csv.Error:
        pass  # judged by what could be read
    if not rows:
        return 0.0, 0
    width, even = Counter(map(len, rows)).most_common(1)[0]
    addressed = sum(any(map(looks_like_address, row)) for row in rows)
    evenness = even / len(rows) if width > 1 else 0.0
    return evenness + addressed / len(rows), width
