"""How a test of a key is told: what was answered stands within a sentence."""

from app.clients.key_test import KeyTest


def test_a_sentence_loses_its_full_stop_before_what_follows() -> None:
    refused = KeyTest(
        ok=False, detail="The key is disabled.", outcome="provider_unauthorized", ms=1
    )
    assert refused.words == "The key is disabled, 1 ms"
    busy = KeyTest(ok=False, detail="The key's day is used up.", outcome="daily_quota")
    assert busy.words == "The key's day is used up"
