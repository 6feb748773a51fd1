"""The page of API tokens in a browser: a token is made, copied and revoked, and all of it can be read."""

import urllib.request
from typing import Literal
from urllib.error import HTTPError

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import OAK
from tests.e2e.test_accessibility import CHECKS, DESK, PHONE

NAME = "the nightly import of all leads from a CRM with a very long name"


def status(base: str, token: str) -> int:
    """The status of a call with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{base}/api/enrichment/jobs", headers=headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own
            return int(answer.status)
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_token_is_made_copied_used_and_revoked(
    make_visitor: MakeVisitor, size: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    visitor = make_visitor(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    visitor.visit(OAK)
    page, problems = visitor.page, []
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def check(where: str) -> None:
        page.wait_for_load_state()
        problems.extend(f"{where}: {problem}" for problem in page.evaluate(CHECKS))

    name = f"{NAME}, {scheme} {size['width']}"
    visitor.go("/tokens")
    if not page.get_by_label("What it is for").is_visible():
        page.get_by_text("Make a token").click()
    check("form")
    page.get_by_label("What it is for").fill(name)
    page.get_by_label("Read jobs and results").check()
    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_role("region", name="Token", exact=True)).to_contain_text("lw_")
    check("shown")
    page.get_by_role("button", name="Copy Token").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    token = page.evaluate("navigator.clipboard.readText()")
    base = page.url.rsplit("/", 1)[0]
    assert status(base, token) == 200
    visitor.go("/tokens")
    expect(page.get_by_text(token)).to_have_count(0)
    row = page.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("Good")
    row.get_by_text("Revoke", exact=False).first.click()
    check("list")
    row.get_by_role("button", name="Revoke it for good").click()
    expect(page.get_by_role("status").first).to_contain_text("is revoked")
    expect(row).to_contain_text("Revoked")
    assert status(base, token) == 401
    check("revoked")
    assert not problems, "\n".join(problems)
