"""The program of docs/webhooks.md that tells Laneway of a job, run as it stands against the web, with secrets in both forms."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app.factory import create_app
from app.settings import get_settings
from tests.factories import make_job, make_tenant, owner_sql

PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
_, PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(params=["a plain secret of twenty", "whsec_YSBrZXkgb2YgdHdlbnR5IGJ5dGVz"])
def secret(request: pytest.FixtureRequest) -> str:
    # Several secrets are written with spaces between; each form of one is told here.
    return str(request.param).replace(" ", "-")


@pytest.fixture
def url(
    module_environment: dict[str, str], secret: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The web's address, where this secret is good."""
    monkeypatch.setenv("ENRICHMENT_WEBHOOK_SECRET", secret)
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    get_settings.cache_clear()
    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    get_settings.cache_clear()


def run(url: str, secret: str, job: str) -> subprocess.CompletedProcess[str]:
    said = {"LANEWAY_URL": url, "ENRICHMENT_WEBHOOK_SECRET": secret, "JOB": job}
    own = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=own | said, capture_output=True, text=True, check=False
    )


def test_the_program_of_the_page_is_believed(url: str, secret: str) -> None:
    job = str(make_job(make_tenant()))
    done = run(url, secret, job)
    assert done.returncode == 0, done.stderr
    status, _, state = done.stdout.partition(" ")
    assert (status, state.strip()) == ("202", '{"state":"matched"}')
    assert (
        owner_sql("SELECT event FROM lookup_events WHERE job_id = :j", {"j": job}) == "crm.synced"
    )


def test_another_secret_is_not(url: str, secret: str) -> None:
    assert "401" in run(url, "another-" + secret, "job_1").stderr
