"""Passwords, tokens and stored secrets, without a database."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher
from cryptography.fernet import Fernet

from app.accounts import passwords
from app.crypto import decrypt, encrypt, fingerprint, hint
from app.errors import InvalidInput, Misconfigured
from app.settings import get_settings

SECRET = "mt_0123456789abcd"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("SECRET_KEY", "s" * 32)
    monkeypatch.setenv("ENCRYPTION_KEYS", Fernet.generate_key().decode())
    get_settings.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    get_settings.cache_clear()


def test_a_password_fits_its_own_hash_only() -> None:
    stored = passwords.hash_password("correct horse")
    assert passwords.verify_password(stored, "correct horse")
    assert not passwords.verify_password(stored, "Correct horse")
    assert passwords.rehash_if_outdated(stored, "correct horse") is None


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$broken"])
def test_nobody_has_a_password(stored: str | None) -> None:
    assert not passwords.verify_password(stored, "nobody has this password")


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
def test_a_password_has_a_length(password: str) -> None:
    with pytest.raises(InvalidInput, match="8 to 256"):
        passwords.hash_password(password)


def test_an_outdated_hash_is_made_anew() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    replaced = passwords.rehash_if_outdated(weak, "correct horse")
    assert replaced
    assert passwords.verify_password(replaced, "correct horse")


def test_a_secret_survives_the_rotation_of_its_key(environment: pytest.MonkeyPatch) -> None:
    kept = encrypt(SECRET)
    assert SECRET.encode() not in kept
    old = get_settings().encryption_keys.get_secret_value()
    environment.setenv("ENCRYPTION_KEYS", f"{Fernet.generate_key().decode()}, {old}")
    get_settings.cache_clear()
    assert decrypt(kept) == SECRET
    environment.setenv("ENCRYPTION_KEYS", Fernet.generate_key().decode())
    get_settings.cache_clear()
    with pytest.raises(Misconfigured, match="ENCRYPTION_KEYS"):
        decrypt(kept)


def test_unusable_encryption_keys_are_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ENCRYPTION_KEYS", "x" * 44)
    get_settings.cache_clear()
    with pytest.raises(Misconfigured, match="ENCRYPTION_KEYS"):
        encrypt(SECRET)


def test_a_fingerprint_tells_keys_apart_and_says_nothing() -> None:
    found = fingerprint("mailtester", SECRET)
    assert len(found) == 32
    assert found == fingerprint("mailtester", SECRET)
    assert found != fingerprint("mailtester", SECRET + "x")
    assert found != fingerprint("hunter", SECRET)
    # Where the provider ends and the key begins is part of it.
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


def test_a_fingerprint_depends_on_the_installation(environment: pytest.MonkeyPatch) -> None:
    found = fingerprint("mailtester", SECRET)
    environment.setenv("SECRET_KEY", "t" * 32)
    get_settings.cache_clear()
    assert fingerprint("mailtester", SECRET) != found


@pytest.mark.parametrize(("secret", "shown"), [(SECRET, "abcd"), ("short", "")])
def test_a_hint_is_the_end_of_a_long_secret(secret: str, shown: str) -> None:
    assert hint(secret) == shown
