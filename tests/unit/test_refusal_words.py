"""What is said of a setting that can't be: what it must be, in our own words."""

import os

import pytest

from app.errors import Misconfigured
from app.settings import Settings, get_settings


def test_wrong_settings_are_told_what_they_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name in [name for name in os.environ if name in known]:
        monkeypatch.delenv(name)
    given = {
        "SECRET_KEY": "x" * 32,
        "CRON_SECRET": "short",
        "HUNTER_WEBHOOK_SECRET": "short",
        "CHUNK_ROWS": "many",
        "CHECK_MX": "perhaps",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        with pytest.raises(Misconfigured) as caught:
            get_settings()
    finally:
        get_settings.cache_clear()
    for words in (
        "ENCRYPTION_KEYS: is needed",
        "CRON_SECRET: must have 16 characters at least",
        "HUNTER_WEBHOOK_SECRET: a webhook secret has at least 16 characters",
        "CHUNK_ROWS: must be a whole number",
        "CHECK_MX: must be true or false",
    ):
        assert words in caught.value.message
