"""The main job in the browser: choose a list, watch it being verified, look into it, download it."""

import csv
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.product import MAPLE
from tests.e2e.visitor import PATIENCE_MS, Visitor

MANY = 90
#: Keeps every percentage that the page shows, in order.
_KEEP_PERCENTAGES = """
() => {
  const place = document.querySelector('[data-field="percent"]');
  window.percentages = [place.textContent];
  new MutationObserver(() => window.percentages.push(place.textContent))
    .observe(place, { childList: true, characterData: true, subtree: true });
}
"""


def _write(file: Path) -> list[list[str]]:
    rows = [["Name", "Work e-mail", "Notes"]]
    rows += [[f"Person {n}", f"ok-{n}@maple-leads.example", f"row {n}"] for n in range(MANY)]
    rows += [
        ["=HYPERLINK(1)", "ko-one@maple-leads.example", "+49 30 1234"],
        ["Twice", "ok-7@maple-leads.example", "a duplicate"],
        ["Ümlaut, Ä", "catchall-one@maple-leads.example", 'says "hi"'],
    ]
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return rows


def _read_download(visitor: Visitor) -> list[list[str]]:
    with visitor.page.expect_download() as waiting:
        visitor.page.get_by_role("link", name="Download CSV").click()
    path = waiting.value.path()
    with path.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.reader(stream))


def test_a_list_is_uploaded_watched_searched_and_downloaded(
    visitor: Visitor, tmp_path: Path
) -> None:
    given = _write(tmp_path / "leads.csv")
    page = visitor.page
    visitor.visit(MAPLE)
    page.get_by_role("link", name="Upload a list").first.click()
    page.get_by_label("Choose the file").set_input_files(tmp_path / "leads.csv")
    expect(page.get_by_role("radio", name="Work e-mail")).to_be_checked(timeout=PATIENCE_MS)
    page.get_by_label("Tags").fill("november, fair")
    visitor.send()
    page.evaluate(_KEEP_PERCENTAGES)
    visitor.wait_for_status("Completed")
    expect(page.locator('[data-field="percent"]')).to_have_text("100%")
    seen = [int(text.rstrip("%")) for text in page.evaluate("percentages")]
    assert seen == sorted(seen)
    assert any(0 < percent < 100 for percent in seen), seen
    assert page.title() == "leads.csv · Laneway"
    expect(page.get_by_text("november", exact=True)).to_be_visible()

    answers = _read_download(visitor)
    assert answers[0][:3] == given[0]
    assert answers[0][3:] == [
        "laneway_verdict",
        "laneway_message",
        "laneway_mx",
        "laneway_checked_at",
        "laneway_provider",
    ]
    original = [row[:3] for row in answers[1:]]
    assert original[:MANY] == given[1 : MANY + 1]
    assert original[MANY] == ["'=HYPERLINK(1)", "ko-one@maple-leads.example", "'+49 30 1234"]
    assert original[MANY + 1 :] == given[MANY + 2 :]
    verdicts = [row[3] for row in answers[1:]]
    assert verdicts == ["valid"] * MANY + ["invalid", "valid", "catch_all"]


def test_results_are_filtered_searched_and_paged_without_leaving_the_page(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    addresses = [f"ok-{n}@paged.example" for n in range(55)] + ["ko-one@paged.example"]
    page = visitor.page
    visitor.visit(MAPLE)
    job = visitor.upload(make_list(*addresses))
    visitor.wait_for_status("Completed")
    results = page.locator("#results")
    rows = results.locator("tbody tr")
    expect(rows).to_have_count(50)

    page.evaluate("window.samePage = true")
    results.get_by_role("link", name="Next page").click()
    expect(rows).to_have_count(6)
    page.go_back()
    expect(rows).to_have_count(50)
    results.get_by_role("link", name="Invalid").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("ko-one@paged.example")
    expect(rows).to_contain_text("Invalid")
    results.get_by_role("link", name="All", exact=True).click()
    expect(rows).to_have_count(50)
    results.get_by_label("Search the addresses").press_sequentially("ok-4")
    expect(rows).to_have_count(11)
    assert page.url.endswith(f"{job}?q=ok-4#results")
    results.get_by_label("Search the addresses").fill("nobody%")
    expect(results.get_by_text("No address matches")).to_be_visible()
    results.get_by_role("link", name="Show all").click()
    expect(rows).to_have_count(50)
    expect(results.get_by_label("Search the addresses")).to_have_value("")
    assert page.evaluate("window.samePage")


def test_what_can_not_be_used_is_listed_with_its_line(
    visitor: Visitor, make_list: Callable[..., Path]
) -> None:
    visitor.visit(MAPLE)
    visitor.upload(make_list("ok-a@lines.example", "not an address", "", "ok-b@lines.example"))
    visitor.wait_for_status("Completed")
    page = visitor.page
    page.get_by_text("2 rows could not be read").click()
    lines = page.locator("#bad-rows tbody tr td:first-child")
    expect(lines).to_have_text(["3", "4"])
