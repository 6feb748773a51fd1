"""The dashboard as tests see it: opened by somebody, and its lines."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.e2e.product import Client
from tests.e2e.visitor import Visitor

#: Takes a list's name, its addresses and more fields of the upload; returns the job's id.
Upload = Callable[..., str]


def open_dashboard(visitor: Visitor, client: Client, query: str = "") -> Page:
    visitor.visit(client)
    visitor.go(f"/dashboard{query}")
    expect(visitor.page.locator("#rows")).not_to_have_attribute("aria-busy", "true")
    return visitor.page


def row(page: Page, title: str) -> Locator:
    return page.locator("#rows > li").filter(has=page.get_by_role("button", name=title, exact=True))
