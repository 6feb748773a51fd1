"""How fast a list of N rows becomes COPY text, and how much memory that takes; no database.

    python bench/ingest_rows.py 1000000

Prints rows a second of `open_list` + `encode_copy` over an invented list of about 150 bytes a row.
"""

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from app.uploads.copy_text import encode_copy
from app.uploads.opening import open_list

_FIRST = ["Anna", "Ben", "Chloé", "David", "Emma", "Felix", "Grace", "Hugo"]
_COMPANIES = ['"Acme Industries, Inc."', "Globex Corporation", "Initech GmbH", "Umbrella Health"]


def write_list(path: Path, rows: int) -> None:
    """Write a list with a header; one row in four has a quoted cell, one in a thousand is bad."""
    pick = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("first_name,last_name,email,company,title,city,linkedin,notes\n")
        for i in range(rows):
            email = "n/a" if i % 1000 == 999 else f"lead.number{i}@company{i % 5000}.com"
            file.write(
                f"{pick.choice(_FIRST)},Lastname{i % 977},{email},{pick.choice(_COMPANIES)},Head of Sales,"
                f"Springfield,https://www.linkedin.com/in/person-{i},Met at the fair in 2024\n"
            )


def measure(path: Path) -> dict[str, float]:
    """Read and encode a list; return its rows, seconds, rows a second and peak memory in MB."""
    started = time.perf_counter()
    size = 0
    rows = 0
    with open_list(path) as leads:
        for piece in encode_copy(leads.blocks()):
            size += len(piece)
            rows += piece.count(b"\n")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "peak_mb": peak}


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "leads.csv"
        write_list(target, count)
        print(f"{target.stat().st_size / 1e6:.0f} MB")
        print({name: round(value, 2) for name, value in measure(target).items()})
