"""Every page, in light and dark and on a phone: names, labels, headings, contrast, nothing that runs over the edge."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import ViewportSize, expect

from tests.e2e.conftest import MakeVisitor
from tests.e2e.product import MAPLE, OPERATOR
from tests.e2e.visitor import Visitor

CHECKS = (Path(__file__).parent / "page_checks.js").read_text()
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 900}
LONG_NAME = "a_very_long_name_that_somebody_gave_to_the_export_of_their_leads__final_really_v7.csv"
LONG_ADDRESS = (
    "ok-bartholomew.featherstonehaugh.the.second@subsidiary.of.a.very-long-company.example"
)


def make_leads(folder: Path) -> Path:
    """Write a list of leads with long names."""
    file = folder / "leads.csv"
    names = ("Bartholomew,found-Featherstonehaugh-the-second", "Ann,miss-Smith")
    rows = [f"{name},Subsidiary of a very long company GmbH & Co. KG" for name in names]
    file.write_text("\n".join(["First name,Last name,Company", *rows]) + "\n")
    return file


def _check(visitor: Visitor, where: str) -> list[str]:
    visitor.page.wait_for_load_state()
    found: list[str] = visitor.page.evaluate(CHECKS)
    return [f"{where}: {problem}" for problem in found]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_and_operated(
    make_visitor: MakeVisitor,
    make_list: Callable[..., Path],
    tmp_path: Path,
    size: ViewportSize,
    scheme: Literal["light", "dark"],
) -> None:
    problems: list[str] = []
    visitor = make_visitor(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    visitor.sign_in("nobody@nowhere.example", "x")
    expect(visitor.page.get_by_role("alert")).to_be_visible()
    problems += _check(visitor, "login")
    visitor.visit(MAPLE)
    visitor.choose(make_list(LONG_ADDRESS, "ko-b@read.example", "no address", name=LONG_NAME))
    problems += _check(visitor, "upload")
    visitor.send()
    visitor.wait_for_status("Completed")
    expect(visitor.page.locator("#results tbody tr")).to_have_count(2)
    visitor.page.get_by_text("1 row could not be read").click()
    problems += _check(visitor, "job")
    visitor.choose(make_leads(tmp_path))
    visitor.page.get_by_label("Find what is missing").check()
    expect(visitor.page.locator("#column-company")).to_have_value("Company")
    problems += _check(visitor, "upload of leads")
    visitor.send()
    visitor.wait_for_status("Completed")
    expect(visitor.page.locator("#results tbody tr")).to_have_count(2)
    problems += _check(visitor, "job of leads")
    for path in ("/", "/?status=cancelled", "/jobs/0", "/lanes"):
        visitor.go(path)
        problems += _check(visitor, path)
    visitor.go("/dashboard")
    expect(visitor.page.locator("#rows > li").first).to_be_visible()
    visitor.page.locator("#charts").evaluate("(charts) => (charts.open = true)")
    problems += _check(visitor, "dashboard")
    visitor.page.get_by_role("button", name=LONG_NAME).first.click()
    expect(visitor.page.locator(".turns li").first).to_be_visible()
    problems += _check(visitor, "dashboard, a job beside the list")
    operator = make_visitor(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    operator.sign_in(OPERATOR)
    for path in ("/lanes", "/keys", "/clients/maple/keys/new?provider=hunter"):
        operator.go(path)
        problems += _check(operator, f"operator {path}")
    assert not problems, "\n".join(problems)
