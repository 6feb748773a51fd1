"""Limits as they are printed for a client's worker: never wider than those of its keys."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.keys import KeyFacts
from app.clients.worker_files import worker_files
from app.work.key_forms import provider_key
from routing.provider_key import ProviderKey
from tasks import worker_mode
from tests.unit.worker_prints import ACME, FIRST, PLAIN, read_env, read_settings


@pytest.fixture(autouse=True, scope="module")
def _fingerprints() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.work.key_forms.fingerprint", lambda *_: "ab" * 16)
        yield


def printed(key: KeyFacts) -> tuple[ProviderKey, str]:
    """Return a key as its worker would have it, and all of the text."""
    text = worker_files(ACME, keys_in_environment=True, keys=[key], settings=PLAIN)["env"]
    (read,) = worker_mode.environment_keys(read_settings(read_env(text)))
    return provider_key(read), text


def limited(
    windows: Sequence[tuple[int, int]],
    *,
    spacing_ms: int = 0,
    daily_limit: int | None = None,
    reset_hour: int = 0,
) -> KeyFacts:
    return replace(
        FIRST,
        spacing_ms=spacing_ms,
        requests_per_window=None,
        extra_windows=tuple(windows),
        daily_limit=daily_limit,
        reset_hour=reset_hour,
    )


def test_limits_that_the_variables_cannot_say_become_narrower() -> None:
    odd = limited([(10, 1), (1000, 3600)], spacing_ms=250)
    key, text = printed(odd)
    assert (key.windows, key.spacing_ms) == (((8, 30_000),), 250)
    assert "the 30 s window is narrower and the spacing longer" in text


def test_a_key_without_limits_stays_without() -> None:
    key, text = printed(limited([]))
    assert (key.windows, key.daily_limit, key.spacing_ms) == ((), None, 0)
    assert key.limits.is_unlimited
    assert "MAILTESTER_KEY_REQUESTS_PER_30S=0\n" in text
    assert "can't say" not in text


@pytest.mark.parametrize(
    ("key", "spacing_ms", "per_30s"),
    [
        (limited([(100, 3600)]), 36_000, ()),
        (limited([(10, 50)]), 0, ((5, 30_000),)),
        (limited([(165, 30), (7, 86_400)], spacing_ms=250), 12_342_858, ((165, 30_000),)),
        # Two of its days may touch one of the key's: spread, they never have more than one.
        (limited([], daily_limit=500_000, reset_hour=5), 173, ()),
        (limited([], daily_limit=500_000, reset_hour=5, spacing_ms=250), 250, ()),
    ],
)
def test_what_no_window_of_30_seconds_can_keep_is_kept_by_spacing(
    key: KeyFacts, spacing_ms: int, per_30s: tuple[tuple[int, int], ...]
) -> None:
    found, text = printed(key)
    assert (found.spacing_ms, found.windows) == (spacing_ms, per_30s)
    assert "can't say" in text


def earliest_calls(key: ProviderKey, n: int) -> list[int]:
    """Return the moments (ms) of a worker's first calls, each as early as its limits allow."""
    calls: list[int] = []
    for _ in range(n):
        bounds = [0, *(at + key.spacing_ms for at in calls[-1:])]
        bounds += [calls[-limit] + ms for limit, ms in key.windows if len(calls) >= limit]
        calls.append(max(bounds))
    return calls


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 400)), max_size=3, unique_by=lambda w: w[1]
    ),
    st.sampled_from([0, 250, 7_000]),
)
def test_printed_limits_never_allow_more_than_the_keys(
    windows: list[tuple[int, int]], spacing_ms: int
) -> None:
    key, _ = printed(limited(windows, spacing_ms=spacing_ms))
    assert key.spacing_ms >= spacing_ms
    calls = earliest_calls(key, 150)
    for limit, seconds in windows:
        assert all(b - a >= seconds * 1000 for a, b in zip(calls, calls[limit:], strict=False))
