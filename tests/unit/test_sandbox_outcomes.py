"""What the sandbox answers about an address, and what its record keeps."""

import json
from collections import Counter
from pathlib import Path

import pytest

from sandbox.mode import Mode
from sandbox.outcomes import FORCED, decide
from sandbox.record import Record


def test_proportions_are_sensible() -> None:
    codes = Counter(decide(f"lead{n}@example.com", 1).code for n in range(5_000))
    assert 0.67 < codes["ok"] / 5_000 < 0.73
    assert 0.12 < codes["ko"] / 5_000 < 0.18
    assert 0.12 < codes["mb"] / 5_000 < 0.18


def test_an_address_always_gets_the_same() -> None:
    assert decide("Some.One@Example.com", 1) == decide("some.one@example.com", 7)


@pytest.mark.parametrize("word", FORCED)
def test_a_prefix_forces_the_outcome(word: str) -> None:
    assert decide(f"{word}-anything@example.com", 1) == FORCED[word]


def test_trouble_with_a_number_passes() -> None:
    assert [decide("flaky2-a@example.com", n).kind for n in (1, 2, 3)] == [
        "error500",
        "error500",
        "answer",
    ]
    assert [decide("limited1-a@example.com", n).message for n in (1, 2)] == ["Limited", "Accepted"]


def test_modes_are_shares_and_repeatable() -> None:
    mode = Mode.parse({"error_rate": 0.2, "throttle_rate": 0.1, "latency_ms": [10, 30], "seed": 4})
    found = Counter(mode.mishap(f"a{n}@example.com", 1) for n in range(5_000))
    assert 0.17 < found["error500"] / 5_000 < 0.23
    assert 0.08 < found["throttled"] / 5_000 < 0.12
    assert found["hang"] == 0
    assert mode.mishap("a@example.com", 3) == mode.mishap("a@example.com", 3)
    waits = {mode.latency_seconds(f"a{n}@example.com") for n in range(100)}
    assert all(0.010 <= wait <= 0.030 for wait in waits)
    assert len(waits) > 90


@pytest.mark.parametrize("values", [{"error_rate": 2}, {"colour": 1}, {"latency_ms": [1]}])
def test_a_mode_that_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Mode.parse(values)


def fill(record: Record, count: int) -> None:
    for n in range(count):
        record.add(
            wall_ms=n,
            mono_ms=n,
            provider="mailtester",
            key="k",
            email=f"a{n % 4}@example.com",
            status=200,
            is_charged=True,
        )


def test_the_record_is_bounded_but_counts_everything() -> None:
    record = Record(keep=5, bound=3)
    fill(record, 12)
    summary = record.summary()
    assert (summary["calls"], summary["charged"]) == (12, 12)
    assert summary["charged_addresses"]["is_complete"] is False
    assert summary["charged_addresses"]["repeated_addresses"] == {
        f"a{n}@example.com": 3 for n in range(3)
    }
    page = record.page(0, 2)
    assert [call["seq"] for call in page["calls"]] == [8, 9]
    assert (page["lost"], page["next_since"]) == (7, 9)
    assert [call["seq"] for call in record.page(9, 100)["calls"]] == [10, 11, 12]
    assert record.page(12, 100) == {"calls": [], "next_since": 12, "lost": 0}


def test_the_record_writes_a_line_a_call(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    record = Record(keep=1, bound=10, path=path)
    fill(record, 3)
    record.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3]
