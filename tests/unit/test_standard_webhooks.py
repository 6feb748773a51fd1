"""Calls in the form of Standard Webhooks: which signature is believed, and for how long."""

import base64
import hashlib
import hmac
import time

import pytest
from standardwebhooks import Webhook

from app.enrichment.standard_webhooks import TOLERANCE_SECONDS, verify, verify_any

BODY = b'{"event": "x"}'
NOW = 1_700_000_000
#: The specification's own example of a secret.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signed(
    secret: bytes, *, body: bytes = BODY, name: str = "msg_1", at: int | str = NOW
) -> dict[str, str]:
    digest = hmac.new(secret, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature}


KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


def test_the_example_of_the_specification_is_believed() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    found = verify(headers, b'{"test": 2432232314}', SECRET, now=1_614_265_330)
    assert found == "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_a_secret_that_is_plain_text_signs_as_it_is() -> None:
    assert verify(signed(b"plain-and-long-enough"), BODY, "plain-and-long-enough", now=NOW)
    assert verify(signed(b"whsec_no base64!"), BODY, "whsec_no base64!", now=NOW)


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed(KEY)
    headers["webhook-signature"] = f"v1,bm8= v1a,x {headers['webhook-signature']}"
    assert verify(headers, BODY, SECRET, now=NOW) == "msg_1"


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_within_five_minutes_a_call_is_believed(seconds: int) -> None:
    assert verify(signed(KEY), BODY, SECRET, now=NOW + seconds) == "msg_1"


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1])
def test_an_old_call_is_not_believed_again(seconds: int) -> None:
    assert verify(signed(KEY), BODY, SECRET, now=NOW + seconds) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 257},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "²"},
        {"webhook-timestamp": "9" * 5_000},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-signature": "x " * 10_000},
    ],
)
def test_what_was_changed_is_not_believed(changes: dict[str, str]) -> None:
    assert verify({**signed(KEY), **changes}, BODY, SECRET, now=NOW) is None


def test_nor_another_body_or_another_secret_or_nothing() -> None:
    assert verify(signed(KEY), BODY + b" ", SECRET, now=NOW) is None
    assert verify(signed(b"another"), BODY, SECRET, now=NOW) is None
    assert verify({}, BODY, SECRET, now=NOW) is None


def test_while_a_secret_is_changed_both_are_good() -> None:
    for secret in (KEY, b"the-one-before-it-is"):
        both = (SECRET, "the-one-before-it-is")
        assert verify_any(signed(secret), BODY, both, now=NOW) == "msg_1"
    assert verify_any(signed(b"a-third-one-of-nobody"), BODY, both, now=NOW) is None
    assert verify_any(signed(KEY), BODY, (), now=NOW) is None


def test_the_library_agrees_where_it_can_tell() -> None:
    """And can't replace ours: it reads bodies as text, and moments as numbers."""
    now, library = int(time.time()), Webhook(SECRET)
    for body in (BODY, "ü".encode(), b""):
        headers = signed(KEY, body=body, at=now)
        library.verify(body, headers, json_parse=False)
        assert verify(headers, body, SECRET) == "msg_1"
    binary = signed(KEY, body=b"\xff", at=now)
    with pytest.raises(UnicodeDecodeError):
        library.verify(b"\xff", binary, json_parse=False)
    assert verify(binary, b"\xff", SECRET) == "msg_1"
    rewritten = {**signed(KEY, at=now), "webhook-timestamp": f"{now}.0"}
    library.verify(BODY, rewritten, json_parse=False)
    assert verify(rewritten, BODY, SECRET) is None
    with pytest.raises(ValueError, match="unpack"):
        library.verify(BODY, {**signed(KEY, at=now), "webhook-signature": "v1"})


def test_a_name_that_could_be_read_in_two_ways_is_refused() -> None:
    """Only what is the same in every encoding is signed and compared."""
    assert verify(signed(KEY, name="msg_é"), BODY, SECRET, now=NOW) is None
    assert verify(signed(KEY, name="msg\n1"), BODY, SECRET, now=NOW) is None
