"""The receiver that docs/webhooks.md shows, run as it stands against real deliveries. Its sender is in test_inbound_docs.py."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from app.db.scope import tenant_scope
from app.webhooks import log
from app.webhooks.schedule import DELAYS
from tests.factories import Tenant, make_job, owner_sql
from tests.integration.webhook_world import add, deliver, deliveries, end_job

pytestmark = pytest.mark.usefixtures("webhooks_only")
PAGE = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run the page's receiver with a secret; return its address and what it calls its own."""
    servers = []

    def run(secret: str) -> tuple[str, dict[str, Any]]:
        program, _ = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
        monkeypatch.setenv("WEBHOOK_SECRET", secret)
        names: dict[str, Any] = {"__name__": "receiver"}
        exec(compile(program, "docs/webhooks.md", "exec"), names)  # noqa: S102 - the page's own
        server = make_server("127.0.0.1", 0, names["app"])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/laneway", names

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_receiver_of_the_page(
    start: Any, tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint, secret = add(tenant, "https://example.com/not-yet")
    url, names = start(secret)
    owner_sql("UPDATE webhook_endpoints SET url = :u", {"u": url})
    end_job(make_job(tenant, title="leads.csv"))
    assert deliver() == ["done"]
    (delivery,) = deliveries(endpoint)
    assert delivery["status"] == "delivered"
    assert "leads.csv: " in capsys.readouterr().out
    assert len(names["seen"]) == 1
    with tenant_scope(tenant.id) as c:
        log.replay(c, delivery["id"])
    assert deliver() == ["done"]
    assert capsys.readouterr().out == "", "what came twice is done once"


def test_the_receiver_of_the_page_refuses_what_another_signed(start: Any, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, "https://example.com/not-yet")
    _, foreign = add(tenant, "https://example.com/another", "job.cancelled")
    url, names = start(foreign)
    owner_sql("UPDATE webhook_endpoints SET url = :u WHERE id = :e", {"u": url, "e": endpoint})
    end_job(make_job(tenant))
    deliver()
    assert deliveries(endpoint)[0]["answer_status"] == 401
    assert names["seen"] == set()


def test_the_page_names_the_schedule() -> None:
    words = {"5 s": 5, "5 min": 300, "30 min": 1_800} | {
        f"{hours} h": hours * 3_600 for hours in (2, 5, 10, 14, 20, 24)
    }
    assert tuple(words.values()) == DELAYS[1:]
    listed = "5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h"
    assert listed in PAGE
