"""The invented lists that benchmarks upload: always the same rows for the same size, nobody's addresses."""

import random
from pathlib import Path

HEADER = "first_name,last_name,email,company,title,city,linkedin,notes\n"
_FIRST = ["Anna", "Ben", "Chloé", "David", "Emma", "Felix", "Grace", "Hugo"]
_COMPANIES = ['"Acme Industries, Inc."', "Globex Corporation", "Initech GmbH", "Umbrella Health"]


def write_list(path: Path, rows: int) -> None:
    """Write a list of about 150 bytes a row: one row in four has a quoted cell, one in a thousand no address."""
    pick = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER)
        for i in range(rows):
            email = "n/a" if i % 1000 == 999 else f"lead.number{i}@company{i % 5000}.com"
            file.write(
                f"{pick.choice(_FIRST)},Lastname{i % 977},{email},{pick.choice(_COMPANIES)},Head of Sales,"
                f"Springfield,https://www.linkedin.com/in/person-{i},Met at the fair in 2024\n"
            )
