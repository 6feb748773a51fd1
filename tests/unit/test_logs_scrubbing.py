"""No secret reaches the log, under whatever name or inside whatever text."""

import json
import logging

import pytest
import structlog

from app.logs import HIDDEN, configure_logging, scrub_event, scrub_text
from app.settings import Settings

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://laneway:{SECRET}@db:5432/laneway",
        f"redis://:{SECRET}@redis:6379/0 refused",
        f"GET https://happy.mailtester.ninja/ninja?email=a@b.c&key={SECRET}",
        f"https://x/?api_key={SECRET}&y=1",
        f"Authorization: Bearer {SECRET}",
        f"sent bEaReR {SECRET}",
        f"sent BASIC {SECRET}",
        f"got eyJ{SECRET}.eyJ{SECRET}.{SECRET} from a login",
        f"token={SECRET}",
    ],
)
def test_secrets_are_taken_out_of_texts(text: str) -> None:
    assert SECRET not in scrub_text(text)
    assert HIDDEN in scrub_text(text)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "secret",
        "client_secret",
        "authorization",
        "Cookie",
        "api_key",
        "access_token",
        "csrf_token",
    ],
)
def test_secrets_are_hidden_by_their_names(name: str) -> None:
    event = scrub_event(
        None, "info", {"event": "x", name: SECRET, "deep": {"list": [{name: SECRET}]}}
    )
    assert SECRET not in str(event)


def test_what_is_no_secret_stays() -> None:
    event = {"event": "chunk_ended", "job_id": "1", "key": "8f3a", "tokens_left": 3, "n": 1}
    assert scrub_event(None, "info", dict(event)) == event


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_and_other_libraries_are_scrubbed_too(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    settings = Settings(secret_key="s" * 32, encryption_keys="k" * 44, log_format=log_format)
    try:
        configure_logging(settings)
        try:
            raise ConnectionError(f"postgresql://u:{SECRET}@db/x")
        except ConnectionError:
            logging.getLogger("library").exception("lost %s", f"redis://:{SECRET}@r")
        structlog.get_logger("ours").info("began", password=SECRET, job_id="7")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    lines = capsys.readouterr().err
    assert SECRET not in lines
    assert "ConnectionError" in lines
    assert "began" in lines
    if log_format == "json":
        first, second = map(json.loads, lines.strip().splitlines())
        assert (first["logger"], first["level"]) == ("library", "error")
        assert (second["event"], second["job_id"], second["password"]) == ("began", "7", HIDDEN)
