"""Whom a late answer is believed."""

import hashlib
import hmac

import pytest

from app.enrichment.signatures import make_token, verify_clearbit, verify_token

KEY = b"k" * 32
BODY = b'{"id": "1", "status": 200}'


def sign(key: str, body: bytes = BODY) -> str:
    return "sha1=" + hmac.new(key.encode(), body, hashlib.sha1).hexdigest()


def test_clearbits_signature_is_made_without_the_keys_prefix() -> None:
    assert verify_clearbit(sign("abc"), BODY, "sk_abc")
    assert verify_clearbit(sign("abc"), BODY, "abc")


@pytest.mark.parametrize(
    ("signature", "body", "key"),
    [
        (None, BODY, "sk_abc"),
        ("", BODY, "sk_abc"),
        ("sha1=", BODY, "sk_abc"),
        (sign("abc").removeprefix("sha1="), BODY, "sk_abc"),
        (sign("abc").upper(), BODY, "sk_abc"),
        (sign("sk_abc"), BODY, "sk_abc"),
        (sign("abc"), BODY + b" ", "sk_abc"),
        (sign("abc") + "é", BODY, "sk_abc"),
        (sign(""), BODY, "sk_"),
        (sign(""), BODY, ""),
    ],
)
def test_anything_else_is_not_believed(signature: str | None, body: bytes, key: str) -> None:
    assert not verify_clearbit(signature, body, key)


def test_a_token_is_for_one_request_of_one_tenant() -> None:
    token = make_token(KEY, tenant="ab", request="c")
    assert len(token) == 43
    assert verify_token(token, KEY, tenant="ab", request="c")
    assert not verify_token(token, KEY, tenant="a", request="bc")
    assert not verify_token(token, KEY, tenant="ab", request="d")
    assert not verify_token(token, b"x" * 32, tenant="ab", request="c")
    for wrong in (None, "", token[:-1], token + "=", token + "é", token.swapcase()):
        assert not verify_token(wrong, KEY, tenant="ab", request="c")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        make_token(b"short", tenant="a", request="b")
