"""docs/demo.md promises what the simulated providers do: its words are theirs, and its bodies are taken."""

import json
import re
from pathlib import Path

import pytest

from app.http.models_enrichment import JobIn
from sandbox import outcomes, people

PAGE = (Path(__file__).parents[2] / "docs/demo.md").read_text()
(WORDS,) = re.findall(r"\| Word \|.*?\n\n", PAGE, re.DOTALL)
ROWS = [
    (word, [cell.strip() for cell in row.split("|")[2:4]])
    for row in WORDS.strip().splitlines()[2:]
    for word in re.findall(r"`(\w+-)`", row.split("|")[1])
]
BODIES = re.findall(r"-d '(\{\"type\".*?\})'", PAGE, re.DOTALL)
#: A word does something where its outcome is not what half a dozen other names come to as well.
NAMES = [f"{n}@example.com" for n in range(20)]


def is_forced(word: str, of_lead: bool) -> bool:
    """Tell whether all names behind the word come to the same."""
    if of_lead:
        fates = {people.decide(people.Question(last_name=f"{word}{n}"), 1) for n in NAMES}
        return len(fates) == 1
    return len({outcomes.decide(f"{word}{n}", 1) for n in NAMES}) == 1


def test_the_page_has_what_is_looked_for() -> None:
    assert len(ROWS) > 12
    assert len(BODIES) == 6


@pytest.mark.parametrize(("word", "cells"), ROWS)
def test_a_word_is_known_to_a_provider_that_the_table_names(word: str, cells: list[str]) -> None:
    known = [is_forced(word, of_lead=False), is_forced(word, of_lead=True)]
    assert any(known)
    assert all(is_known <= bool(cell) for is_known, cell in zip(known, cells, strict=True))


@pytest.mark.parametrize("body", BODIES)
def test_a_body_is_taken_as_it_stands(body: str) -> None:
    JobIn.model_validate(json.loads(body))
