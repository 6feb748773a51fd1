"""The pages of webhooks in a browser: an endpoint is added, its secret copied, a test asked for, and all of it can be read."""

from typing import Literal

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import OAK
from tests.e2e.test_accessibility import CHECKS, DESK, PHONE

URL = "https://hooks.a-very-long-subdomain-of-a-company.example.com/laneway/events?of=everybody&token=0123456789abcdef"


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_webhooks_can_be_set_up_and_read(
    make_visitor: MakeVisitor, size: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    visitor = make_visitor(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    visitor.visit(OAK)
    page, problems = visitor.page, []

    def check(where: str) -> None:
        page.wait_for_load_state()
        problems.extend(f"{where}: {problem}" for problem in page.evaluate(CHECKS))

    visitor.go("/webhooks")
    if not page.get_by_label("Address").is_visible():
        page.get_by_text("Add an endpoint").click()
    check("form")
    page.get_by_label("Address").fill(URL)
    page.get_by_role("button", name="Add the endpoint").click()
    expect(page.get_by_role("region", name="Secret")).to_contain_text("whsec_")
    check("secret")
    page.get_by_role("button", name="Send a test").first.click()
    expect(page.get_by_role("status").first).to_contain_text("A test is on its way")
    expect(page.get_by_text("whsec_")).to_have_count(0)
    link = page.get_by_role("link", name="endpoint.test").first

    def has_come() -> bool:
        visitor.go("/webhooks")
        return link.count() > 0

    for _ in range(50):
        if has_come():
            break
        page.wait_for_timeout(100)
    check("list")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("endpoint.test")
    check("delivery")
    visitor.go("/webhooks")
    page.get_by_role("link", name="More").first.click()
    page.get_by_text("Remove this endpoint").click()
    check("endpoint")
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("The endpoint is removed")).to_be_visible()
    assert not problems, "\n".join(problems)
