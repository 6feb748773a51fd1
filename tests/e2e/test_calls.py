"""Calls from outside, on the job's page and beside the list of the dashboard: an event that a system signs, and a provider's."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize, expect
from standardwebhooks import Webhook

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import MAPLE, WEBHOOK_SECRET, Product
from tests.e2e.test_accessibility import CHECKS, DESK, PHONE
from tests.e2e.visitor import Visitor


def tell(visitor: Visitor, job: str, event: str) -> None:
    """Have a system of the client's tell of the job."""
    body, now = json.dumps({"jobId": job, "event": event}), datetime.now(UTC)
    name = f"msg_{job}"
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(WEBHOOK_SECRET).sign(name, now, body),
    }
    answer = visitor.page.request.post(
        f"{visitor.url}/api/enrichment/webhook", data=body.encode(), headers=headers
    )
    assert answer.json() == {"state": "matched"}


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_calls_from_outside_are_shown_with_the_job(
    product: Product,
    make_visitor: MakeVisitor,
    make_list: Callable[..., Path],
    size: ViewportSize,
) -> None:
    visitor = make_visitor(viewport=size, reduced_motion="reduce")
    page, problems = visitor.page, []
    visitor.visit(MAPLE)
    title = f"calls-{size['width']}.csv"
    path = visitor.upload(make_list("ok-a@calls.example", "ok-b@calls.example", name=title))
    visitor.wait_for_status("Completed")
    expect(page.get_by_role("heading", name="Calls from outside")).to_have_count(0)
    job = path.rpartition("/")[2]
    tell(visitor, job, "crm.synced")
    product.sql(
        """INSERT INTO lookup_events (tenant_id, provider, sender_key, state, job_id, item_nos)
           SELECT tenant_id, 'apollo', :j, 'late', id, '{1,2}' FROM jobs WHERE id = CAST(:j AS uuid)""",
        {"j": job},
    )
    product.sql(
        """INSERT INTO lookup_attempts (tenant_id, job_id, item_no, provider, outcome, is_late, at)
           SELECT tenant_id, id, 1, 'apollo', 'found', true, now() FROM jobs WHERE id = CAST(:j AS uuid)""",
        {"j": job},
    )
    visitor.go(path)
    calls = page.get_by_role("region", name="Calls from outside").get_by_role("row")
    expect(calls.nth(1)).to_contain_text("Apollo")
    expect(calls.nth(1)).to_contain_text("Came too late about lines 2, 3: no result changed")
    expect(calls.nth(2)).to_contain_text("crm.synced")
    problems += page.evaluate(CHECKS)
    visitor.go("/dashboard")
    page.get_by_role("button", name=title, exact=True).click()
    drawer = page.get_by_role("dialog", name=title)
    expect(drawer.locator(".turns b")).to_have_text(
        ["Made", "Begun", "Completed", "Event crm.synced", "Call of Apollo"]
    )
    drawer.get_by_text("ok-a@calls.example").click()
    expect(drawer.locator(".attempts li")).to_contain_text("Apollo Found (told in a later call)")
    expect(drawer.locator(".turns .call").last).to_contain_text("too late about rows 1, 2")
    problems += page.evaluate(CHECKS)
    assert not problems, "\n".join(problems)
