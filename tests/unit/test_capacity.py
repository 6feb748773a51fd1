"""What keys give, and what binds."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from app.clients.capacity import capacity, describe
from app.clients.keys import NewKey


def key(
    spacing_ms: int = 250,
    per_30s: int | None = 165,
    daily_limit: int | None = 500_000,
    extra_windows: tuple[tuple[int, int], ...] = (),
) -> NewKey:
    return NewKey(
        SecretStr("mt_abc123xyz789"),
        spacing_ms=spacing_ms,
        per_30s=per_30s,
        daily_limit=daily_limit,
        extra_windows=extra_windows,
    )


@pytest.mark.parametrize(
    ("given_key", "per_second", "per_day", "binds", "day_binds"),
    [
        # As reference: a standard key, an upgraded one.
        (key(250), 4, 345_600, "spacing", "spacing"),
        (key(125), 5.5, 475_200, "window", "window"),
        (key(125, daily_limit=100_000), 5.5, 100_000, "window", "quota"),
        (key(0, None, 10), None, 10, "none", "quota"),
        (key(0, None, None), None, None, "none", "none"),
        (key(250, extra_windows=((3600, 3600),)), 1, 86_400, "window", "window"),
        (key(300, None, None), 10 / 3, 288_000, "spacing", "spacing"),
    ],
)
def test_one_key(
    given_key: NewKey, per_second: float, per_day: int, binds: str, day_binds: str
) -> None:
    found = capacity([given_key])
    assert (found.keys, found.per_second, found.per_day) == (1, per_second, per_day)
    assert (found.binds, found.day_binds) == ((binds,), (day_binds,))


def test_keys_add_up() -> None:
    found = capacity(iter([key(250), key(125)]))
    assert (found.keys, found.per_second, found.per_day) == (2, 9.5, 820_800)
    assert found.binds == ("spacing", "window")
    assert capacity([key(), key(0, None, None)]).per_second is None


def test_no_key_gives_nothing() -> None:
    found = capacity([])
    assert (found.keys, found.per_second, found.per_day) == (0, 0, 0)
    assert "no key" in describe(found)


def test_it_is_said_in_a_line() -> None:
    said = describe(capacity([key(250), key(125)]))
    assert "2 keys: 9.5 a second" in said
    assert "820,800 a day" in said
    assert "spacing between two calls and the calls allowed in a window" in said
    assert "no limit a second" in describe(capacity([key(0, None, 10)]))


@given(
    some.integers(0, 5_000),
    some.none() | some.integers(1, 10_000),
    some.none() | some.integers(1, 10**6),
)
def test_a_day_is_never_more_than_any_limit_gives(
    spacing_ms: int, per_30s: int | None, daily_limit: int | None
) -> None:
    found = capacity([key(spacing_ms, per_30s, daily_limit)])
    if found.per_day is None:
        assert (spacing_ms, per_30s, daily_limit) == (0, None, None)
        return
    assert found.per_day * spacing_ms <= 86_400_000
    assert per_30s is None or found.per_day <= 2_880 * per_30s
    assert daily_limit is None or found.per_day <= daily_limit
