"""The product, a browser, and visitors whose every tab is watched."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from devtools.browser import find_browser
from tests.conftest import as_application, make_environment
from tests.e2e.dashboard_page import Upload
from tests.e2e.product import Product, run_product
from tests.e2e.visitor import Visitor

MakeVisitor = Callable[..., Visitor]
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here: all of it drives a browser."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless browser, started once. Closed with the package: its loop would be in other tests' way."""
    program = find_browser()
    if program is None:
        missing = "no browser runs here; `python -m devtools.browser` installs one"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    # Chromium's own sandbox refuses to run as root, and in most containers.
    arguments = [*_QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="package")
def product(
    browser: Browser,
    take_owner_url: Callable[[], str],
    take_redis_url: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Product]:
    """Everything that runs, once for all tests here; each test uploads lists of its own."""
    home, owner_url = tmp_path_factory.mktemp("product"), take_owner_url()
    environment = make_environment(
        owner_url=owner_url,
        database_url=as_application(owner_url),
        redis_url=take_redis_url(),
        storage=home / "storage",
    )
    with run_product(environment, home) as running:
        yield running


@pytest.fixture
def make_visitor(product: Product, browser: Browser) -> Iterator[MakeVisitor]:
    """Open tabs in browsers of their own (cookies apart); fail when one of them saw a fault."""
    made: list[Visitor] = []

    def make(**options: Any) -> Visitor:
        visitor = Visitor(browser.new_context(**options).new_page(), product.url)
        made.append(visitor)
        return visitor

    yield make
    faults = [fault for visitor in made for fault in visitor.faults]
    for visitor in made:
        visitor.page.context.close()
    assert not faults


@pytest.fixture
def visitor(make_visitor: MakeVisitor) -> Visitor:
    """One person at a desk."""
    return make_visitor()


@pytest.fixture
def make_list(tmp_path: Path) -> Callable[..., Path]:
    """Write a list with the given addresses, first in its second column, and return the file."""

    def make(*addresses: str, name: str = "leads.csv") -> Path:
        file = tmp_path / name
        rows = [f"Person {n},{address},note {n}" for n, address in enumerate(addresses, 1)]
        file.write_text("\n".join(["name,email,notes", *rows]) + "\n")
        return file

    return make


@pytest.fixture
def upload(visitor: Visitor, make_list: Callable[..., Path]) -> Upload:
    """Upload a list over the API as the visitor; return the job's id."""

    def send(name: str, *addresses: str, **fields: str) -> str:
        page = visitor.page
        token = page.locator('meta[name="csrf-token"]').get_attribute("content") or ""
        content = make_list(*addresses).read_bytes()
        answer = page.request.post(
            f"{visitor.url}/api/uploads",
            headers={"X-CSRFToken": token},
            multipart={
                "file": {"name": name, "mimeType": "text/csv", "buffer": content},
                **fields,
            },
        )
        assert answer.status == 202, answer.text()
        return str(answer.json()["id"])

    return send
