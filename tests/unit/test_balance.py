"""Which of the web's processes leaves a new connection to the others."""

import pytest

from app.http import balance
from app.http.balance import Balance


@pytest.fixture
def three() -> Balance:
    made = Balance()
    for number, connections in enumerate((5, 7, 9), start=1):
        made.tell(number, connections)
    return made


def test_whoever_has_more_than_the_fewest_leaves_it(three: Balance) -> None:
    assert [three.has_more(1, 5), three.has_more(2, 7), three.has_more(3, 9)] == [
        False,
        True,
        True,
    ]


def test_a_little_more_is_left_as_it_is(three: Balance) -> None:
    assert not three.has_more(2, 5 + balance.TOLERATED)


def test_a_process_alone_takes_all() -> None:
    alone = Balance()
    alone.tell(1, 100)
    assert not alone.has_more(1, 100)


def test_nobody_waits_for_a_process_that_has_left(three: Balance) -> None:
    three.leave(1)
    assert not three.has_more(2, 7)
    assert three.has_more(3, 9)


def test_nobody_waits_for_a_process_that_says_nothing(
    three: Balance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance, "FRESH_SECONDS", 0.0)
    assert not three.has_more(3, 9)


def test_a_number_is_a_place_whatever_its_size(three: Balance) -> None:
    three.tell(1_000_003, 0)
    assert three.has_more(1, 5)
