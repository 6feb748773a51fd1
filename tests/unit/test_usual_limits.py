"""What a new key may do where nobody says."""

import pytest

from app.clients.key_limits import check_limits
from app.clients.keys import PROVIDERS, NewKey
from app.clients.usual_limits import UsualLimits, usual_limits
from app.http.models_keys import KeyIn
from app.settings import Settings

SETTINGS = Settings.model_validate({"secret_key": "x" * 32, "encryption_keys": "x" * 44})


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.http.models_keys.get_settings", lambda: SETTINGS)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_all_are_possible(provider: str) -> None:
    usual = usual_limits(provider, SETTINGS)
    first = ((usual.per_30s, 30),) if usual.per_30s else ()
    check_limits(usual.spacing_ms, (*first, *usual.extra_windows), usual.daily_limit, 0)


def test_hunters_verifier_is_the_narrower_half_of_one_key() -> None:
    usual = usual_limits("hunter", SETTINGS)
    assert 1000 / usual.spacing_ms == 10
    assert usual.extra_windows == ((300, 60),)


def test_apollo_begins_with_its_free_plan() -> None:
    usual = usual_limits("apollo", SETTINGS)
    assert (usual.extra_windows, usual.daily_limit) == (((50, 60), (200, 3_600)), 600)


def test_others_begin_as_the_settings_say() -> None:
    chosen = SETTINGS.model_copy(update={"rate_limit_per_hour": 7_000})
    assert usual_limits("clearbit", SETTINGS) == UsualLimits(
        extra_windows=((10, 1), (100, 60), (1_000, 3_600))
    )
    assert usual_limits("clearbit", chosen).extra_windows[2] == (7_000, 3_600)


def test_a_key_over_the_api_has_what_was_said_and_else_its_providers() -> None:
    plain = KeyIn.model_validate({"secret": "12345678"})
    assert (plain.spacing_ms, plain.per_30s, plain.daily_limit) == (250, 165, 500_000)
    hunter = KeyIn.model_validate(
        {"secret": "12345678", "provider": "hunter", "daily_limit": 1_000}
    )
    assert (hunter.spacing_ms, hunter.per_30s, hunter.daily_limit) == (100, None, 1_000)
    assert [(w.requests, w.seconds) for w in hunter.extra_windows] == [(300, 60)]


def test_the_keys_of_mailtester_begin_as_ever() -> None:
    usual = usual_limits("mailtester", SETTINGS)
    assert (usual.spacing_ms, usual.per_30s, usual.daily_limit) == (
        NewKey.spacing_ms,
        NewKey.per_30s,
        NewKey.daily_limit,
    )
